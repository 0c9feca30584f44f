"""From images on the disk to batches: `readers` list what a data set has, `splits` say what is
for training, `store` decodes every image once, `batches` cuts network input from what is stored.
Before all of that `inspection` looks at a folder, and `proposal` chooses params that fit it.
"""

__all__ = [
    "batches",
    "drawings",
    "fetch",
    "inspection",
    "listing",
    "proposal",
    "readers",
    "repeats",
    "sizes",
    "splits",
    "store",
]
