"""Fetch data sets without a hub: from this machine, or from the system's package source."""

import gzip
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.files import write_aside
from pipeline.datasets.drawings import draw_emoji

SYSTEM_ROOT = Path("/")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Cut-out photographs, GPL-2 as the package says; a folder of stamps a class.
PHOTOGRAPHS = {
    "birds": "animals/birds",
    "fish": "animals/fish",
    "flowers": "plants/flowers",
    "fruit": "food/fruit",
    "houses": "town/houses",
    "insects": "animals/insects",
    "mammals": "animals/mammals",
    "money": "symbols/money",
    "musical instruments": "hobbies/music",
    "tools": "household/tools",
    "vegetables": "food/vegetables",
    "vehicles": "vehicles",
}
EMOJI_FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_LIST = "usr/share/unicode/emoji/emoji-test.txt"


def fetch_fashion_mnist(destination: Path) -> bool:
    """Put the four unpacked idx files into a folder; False where no source has them.

    Args:
        destination: <root>/FashionMNIST/raw, where torchvision looks for them.
    """
    if all((destination / name).exists() for name in FILES):
        return True
    with debian_package("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist") as folder:
        if folder is None:
            return False
        for name in FILES:
            with (
                gzip.open(folder / f"{name}.gz") as packed,
                write_aside(destination / name) as aside,
                aside.open("wb") as unpacked,
            ):
                shutil.copyfileobj(packed, unpacked)
    return True


def fetch_photographs(destination: Path) -> bool:
    """Put 342 photographs of 12 classes into a folder a class; False where no source has them.

    Args:
        destination: a folder that appears when it is whole.
    """
    if destination.exists():
        return True
    with debian_package("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps") as folder:
        if folder is None:
            return False
        with _whole_folder(destination) as whole:
            for name, stamps in PHOTOGRAPHS.items():
                (whole / name).mkdir(parents=True)
                for path in sorted((folder / stamps).rglob("*.png")):
                    if not path.stem.endswith("_mirror"):
                        below = path.relative_to(folder / stamps)
                        shutil.copyfile(path, whole / name / "-".join(below.parts))
    return True


def fetch_drawings(destination: Path) -> bool:
    """Put 1165 emoji of 34 classes into a folder a class; False where no source has them.

    The drawings are of the font Noto Color Emoji (SIL OFL 1.1 as the package says), 128 x 128 on
    white; the classes are of Unicode's list of emoji (Unicode's licence for data files). Both are
    as this machine or its package source has them: another release may draw or sort one otherwise.

    Args:
        destination: a folder that appears when it is whole.
    """
    if destination.exists():
        return True
    with (
        debian_package("fonts-noto-color-emoji", EMOJI_FONT) as font,
        debian_package("unicode-data", EMOJI_LIST) as listing,
    ):
        if font is None or listing is None:
            return False
        with _whole_folder(destination) as whole:
            draw_emoji(font, listing, whole)
    return True


@contextmanager
def _whole_folder(destination: Path) -> Iterator[Path]:
    """A path to make a folder at; it appears as `destination` if the block succeeds."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as temporary:
        whole = Path(temporary) / destination.name
        yield whole
        whole.rename(destination)


@contextmanager
def debian_package(name: str, path: str) -> Iterator[Path | None]:
    """What a Debian package has: on this machine, or as downloaded; None without either.

    Args:
        name: of the package.
        path: of a folder or file in it, from the root.
    """
    if (SYSTEM_ROOT / path).exists():
        yield SYSTEM_ROOT / path
        return
    with tempfile.TemporaryDirectory() as temporary:
        package = _download(name, Path(temporary)) if shutil.which("apt-get") else None
        if package is not None:
            subprocess.run(["dpkg", "-x", str(package), temporary], check=True)
        yield Path(temporary) / path if package is not None else None


def _download(name: str, folder: Path) -> Path | None:
    """apt-get needs no root when its lists and cache lie in a folder of one's own."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
    options += ["-o", "APT::Sandbox::User=root", "-qq"]
    for command in (["update"], ["download", name]):
        result = subprocess.run(["apt-get", *options, *command], cwd=folder, capture_output=True)
        if result.returncode != 0:
            return None
    return next(folder.glob("*.deb"), None)


FETCHERS: dict[str, Callable[[Path], bool]] = {
    "fashion-mnist": fetch_fashion_mnist,
    "photographs": fetch_photographs,
    "drawings": fetch_drawings,
}

# What there is without a package source.
ADVICE = {
    "fashion-mnist": "prepare-data will try to download it by torchvision",
    "photographs": "run `make data` on a machine that has one and copy the folder from there, or "
    "point prepare_data.root at a folder of your own images",
}


def main(name: str, destination: Path) -> int:
    """Fetch a data set; what to return to the shell, 1 where it has to come from elsewhere."""
    if FETCHERS[name](destination):
        return 0
    advice = ADVICE.get(name, "README.md says what else there is")
    sys.stderr.write(f"no package source of Debian has the {name} for {destination}; {advice}\n")
    return 0 if name == "fashion-mnist" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
