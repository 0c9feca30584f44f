import numpy as np
import pytest
from PIL import Image

from pipeline.datasets.source_validation import add_source_validation
from pipeline.datasets.sources import list_image_folder
from pipeline.datasets.splits import build_manifest
from pipeline.errors import UserError


def fill(root, folders, grey):
    for name in folders:
        (root / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (8, 8), grey).save(root / name / f"{index}.png")


def test_source_images_become_one_more_split_with_labels_of_their_own(tmp_path):
    fill(tmp_path / "target", ["cat", "dog", "emu"], 10)
    fill(tmp_path / "source", ["tench", "goldfish"], 200)
    listing = list_image_folder(tmp_path / "target")
    manifest = build_manifest(
        listing, images_per_class=None, val_fraction=0.2, test_fraction=0.2, test_limit=None, seed=0
    )
    both, longer, folders = add_source_validation(listing, manifest, tmp_path / "source")
    added = longer[longer["split"] == "source-validation"]
    assert folders == ("goldfish", "tench")
    assert sorted(added["label"]) == [0] * 5 + [1] * 5
    assert longer["row"].tolist() == list(range(25))
    assert longer[: len(manifest)].equals(manifest)
    greys = [int(np.asarray(both.read(path)).mean()) for path in longer["path"]]
    assert greys == [10] * 15 + [200] * 10
    assert both.read.locate(added["path"].iloc[0]).startswith(str(tmp_path / "source"))


def test_a_missing_folder_names_the_param_to_correct(tmp_path):
    fill(tmp_path / "target", ["cat", "dog"], 10)
    listing = list_image_folder(tmp_path / "target")
    with pytest.raises(UserError, match=r"prepare_data\.source_validation"):
        add_source_validation(listing, None, tmp_path / "none")
