"""Every artifact comes back as it was saved, or is missed by the name of its stage."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from pipeline.artifacts import Best, Calibration, Prepared, SplitLogits, Store
from pipeline.common.errors import UserError
from pipeline.common.formats import by_class, read_json, write_csv, write_json
from pipeline.common.tensors import read_metadata, write_tensors
from pipeline.search.choice import Gain, Recommendation
from pipeline.search.difference import Difference

CALIBRATION = Calibration(1.7, "target-likelihood", False, 2.5, 2.25, 0.1, 0.025)
MANIFEST = pd.DataFrame(
    {
        "row": [0, 1, 2, 3, 4],
        "split": ["train", "test", "train", "validation", "train"],
        "label": [1, 0, 0, 1, 2],
        "path": ["a/1.png", 'b, "c"/2.png', "Größe/3.png", "a/4 .png", "d/5.png"],
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def prepared(store: Store) -> Prepared:
    store.save_manifest(MANIFEST, ["NA", "001", "ä"], ["n01440764"])
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    np.save(store.folder("prepare-data") / "images.npy", images)
    return store.load_prepared()


def random_logits(count: int, seed: int) -> SplitLogits:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 6, generator=generator)
    return SplitLogits(logits, torch.arange(count) % 3, torch.randperm(count, generator=generator))


def same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def test_prepared_data_come_back(store: Store, prepared: Prepared) -> None:
    pd.testing.assert_frame_equal(prepared.manifest, MANIFEST)
    assert prepared.classes == store.load_classes() == ["NA", "001", "ä"]
    assert prepared.source_folders == ["n01440764"]
    assert (prepared.images.shape, prepared.images.dtype) == ((5, 4, 4, 3), np.uint8)
    assert isinstance(prepared.images, np.memmap)


def test_a_split_has_its_rows_and_labels_in_order(prepared: Prepared) -> None:
    train = prepared.split("train")
    assert (train.rows.tolist(), train.labels.tolist()) == ([0, 2, 4], [1, 0, 2])
    assert train.rows.dtype == train.labels.dtype == np.int64
    assert train.labels.flags.writeable
    pixels, labels = train[[2, 0]]
    assert labels.tolist() == [2, 1]
    assert pixels.permute(0, 2, 3, 1).numpy().tolist() == prepared.images[[4, 0]].tolist()
    assert len(prepared.split("test")) == len(prepared.split("validation")) == 1
    assert len(prepared.split("source-validation")) == 0


def test_logits_come_back_split_by_split(store: Store, prepared: Prepared) -> None:
    splits = {name: random_logits(7, 0) for name in ("train", "validation", "source-validation")}
    store.save_logits(splits, ("first", "zweite Größe"))
    found = store.load_logits()
    assert found.keys() == splits.keys()
    for name, expected in splits.items():
        for part in "logits", "labels", "rows":
            assert same(getattr(found[name], part), getattr(expected, part))
    assert store.load_categories() == ["first", "zweite Größe"]


GAIN = Gain(Difference(0.1 + 0.2, 1e-17, -1 / 3, 0.5), Difference(-0.02, 0.01, -0.04, 0.0))


FOUND = Recommendation("vanilla", "co-tuning", GAIN.accuracy)


@pytest.mark.parametrize("best", [Best(2.3, 1 / 3, 6, {"co-tuning": GAIN}, FOUND), Best(2.3, 1.0)])
def test_numbers_come_back_to_the_last_digit(store: Store, best: Best) -> None:
    store.save_best(best)
    assert store.load_best() == best
    store.save_calibration(CALIBRATION)
    assert store.load_calibration() == CALIBRATION


def test_the_relationship_comes_back_in_float32(store: Store, prepared: Prepared) -> None:
    relationship = torch.rand(6, 3, dtype=torch.float64).softmax(dim=0).T  # not contiguous
    store.save_relationship(relationship, 1 / 3, 2.3)
    found = store.load_relationship()
    assert same(found.matrix, relationship.float())
    assert (found.temperature, found.source_weight) == (1 / 3, 2.3)


def test_a_models_state_comes_back_with_its_metadata(store: Store) -> None:
    state = {
        "conv.weight": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
        "norm.num_batches_tracked": torch.tensor(12),
    }
    store.save_model_state("co-tuning", state, {"method": "co-tuning"})
    found = store.load_model_state("co-tuning")
    assert found.keys() == state.keys()
    assert all(same(found[name], state[name]) for name in state)
    path = store.root / "data" / "fine-tune/co-tuning/seed-0/model.safetensors"
    assert read_metadata(path) == {"method": "co-tuning"}
    missing = r"data/fine-tune/vanilla/seed-0/model\.safetensors is missing"
    with pytest.raises(UserError, match=missing):
        store.load_model_state("vanilla")


@pytest.mark.parametrize(
    ("load", "stage"),
    [
        (Store.load_prepared, "prepare-data"),
        (Store.load_classes, "prepare-data"),
        (Store.load_logits, "extract-logits"),
        (Store.load_categories, "extract-logits"),
        (Store.load_calibration, "calibrate"),
        (Store.load_best, "tune"),
        (Store.load_relationship, "fit-relationship"),
        (lambda store: store.load_model_state("vanilla"), "fine-tune --method vanilla"),
    ],
)
def test_a_missing_artifact_names_its_stage(
    store: Store, load: Callable[[Store], object], stage: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(store)
    message = str(caught.value)
    assert message.startswith(f"data/{stage.split()[0]}/")
    assert message.endswith(
        f"is missing; make it with `cot stage {stage}`, or everything with `dvc repro`"
    )


def test_each_sample_has_artifacts_of_its_own_but_for_what_all_share(tmp_path: Path) -> None:
    first, second = Store(tmp_path, 0), Store(tmp_path, 7)
    splits = ["train", "train", "validation"]
    for store, labels in ((first, [0, 1, 0]), (second, [1, 0, 0])):
        manifest = pd.DataFrame({"row": range(3), "split": splits, "label": labels, "path": "x"})
        store.save_manifest(manifest, ["a", "b"], [])
        store.save_calibration(replace(CALIBRATION, temperature=1.0 + labels[0]))
    np.save(first.path("prepare-data", "images.npy"), np.zeros((3, 4, 4, 3), np.uint8))
    labels = [one.load_prepared().manifest["label"].tolist() for one in (first, second)]
    assert labels == [[0, 1, 0], [1, 0, 0]]
    assert [s.load_calibration().temperature for s in (first, second)] == [1.0, 2.0]
    assert first.folder("tune") == second.folder("tune")


def test_work_lies_outside_the_outputs(store: Store) -> None:
    assert store.work_folder("tune") == store.root / ".work" / "tune"
    assert not (store.root / ".work").exists()


class Unwritable:
    def __str__(self) -> str:
        raise ValueError("this cannot be written")


@pytest.mark.parametrize(
    ("write", "good", "bad"),
    [
        (write_json, {"value": 1}, {"value": float("nan")}),
        (write_json, {"value": 1}, {"value": object()}),
        (
            write_csv,
            pd.DataFrame({"x": [1]}),
            pd.DataFrame({"x": [*range(5000), Unwritable()]}, dtype=object),
        ),
        (write_tensors, {"x": torch.ones(2)}, {"x": torch.empty(2, device="meta")}),
    ],
)
def test_a_save_that_fails_leaves_the_old_file(
    tmp_path: Path, write: Callable[[Path, object], None], good: object, bad: object
) -> None:
    path = tmp_path / "artifact"
    write(path, good)
    old = path.read_bytes()
    with pytest.raises((ValueError, TypeError, RuntimeError, NotImplementedError)):
        write(path, bad)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_text_that_diffs_well(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert (tmp_path / "a.json").read_text().splitlines()[1] == '  "b": 1,'
    assert (tmp_path / "a.json").read_text().endswith("}\n")
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": [2]}


def test_values_by_class_come_back_as_json_with_null_for_none(tmp_path: Path) -> None:
    values = [0.5, float("nan"), 2.0]
    write_json(tmp_path / "values.json", by_class(["NA", "001", "ä"], values))
    assert read_json(tmp_path / "values.json") == {"NA": 0.5, "001": None, "ä": 2.0}
