"""What can happen to a file: the words of tests/bad_inputs.yaml."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from layouts import draw
from malformed import malformed
from safetensors.torch import load_file, save_file
from torch import Tensor

MALFORMED = malformed()


def cut(path: Path, share: float) -> None:
    """Keep the first part of the bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def flip(path: Path, place: float) -> None:
    """Change a byte, at such a part of the file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def text(path: Path, content: str) -> None:
    path.write_text(content)


def hexadecimal(path: Path, content: str) -> None:
    path.write_bytes(bytes.fromhex(content))


def replace(path: Path, pair: list[str]) -> None:
    """The first text by the second, once."""
    content = path.read_text()
    assert pair[0] in content
    path.write_text(content.replace(*pair, 1))


def change(path: Path, values: Mapping[str, Any]) -> None:
    """Values of a JSON object, or of one in it by a dotted name; GONE takes a value away."""
    content = json.loads(path.read_text())
    for name, value in values.items():
        *outer, last = name.split(".")
        inner = content
        for key in outer:
            inner = inner[key]
        if value == "GONE":
            del inner[last]
        else:
            inner[last] = value
    path.write_text(json.dumps(content))


def column(path: Path, values: Mapping[str, Any]) -> None:
    """The first value of a column, or all where a list of one is given; GONE takes it away."""
    table = pd.read_csv(path, dtype=object, keep_default_na=False)
    for name, value in values.items():
        if value == "GONE":
            table = table.drop(columns=name)
        elif isinstance(value, list):
            table[name] = value[0]
        else:
            table.loc[0, name] = value
    table.to_csv(path, index=False)


def lose(path: Path, rows: int) -> None:
    """The last rows of a table."""
    pd.read_csv(path, dtype=object, keep_default_na=False)[:-rows].to_csv(path, index=False)


def twice(path: Path, rows: int) -> None:
    """The first rows of a table, again at its end."""
    table = pd.read_csv(path, dtype=object, keep_default_na=False)
    pd.concat([table, table[:rows]]).to_csv(path, index=False)


TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "nan": lambda tensor: torch.full_like(tensor, torch.nan),
    "infinite": lambda tensor: torch.full_like(tensor, torch.inf),
    "zero": torch.zeros_like,
    "negative": lambda tensor: -tensor,
    "doubled": lambda tensor: 2 * tensor,
    "shorter": lambda tensor: tensor[:-1].clone(),
    "narrower": lambda tensor: tensor[..., :-1].contiguous(),
    "flat": lambda tensor: tensor.flatten(),
    "whole": lambda tensor: tensor.long(),
    "real": lambda tensor: tensor.float(),
    "reversed": lambda tensor: tensor.flip(0),
    "large": lambda tensor: tensor + 10_000,
}


def tensor(path: Path, changes: Mapping[str, str]) -> None:
    """Tensors of a safetensors file, by a word of TENSORS, or GONE."""
    tensors = load_file(path)
    for name, word in changes.items():
        found = tensors.pop(name)
        if word != "GONE":
            tensors[name] = TENSORS[word](found)
    save_file(tensors, path)


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fewer": lambda array: array[:-1],
    "grey": lambda array: array[..., 0],
    "real": lambda array: array.astype(np.float32),
    "not square": lambda array: array[:, :-1],
    "small": lambda array: array[:, :8, :8],
    "none": lambda array: array[:0],
    "objects": lambda array: np.array([{"a": 1}], dtype=object),
}


def array(path: Path, word: str) -> None:
    """A .npy file, by a word of ARRAYS."""
    np.save(path, ARRAYS[word](np.load(path)), allow_pickle=True)


def state(path: Path, values: Any) -> None:
    """A file of torch.save."""
    torch.save(values, path)


def like(path: Path, other: str) -> None:
    """The content of another file of the project."""
    shutil.copy(other, path)


def photograph(path: Path, label: int) -> None:
    draw(path.with_suffix(".jpg"), label)
    path.with_suffix(".jpg").rename(path)


def body(path: Path, name: str) -> None:
    """What people send where an image is wanted."""
    path.write_bytes(MALFORMED[name])


def gone(path: Path, how: Any) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def folder(path: Path, how: Any) -> None:
    """A folder of that name in place of the file."""
    if path.exists():
        gone(path, how)
    path.mkdir()


def link(path: Path, target: str) -> None:
    """A link that leads there."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


OF_A_FILE: dict[str, Callable[[Path, Any], None]] = {
    **{"cut": cut, "flip": flip, "text": text, "hex": hexadecimal, "replace": replace},
    **{"json": change, "column": column, "lose": lose, "twice": twice, "tensor": tensor},
    **{"array": array, "state": state, "like": like, "photograph": photograph, "body": body},
    **{"gone": gone, "folder": folder, "link": link},
}


def damage(path: Path, how: Mapping[str, Any]) -> None:
    """Do to a file, which may not be there yet, what the words say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for word, value in how.items():
        OF_A_FILE[word](path, value)


@contextmanager
def restored(root: Path, names: list[str]) -> Iterator[None]:
    """Leave these files and folders as they are, or not there, when the block is over."""
    with tempfile.TemporaryDirectory() as aside:
        kept: dict[Path, Path | None] = {}
        for number, name in enumerate(names):
            path = _first_missing(root / name)
            kept[path] = Path(aside) / str(number) if path.exists() else None
            if copy := kept[path]:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, copy)
        try:
            yield
        finally:
            for path, copy in kept.items():
                if path.exists() or path.is_symlink():
                    gone(path, None)
                if copy:
                    shutil.move(copy, path)


def _first_missing(path: Path) -> Path:
    """Of the folders above a path, and itself, the first that is not there; itself if all are."""
    above = [*reversed(path.parents), path]
    return next((one for one in above if not one.exists()), path)
