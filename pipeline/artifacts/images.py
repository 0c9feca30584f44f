"""The stored images."""

from pathlib import Path

import numpy as np


def read_images(path: Path) -> np.ndarray:
    """uint8 [N, side, side, 3], memory-mapped.

    Raises:
        ValueError: the file holds no such array, or not all of it.
    """
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    shape = images.shape
    is_squares = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3 and min(shape) > 0
    if not is_squares or images.dtype != np.uint8:
        raise ValueError(f"it holds no squares of bytes, but {shape} of {images.dtype}")
    return images
