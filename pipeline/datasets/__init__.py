"""From images on the disk to batches: `readers` list what a data set has, `splits` say what is
for training, `store` decodes every image once, `batches` cuts network input from what is stored.
"""

__all__ = ["batches", "drawings", "fetch", "listing", "readers", "sizes", "splits", "store"]
