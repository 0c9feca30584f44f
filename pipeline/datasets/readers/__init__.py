"""One file a published data set, and folders of images: each gives a `Listing`.

A new data set is a file here and a line in `registry`, which prepare-data reads.
"""

__all__ = [
    "coco_70",
    "cub_200_2011",
    "downloads",
    "fashion_mnist",
    "fgvc_aircraft",
    "image_folder",
    "published",
    "registry",
    "source_validation",
    "stanford_cars",
    "torchvision_sets",
]
