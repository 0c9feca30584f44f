"""Labelled source images as one more split, for the calibration of the source model."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.datasets.listing import ImageFolderReader, Listing, Read, leads_out, name_some
from pipeline.datasets.readers.image_folder import list_image_folder

SPLIT = "source-validation"
PARAMETER = "prepare_data.source_validation"


@dataclass(frozen=True)
class TwoFolderReader:
    """Opens target images by their own path and source images by source-validation/<path>."""

    target: Read
    source: Read

    def __call__(self, path: str) -> Image.Image:
        reader, path = self._choose(path)
        return reader(path)

    def locate(self, path: str) -> str:
        """The full path, for messages."""
        reader, path = self._choose(path)
        return reader.locate(path)

    def _choose(self, path: str) -> tuple[Read, str]:
        if path.startswith(f"{SPLIT}/"):
            return self.source, path.removeprefix(f"{SPLIT}/")
        return self.target, path


def list_source_validation(root: Path, labels_file: Path | None = None) -> Listing:
    """Labelled source images; its classes are what folders or file call the categories.

    Args:
        root: a folder a source category; with labels_file, what its paths are relative to.
        labels_file: as list_labelled_files reads it.

    Raises:
        UserError: the folder is missing, has another layout or a category without images, or
            the file does not describe it.
    """
    if labels_file is None:
        return list_image_folder(root, PARAMETER)
    return list_labelled_files(root, labels_file)


def reading_both(target: Listing, source: Listing) -> Listing:
    """The target's listing, able to read the images of source too."""
    return replace(target, read=TwoFolderReader(target.read, source.read))


def add_source_validation(manifest: pd.DataFrame, source: Listing) -> pd.DataFrame:
    """Append labelled source images to a manifest as the split source-validation.

    Args:
        manifest: columns row, split, label, path; the new labels count the categories in order.
    """
    samples = source.samples
    labels = {name: label for label, name in enumerate(source.classes)}
    added = pd.DataFrame(
        {
            "row": range(len(manifest), len(manifest) + len(samples)),
            "split": SPLIT,
            "label": samples["class_name"].map(labels),
            "path": f"{SPLIT}/" + samples["path"],
        }
    )
    return pd.concat([manifest, added], ignore_index=True)


def list_labelled_files(root: Path, labels_file: Path) -> Listing:
    """Images of one folder, and a file that says what each of them shows.

    Args:
        root: of the images; those that the file does not list are left out.
        labels_file: a line an image, its path below root and its label, which may have spaces.
            What a label means is for match_categories to say.

    Raises:
        UserError: folder or file is missing, a line has no label, an image is listed twice or is
            absent.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder; put the images there, or correct {PARAMETER}")
    try:
        text = labels_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text in UTF-8"
        raise UserError(f"prepare_data.source_labels: {labels_file}: {reason}") from None
    lines = [(number, line.split(maxsplit=1)) for number, line in enumerate(text.splitlines(), 1)]
    entries = [(number, *fields) for number, fields in lines if fields]
    for number, *fields in entries:
        if len(fields) < 2:
            raise UserError(
                f"{labels_file}, line {number}: got {fields[0]!r}, expected a file's name and its "
                "label: a WordNet id, an index from 0 in the source model's order, or a category's "
                "name (the devkit's ground truth has neither names nor such an index)"
            )
    samples = pd.DataFrame(entries, columns=["line", "path", "class_name"])
    _check_listed(samples, root, labels_file)
    samples["class_name"] = samples["class_name"].str.strip()
    samples = samples.drop(columns="line").assign(split="").sort_values(["class_name", "path"])
    return Listing(samples, tuple(sorted(set(samples["class_name"]))), ImageFolderReader(root))


def _check_listed(samples: pd.DataFrame, root: Path, labels_file: Path) -> None:
    if samples.empty:
        raise UserError(f"{labels_file} lists no image; expected a file's name and label a line")
    again = samples[samples["path"].duplicated()]
    if len(again):
        first = again.iloc[0]
        raise UserError(
            f"{labels_file}, line {first['line']}: {first['path']} is listed before; "
            "leave one of the lines"
        )
    if outside := [path for path in samples["path"] if leads_out(path)]:
        raise UserError(
            f"{labels_file} names files outside of {root}: {name_some(outside, limit=3)}; put the "
            "images there"
        )
    absent = [path for path in samples["path"] if not (root / path).is_file()]
    if absent:
        raise UserError(
            f"{len(absent)} of {len(samples)} images that {labels_file} lists are not in {root}: "
            f"{name_some(absent, limit=3)}; complete the folder, or correct {PARAMETER}"
        )
