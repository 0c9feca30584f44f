from pathlib import Path

import torch
from trained_project import write_trained

from pipeline import params
from pipeline.artifacts import Store
from pipeline.deployment.target_model import load_target_model


def test_one_pass_gives_what_the_two_heads_give_apart(tmp_path: Path) -> None:
    store, values = Store(write_trained(tmp_path)), params.load(tmp_path / "params.yaml")
    model = load_target_model(store, values, "co-tuning")
    squares = store.load_prepared().images[:5].copy()
    target, seen = model.both_probabilities(squares)
    torch.testing.assert_close(target, model.probabilities(squares))
    crops = model.preprocessing.center_crop(torch.from_numpy(squares).permute(0, 3, 1, 2))
    with torch.inference_mode():
        expected = torch.softmax(model.model.source_network()(crops), dim=1)
    assert seen.shape == (5, 1000)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-4)
