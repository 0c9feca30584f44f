"""Every image decoded and resized once, into one memory-mapped file; a kill costs little of it.

`store_images` is what prepare-data calls.
"""

__all__ = ["decode", "disk_space", "pool", "store_images"]
