"""Where images come from: the one registry of what prepare_data.source can name."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pipeline.common.errors import one_line
from pipeline.datasets.listing import ImageFolderReader, Listing, Read, name_some
from pipeline.datasets.readers import (
    coco_70,
    cub_200_2011,
    fashion_mnist,
    fgvc_aircraft,
    stanford_cars,
)
from pipeline.datasets.readers.image_folder import list_image_folder
from pipeline.datasets.readers.published import ANY, Counts
from pipeline.datasets.readers.torchvision_sets import (
    SETS,
    list_fgvc_aircraft_by_torchvision,
    list_torchvision_set,
)

__all__ = [
    "PUBLISHED_SOURCES",
    "ImageFolderReader",
    "Listing",
    "Read",
    "list_image_folder",
    "list_source",
    "name_some",
    "one_line",
]

Lister = Callable[[Path, Counts], Listing]

PUBLISHED_SOURCES: dict[str, tuple[Lister, Counts]] = {
    "fashion-mnist": (fashion_mnist.list_fashion_mnist, fashion_mnist.PUBLISHED),
    "cub-200-2011": (cub_200_2011.list_cub_200_2011, cub_200_2011.PUBLISHED),
    "stanford-cars": (stanford_cars.list_stanford_cars, stanford_cars.PUBLISHED),
    "fgvc-aircraft": (fgvc_aircraft.list_fgvc_aircraft, fgvc_aircraft.PUBLISHED),
    "coco-70": (coco_70.list_coco_70, coco_70.PUBLISHED),
    "FashionMNIST": (fashion_mnist.list_fashion_mnist, fashion_mnist.PUBLISHED),
    "StanfordCars": (stanford_cars.list_stanford_cars, stanford_cars.PUBLISHED),
    "FGVCAircraft": (list_fgvc_aircraft_by_torchvision, fgvc_aircraft.PUBLISHED),
    **{
        name: (functools.partial(list_torchvision_set, name), known.counts)
        for name, known in SETS.items()
    },
}


def list_source(
    source: str, root: Path, expected_counts: Literal["published", "any"] = "published"
) -> Listing:
    """List the source that prepare_data.source names; raises as the source's own function does.

    Args:
        source: image-folder or one of PUBLISHED_SOURCES.
        root: of its files.
        expected_counts: whether a published data set has to have all its classes and images.
    """
    if source == "image-folder":
        return list_image_folder(root)
    list_published, published = PUBLISHED_SOURCES[source]
    return list_published(root, published if expected_counts == "published" else ANY)
