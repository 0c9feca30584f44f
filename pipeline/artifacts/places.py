"""Where each artifact lies, and what is read of a file of any stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from PIL import Image

from pipeline.artifacts import tables
from pipeline.artifacts.contents import read_checked
from pipeline.common.damage import reading, require_unchanged
from pipeline.common.errors import UserError

# What there is of every sample: folders seed-<n>, and two files.
OF_A_SAMPLE = ("calibrate", "fit-relationship", "fine-tune", "evaluate")
FILES_OF_A_SAMPLE = {
    ("prepare-data", "manifest.csv"): "manifests/seed-{}.csv",
    ("extract-logits", "logits.safetensors"): "logits/seed-{}.safetensors",
}


class Places:
    """The files below <root>/data, one folder a stage.

    Args:
        root: the project's folder.
        sample: the one of fine_tune.seeds whose artifacts these are, where each has its own.
    """

    files_of_a_sample: ClassVar = FILES_OF_A_SAMPLE

    def __init__(self, root: Path, sample: int = 0) -> None:
        self.root = root
        self.sample = sample

    def folder(self, stage: str, method: str | None = None) -> Path:
        """data/<stage>/, below it <method>/ and, of what each sample has, seed-<n>/."""
        folder = self.root / "data" / stage
        folder = folder / method if method else folder
        return folder / f"seed-{self.sample}" if stage in OF_A_SAMPLE else folder

    def path(self, *names: str) -> Path:
        """data/<names...>, or the sample's own file where each has one."""
        stage, *folders, last = names
        if (stage, last) in self.files_of_a_sample:
            last = self.files_of_a_sample[stage, last].format(self.sample)
        return self.folder(stage, *folders) / last

    def work_folder(self, stage: str) -> Path:
        """What a stage keeps between runs outside its outputs: checkpoints, the tuning journal."""
        return self.root / ".work" / stage

    def require(self, *names: str) -> Path:
        """path(*names), which must exist: the stage, the method where there is one, the file."""
        path = self.path(*names)
        if not path.exists():
            command = " --method ".join(names[:-1])
            raise UserError(
                f"{path.relative_to(self.root)} is missing; make it with `cot stage {command}`, "
                "or everything with `dvc repro`"
            )
        return path

    @contextmanager
    def whole(self, *names: str) -> Iterator[Path]:
        """require(*names), to be read in the block, where whatever goes wrong is damage to it.

        Raises:
            UserError: it is missing, damaged, or not as its stage wrote it.
        """
        path = self.require(*names)
        with reading(self.root, path):
            yield path
            if path.suffix != ".npy":  # images may be many GB: stage_run looks, which hashes them
                require_unchanged(self.root, path)

    def load_json(self, kind: Any, *names: str) -> Any:
        """A JSON file of a kind of pipeline.artifacts.contents."""
        with self.whole(*names) as path:
            return read_checked(path, kind)

    def load_table(self, columns: tables.Columns, *names: str) -> pd.DataFrame:
        """A table with the columns of one of pipeline.artifacts.tables."""
        with self.whole(*names) as path:
            return tables.read_table(path, columns)

    def require_picture(self, *names: str) -> Path:
        """Of a PNG, to be shown as it is."""
        with self.whole(*names) as path, Image.open(path, formats=["PNG"]) as picture:
            picture.verify()
        return path
