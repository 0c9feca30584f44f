"""A project with one fine-tuned method, as `cot predict` and `cot serve` find it."""

from pathlib import Path

import torch
from PIL import Image
from tiny_grid import PARAMS, write_artifacts

from pipeline.artifacts import Best, Store
from pipeline.common.formats import write_json
from pipeline.cotuning.model import CoTuningModel
from pipeline.report.metrics import METRICS
from pipeline.sources.models import load_source_model
from pipeline.training.methods import new_model


def write_trained(root: Path) -> Path:
    """Two classes, dark and bright; the test images are files in photos/."""
    write_artifacts(root)
    (root / "dvc.yaml").write_text("")
    (root / "params.yaml").write_text(PARAMS)
    store = Store(root)
    source = load_source_model("efficientnet-lite0", "published", 32)
    model: CoTuningModel = new_model(source, 2, 0)
    torch.nn.init.normal_(model.target_head.weight, std=0.2)
    store.save_model_state("co-tuning", model.state_dict(), {})
    store.save_best(Best(2.3, 1.0))
    rows = torch.rand(2, 1000, generator=torch.Generator().manual_seed(1))
    store.save_relationship(rows / rows.sum(dim=1, keepdim=True), 1.5, 2.3)
    sizes = {"network_input": 32, "stored": 36, "published": 224}
    write_json(store.path("extract-logits", "sizes.json"), sizes)
    measured = dict.fromkeys(METRICS, 0.5) | {"own_temperature_at_bound": 0.0, "intervals": {}}
    path = store.path("evaluate", "co-tuning", "metrics.json")
    write_json(path, measured | {"own_temperature": 2.5})
    prepared = store.load_prepared()
    for row in prepared.split("test").rows:
        path = root / f"photos/{row:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(prepared.images[row]).save(path)
    return root
