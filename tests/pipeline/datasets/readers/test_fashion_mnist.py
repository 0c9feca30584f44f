import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.listing import Listing
from pipeline.datasets.readers.fashion_mnist import list_fashion_mnist
from pipeline.datasets.readers.published import ANY
from pipeline.datasets.readers.registry import list_source


def rows(listing: Listing) -> list[tuple[str, ...]]:
    return list(listing.samples.itertuples(index=False, name=None))


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def fashion_root(tmp_path: Path) -> Path:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 4), ("t10k", 2)):
        images = np.arange(count)[:, None, None] * np.ones((1, 28, 28))
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count) % 2 * 9)
    return tmp_path


def test_fashion_mnist_has_published_splits_and_named_classes(fashion_root: Path) -> None:
    listing = list_source("fashion-mnist", fashion_root, "any")
    assert listing.classes[0] == "T-shirt/top"
    assert len(listing.classes) == 10
    train, test = (
        "FashionMNIST/raw/train-images-idx3-ubyte",
        "FashionMNIST/raw/t10k-images-idx3-ubyte",
    )
    assert rows(listing) == [
        ("train", "T-shirt/top", f"{train}#0"),
        ("train", "Ankle boot", f"{train}#1"),
        ("train", "T-shirt/top", f"{train}#2"),
        ("train", "Ankle boot", f"{train}#3"),
        ("test", "T-shirt/top", f"{test}#0"),
        ("test", "Ankle boot", f"{test}#1"),
    ]


def test_fashion_mnist_is_read_from_disk_once(fashion_root: Path) -> None:
    listing = list_fashion_mnist(fashion_root, ANY)
    for path in (fashion_root / "FashionMNIST" / "raw").iterdir():
        path.unlink()
    levels = [np.asarray(listing.read(path)).max() for path in listing.samples["path"]]
    assert levels == [0, 1, 2, 3, 0, 1]


def test_the_fashion_mnist_reader_survives_pickling(fashion_root: Path) -> None:
    read = pickle.loads(pickle.dumps(list_fashion_mnist(fashion_root, ANY).read))
    image = read("FashionMNIST/raw/train-images-idx3-ubyte#3")
    assert (image.mode, image.size) == ("L", (28, 28))
    assert read.locate("FashionMNIST/raw/x#3") == str(fashion_root / "FashionMNIST/raw/x#3")


@pytest.mark.usefixtures("no_network")
def test_without_network_the_missing_files_are_named(fashion_root: Path) -> None:
    raw = fashion_root / "FashionMNIST" / "raw"
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError) as caught:
        list_fashion_mnist(fashion_root, ANY)
    message = str(caught.value)
    assert message.startswith(f"{raw} lacks t10k-labels-idx1-ubyte, and the download failed (")
    assert message.endswith("run `make fashion-mnist`, or put the files there, unpacked")
    assert "\n" not in message


def test_damaged_fashion_mnist_files_are_reported(fashion_root: Path) -> None:
    path = fashion_root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train-\* is damaged \(.*\); delete it and run `make"):
        list_fashion_mnist(fashion_root, ANY)


def test_fashion_mnist_with_too_few_labels_is_reported(fashion_root: Path) -> None:
    write_idx(fashion_root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte", np.zeros(1))
    with pytest.raises(UserError, match=r"t10k-\* is damaged \(2 images, 1 labels\)"):
        list_fashion_mnist(fashion_root, ANY)


@pytest.mark.parametrize("source", ["fashion-mnist", "FashionMNIST"])
def test_another_number_of_images_than_published_is_refused(
    fashion_root: Path, source: str
) -> None:
    with pytest.raises(
        UserError, match=r"train-images-idx3-ubyte: expected 60,000 images, found 4"
    ):
        list_source(source, fashion_root)
    assert len(list_source(source, fashion_root, "any").samples) == 6
