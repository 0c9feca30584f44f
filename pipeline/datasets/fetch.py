"""Fetch Fashion-MNIST without a hub: from this machine, or from the system's package source.

Where neither has it, the stage prepare-data downloads it by torchvision.
"""

import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.common.files import write_aside

PACKAGE = "dataset-fashion-mnist"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def fetch_fashion_mnist(destination: Path) -> bool:
    """Put the four unpacked idx files into a folder; False where no source has them.

    Args:
        destination: <root>/FashionMNIST/raw, where torchvision looks for them.
    """
    if all((destination / name).exists() for name in FILES):
        return True
    if SYSTEM_FOLDER.is_dir():
        _unpack(SYSTEM_FOLDER, destination)
        return True
    if shutil.which("apt-get") is None:
        return False
    with tempfile.TemporaryDirectory() as temporary:
        package = _download_package(Path(temporary))
        if package is None:
            return False
        subprocess.run(["dpkg", "-x", str(package), temporary], check=True)
        _unpack(Path(temporary) / SYSTEM_FOLDER.relative_to("/"), destination)
    return True


def _download_package(folder: Path) -> Path | None:
    """apt-get needs no root when its lists and cache lie in a folder of one's own."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
    options += ["-o", "APT::Sandbox::User=root", "-qq"]
    for command in (["update"], ["download", PACKAGE]):
        result = subprocess.run(["apt-get", *options, *command], cwd=folder, capture_output=True)
        if result.returncode != 0:
            return None
    return next(folder.glob("*.deb"), None)


def _unpack(source: Path, destination: Path) -> None:
    for name in FILES:
        with (
            gzip.open(source / f"{name}.gz") as packed,
            write_aside(destination / name) as aside,
            aside.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked)


if __name__ == "__main__":
    if not fetch_fashion_mnist(Path(sys.argv[1])):
        sys.stderr.write("Fashion-MNIST is not at hand; prepare-data will download it.\n")
