"""How images are resized."""

from typing import Literal

# By Pillow's names, with antialias.
Interpolation = Literal["bilinear", "bicubic"]
