"""prepare_data.test_fraction 0: images are prepared, but no method can be judged on them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.params import Params
from stages import evaluate, prepare_data, report


def test_what_needs_test_images_says_that_there_are_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    for index in range(8):
        path = project / "photos" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    (project / "dvc.yaml").touch()
    monkeypatch.chdir(project)
    data = {"source": "image-folder", "root": "photos", "stored_size": 16}
    data |= {"images_per_class": None, "test_fraction": 0}
    params = Params.model_validate({"source_model": {"input_size": 16}, "prepare_data": data})
    prepare_data.run(params)
    splits = Store(project).load_prepared().manifest["split"]
    assert splits.value_counts().to_dict() == {"train": 6, "validation": 2}
    for run in (lambda: evaluate.run(params, "vanilla"), lambda: report.run(params)):
        with pytest.raises(UserError, match=r"no test images; set prepare_data.test_fraction"):
            run()
