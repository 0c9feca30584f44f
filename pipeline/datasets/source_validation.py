"""Labelled source images as one more split, for the calibration of the source model."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.datasets.image_folder import list_image_folder
from pipeline.datasets.listing import Listing, Read

SPLIT = "source-validation"


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


def add_source_validation(
    listing: Listing, manifest: pd.DataFrame, root: Path
) -> tuple[Listing, pd.DataFrame, tuple[str, ...]]:
    """Append the images of <root>/<category>/ to a manifest as the split source-validation.

    Args:
        listing: of the target images.
        manifest: columns row, split, label, path.
        root: a folder a source category.

    Returns:
        The listing, now able to read both; the manifest, its new labels counting the folders
        in order; the folders' names.

    Raises:
        UserError: the folder is missing, has another layout or a category without images.
    """
    source = list_image_folder(root, "prepare_data.source_validation")
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
    both = replace(listing, read=TwoFolderReader(listing.read, source.read))
    return both, pd.concat([manifest, added], ignore_index=True), source.classes
