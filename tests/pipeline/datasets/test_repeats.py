"""Files of equal bytes, found by reading only those whose size another one has."""

import logging
from pathlib import Path

import pandas as pd
import pytest
from prepared_project import cot, draw_photos

from pipeline.common import files
from pipeline.datasets import repeats
from pipeline.datasets.listing import ImageFolderReader
from pipeline.datasets.repeats import contents, repeats_of_samples

PARAMS = """
source_model: {input_size: 32}
prepare_data: {root: photos, stored_size: 36, images_per_class: null}
"""


def write(root: Path, **texts: str) -> list[Path]:
    paths = []
    for name, text in texts.items():
        paths.append(root / f"{name}.png")
        paths[-1].write_text(text)
    return paths


def test_only_files_of_equal_sizes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path, a="xx", b="yyy", c="xz", d="xx", e="long")
    read: list[Path] = []

    def hashed(path: Path) -> str:
        read.append(path)
        return files.content_hash(path)

    monkeypatch.setattr(repeats, "content_hash", hashed)
    a, b, c, d, e, gone = contents([*paths, tmp_path / "archive#3"])
    assert (b, e, gone) == ("", "", "")
    assert a == d != c
    assert sorted(path.stem for path in read) == ["a", "c", "d"]


def test_each_sample_has_splits_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, a="same", b="same", c="else", d="else")
    paths = ["a.png", "b.png", "c.png", "d.png"]
    samples = [
        pd.DataFrame({"split": split, "label": [0, 0, 0, 1], "path": paths})
        for split in (["train", "train", "test", "test"], ["train", "test", "test", "test"])
    ]
    found = repeats_of_samples(samples, ["cat", "dog"], ImageFolderReader(tmp_path))
    assert found.across_splits == (("a.png", "b.png"),)
    assert found.across_classes == (("c.png", "d.png"),)
    assert len(found.harmful) == 2


@pytest.mark.parametrize("way", ["warn", "stop"])
def test_prepare_data_counts_them_and_names_three(
    way: str, project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(project)
    draw_photos(project / "photos", 8)
    for number in range(4):
        same = (project / f"photos/brick/{number}.png").read_bytes()
        (project / f"photos/grass/{number}.png").write_bytes(same)
    (project / "dvc.yaml").write_text("")
    (project / "params.yaml").write_text(PARAMS)
    with caplog.at_level(logging.WARNING, "stages.prepare_data"):
        result = cot("stage", "prepare-data", "--set", f"prepare_data.on_duplicate={way}")
    said = result.stderr + caplog.text
    assert "equal files are in several classes (4), one of the labels is wrong; keep one" in said
    assert said.count("brick/") == said.count("grass/") >= 3
    assert "and 1 more" in said
    assert result.exit_code == (0 if way == "warn" else 1)
    assert (project / "data/prepare-data/images.npy").exists() == (way == "warn")
    assert ("or set prepare_data.on_duplicate: warn" in said) == (way == "stop")
