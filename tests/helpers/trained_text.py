"""A project of text in which vanilla was fine-tuned and judged."""

from pathlib import Path

import pytest
from tiny_language import save_model, write_conll

from stages.running import run_stage

PARAMS = """
source_model: {{name: "{name}", longest: 9}}
prepare_data: {{source: conll, root: text}}
extract_logits: {{calibration_words: 40}}
fine_tune: {{seeds: [0], epochs: 8, batch_size: 8, learning_rate: 0.01, optimizer: adamw}}
"""


def write_trained_text(root: Path, empty_database: Path) -> Path:
    """Into an empty folder, by the stages."""
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    name = save_model(root / "model", everywhere=False)
    write_conll(root / "text", {"train.txt": 60, "valid.txt": 16, "test.txt": 30})
    (root / "params.yaml").write_text(PARAMS.format(name=name))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for stage in ("prepare_data", "extract_logits"):
            run_stage(stage, None, None)
        run_stage("calibrate", None, None, seed=0)
        run_stage("tune", None, None, workers=None, storage=None)
        run_stage("fit_relationship", None, None, seed=0)
        for stage in ("fine_tune", "evaluate"):
            run_stage(stage, None, None, method="vanilla", seed=0)
    return root
