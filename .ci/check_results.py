"""What a run on a small budget must have left behind, and how good it must be at least."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

DATA = Path("data")
LEAST_ACCURACY = 0.35  # of 12 classes after 10 epochs on 4 images a class; guessing gives 0.08

relationship = load_file(DATA / "fit-relationship/seed-0/relationship.safetensors")["relationship"]
assert relationship.shape == (12, 1000), relationship.shape
assert np.allclose(relationship.sum(axis=1), 1), "rows of the relationship must sum to 1"
for method in ("vanilla", "co-tuning"):
    metrics = json.loads((DATA / "evaluate" / method / "seed-0/metrics.json").read_text())
    assert LEAST_ACCURACY < metrics["accuracy"] < 1, (method, metrics)
report = (DATA / "report/report.md").read_text()
assert report.startswith("# Did Co-Tuning help?"), report[:80]
assert (DATA / "report/comparison.png").stat().st_size > 10_000
assert 500_000 < (DATA / "report/report.html").stat().st_size < 3_000_000
