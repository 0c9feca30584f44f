"""Cells before they are trained: what they draw, which R they get, what they are called."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits
from pipeline.claims.cell import Cell, training_of
from pipeline.claims.controls import control
from pipeline.claims.pool import Pool, rows_to_logits
from pipeline.common.errors import UserError
from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params.claims_sections import CellSettings, Rate
from pipeline.params.sections import Training
from pipeline.training.data import Data

CLASSES, SMALLEST_CLASS = 3, 14  # of the pool
TWELVE = Rate(images_per_class=12, steps=6)
CO_TUNING = CellSettings(method="co-tuning", learning_rate=0.02)


def cell(settings: CellSettings, seed: int = 0, tested: bool = True, rate: Rate = TWELVE) -> Cell:
    return Cell(settings.method, rate, seed, settings, tested)


def paths(sample: Prepared, *splits: str) -> set[str]:
    return {path for split in splits for path in sample.samples(split)["path"]}


@pytest.mark.parametrize("seed", [0, 1, 1000])
def test_a_sample_has_so_many_images_of_each_class_and_all_test_images(
    pool: Pool, seed: int
) -> None:
    sample = pool.draw(8, 0.25, seed)
    counts = sample.manifest.groupby(["split", "label"]).size().unstack()
    assert counts.loc["train"].tolist() == [6] * CLASSES
    assert counts.loc["validation"].tolist() == [2] * CLASSES
    assert paths(sample, "test") == paths(pool.prepared, "test")
    assert paths(sample, "train", "validation") < paths(pool.prepared, "train", "validation")
    assert sample.classes == pool.prepared.classes


def test_where_a_pool_has_no_test_images_all_that_were_not_drawn_are_tested(pool: Pool) -> None:
    manifest = pool.prepared.manifest
    every = manifest.assign(split=manifest["split"].replace("test", "train"))
    untested = replace(pool, prepared=replace(pool.prepared, manifest=every))
    first, second = (untested.draw(8, 0.25, seed) for seed in (0, 1))
    for sample in (first, second):
        splits = [paths(sample, split) for split in ("train", "validation", "test")]
        assert sum(map(len, splits)) == len(manifest)
        assert set.union(*splits) == set(manifest["path"])
        assert [len(split) for split in splits[:2]] == [6 * CLASSES, 2 * CLASSES]
    assert paths(first, "test") != paths(second, "test")


def test_the_seed_alone_decides_the_sample(pool: Pool) -> None:
    torch.manual_seed(1)
    first = pool.draw(8, 0.25, 3)
    np.random.default_rng().random()
    torch.rand(3)
    pd.testing.assert_frame_equal(pool.draw(8, 0.25, 3).manifest, first.manifest)
    assert paths(pool.draw(8, 0.25, 4), "train") != paths(first, "train")


def test_a_larger_rate_contains_a_smaller_one(pool: Pool) -> None:
    samples = [pool.draw(images, 0.25, 5) for images in (2, 5, 9, SMALLEST_CLASS)]
    for small, large in itertools.pairwise(samples):
        assert paths(small, "train") < paths(large, "train")
        assert paths(small, "validation") <= paths(large, "validation")


def test_rows_map_to_the_images_and_logits_of_the_pool(pool: Pool) -> None:
    sample = pool.draw(9, 0.25, 2)
    known = pool.prepared.manifest.set_index("path")
    for split, logits in pool.split_logits(sample).items():
        listed = known.loc[sample.samples(split)["path"]]
        images = sample.split(split)
        assert images.rows.tolist() == logits.rows.tolist() == listed["row"].tolist()
        assert images.labels.tolist() == logits.labels.tolist() == listed["label"].tolist()
        assert torch.equal(logits.logits, pool.logits[listed["row"].tolist()])
        pixels, labels = images[list(range(len(images)))]
        assert torch.equal(pixels.float().mean(dim=(2, 3)).argmax(dim=1), labels)


def test_only_the_images_of_a_sample_are_in_its_logits(pool: Pool) -> None:
    splits = pool.split_logits(pool.draw(4, 0.25, 0))
    assert set(splits) == {"train", "validation"}
    assert all(split.logits.isfinite().all() for split in splits.values())


def test_a_rate_beyond_the_pool_is_refused(pool: Pool) -> None:
    assert len(pool.draw(SMALLEST_CLASS, 0.25, 0).split("train")) == 30
    with pytest.raises(UserError, match=r"sample of 15 images a class .* has 14 of one"):
        pool.draw(SMALLEST_CLASS + 1, 0.25, 0)


def test_images_of_source_categories_are_not_drawn(pool: Pool) -> None:
    manifest = pool.prepared.manifest.copy()
    source = manifest["path"].isin(manifest.loc[manifest["split"] == "train", "path"][::2])
    manifest.loc[source, "split"] = "source-validation"
    prepared = Prepared(manifest, pool.prepared.classes, ["cat"], pool.prepared.images)
    sample = Pool(prepared, pool.logits, pool.source).draw(5, 0.25, 0)
    assert not paths(sample, "train", "validation", "test") & paths(prepared, "source-validation")


def test_logits_lie_at_the_rows_of_their_images() -> None:
    values = torch.randn(5, 4)
    splits = {
        "train": SplitLogits(values[:3], torch.tensor([0, 1, 0]), torch.tensor([6, 0, 3])),
        "validation": SplitLogits(values[3:], torch.tensor([1, 0]), torch.tensor([2, 5])),
    }
    table = rows_to_logits(splits, images=8)
    assert torch.equal(table[[6, 0, 3, 2, 5]], values)
    assert table[[1, 4, 7]].isnan().all()
    assert table.shape == (8, 4)


MARGINAL = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1])


def relationship(classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(classes)
    return torch.softmax(torch.randn(classes, 7, generator=generator), dim=1)


@given(classes=st.integers(2, 300), seed=st.integers(0, 2**31))
def test_shuffling_gives_every_row_to_another_class(classes: int, seed: int) -> None:
    learned = relationship(classes)
    shuffled = control(learned, MARGINAL, "shuffled", seed)
    assert not (shuffled == learned).all(dim=1).any()
    assert sorted(shuffled.tolist()) == sorted(learned.tolist())
    assert torch.equal(shuffled, control(learned, MARGINAL, "shuffled", seed))


def test_shuffles_of_different_seeds_differ() -> None:
    learned = relationship(10)
    found = {str(control(learned, MARGINAL, "shuffled", seed).tolist()) for seed in range(20)}
    assert len(found) > 15


def test_a_uniform_relationship_knows_nothing_and_the_learned_one_is_kept() -> None:
    learned = relationship(6)
    marginal = control(learned, MARGINAL, "marginal", 0)
    assert all(torch.equal(row, MARGINAL) for row in marginal)
    uniform = control(learned, MARGINAL, "uniform", 0)
    assert torch.equal(uniform, torch.full((6, 7), 1 / 7))
    assert control(learned, MARGINAL, "learned", 0) is learned


@pytest.mark.parametrize(
    ("steps", "images", "batch", "epochs"),
    [(120, 80, 48, 120), (120, 960, 48, 6), (130, 960, 48, 6), (131, 960, 48, 7),
     (3, 960, 48, 1), (120, 10, 48, 120)],
)  # fmt: skip
def test_steps_become_whole_epochs(steps: int, images: int, batch: int, epochs: int) -> None:
    rate = Rate(images_per_class=20, steps=steps)
    train = ImageSet(np.empty(0), np.arange(images), np.zeros(images))
    data = Data(train, train, Preprocessing(12, (0.5,) * 3, (0.5,) * 3))
    given = Training(batch_size=batch, weight_decay=0.01, learning_rate=5.0)
    found = training_of(cell(CO_TUNING, rate=rate), given, data)
    assert found == given.model_copy(update={"epochs": epochs, "learning_rate": 0.02})


def test_names_differ_where_anything_differs() -> None:
    start = cell(CO_TUNING)
    others = [cell(CO_TUNING, seed=1), cell(CO_TUNING, tested=False)]
    others += [cell(CO_TUNING, rate=Rate(images_per_class=12, steps=7))]
    others += [cell(CO_TUNING, rate=Rate(images_per_class=13, steps=6))]
    others += [Cell("direct", TWELVE, 0, CO_TUNING, tested=True)]
    for name, value in (
        *(("calibrated", False), ("direction", "direct"), ("relationship", "uniform")),
        *(("learning_rate", 0.03), ("source_weight", 1.0), ("peers.bss.strength", 0.5)),
    ):
        others.append(cell(CO_TUNING.changed({name: value})))
    names = {start.name, *(other.name for other in others)}
    assert len(names) == 1 + len(others)
    assert start.name == cell(CellSettings(method="co-tuning", learning_rate=0.02)).name
