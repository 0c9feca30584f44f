"""The images that params.yaml names, and the room that prepare-data needs for them."""

from pathlib import Path
from shutil import disk_usage

from pipeline.checks.finding import Finding
from pipeline.common.errors import UserError
from pipeline.datasets.listing import Listing
from pipeline.datasets.readers.registry import list_source
from pipeline.datasets.readers.torchvision_sets import SETS
from pipeline.datasets.splits import build_manifest
from pipeline.datasets.store.disk_space import check_room, stored_bytes
from pipeline.params import Params


def data_folder(params: Params, root: Path) -> Finding:
    """Whether the images are there as their source has them; nothing is opened or downloaded."""
    listing = _listed(params, root)
    section = params.prepare_data
    if listing is None:
        text = f"{root / section.root} has no {SETS[section.source].folder}: prepare-data downloads"
        return Finding("images", text, "note")
    paths = drawn(params, listing)
    text = f"{len(listing.samples)} of {len(listing.classes)} classes in {section.root}"
    return Finding("images", f"{text}; {len(paths)} of them are drawn")


def room(params: Params, root: Path) -> Finding:
    """Whether the stored images fit on the disk."""
    # It imports torch, which takes seconds.
    from pipeline.sources.sizes import find_sizes

    listing = _listed(params, root)
    if listing is None:
        return Finding("disk", f"{disk_usage(root).free / 1e9:.1f} GB free", "note")
    count = len(drawn(params, listing))
    sizes = find_sizes(params.source_model, params.prepare_data)
    free, needed = disk_usage(root).free / 1e9, stored_bytes(count, sizes.stored) / 1e9
    text = f"prepare-data needs {needed:.2f} GB, and DVC's copy as much; {free:.1f} GB are free"
    if (root / "data/prepare-data/images.npy").exists():
        return Finding("disk", f"{text}; it has run before")
    check_room(root, count, sizes.stored, sizes.network_input)
    return Finding("disk", text, "good" if 2 * needed <= free else "note")


def drawn(params: Params, listing: Listing) -> set[str]:
    """Paths of the images that the samples of all seeds have together.

    Raises:
        UserError: as build_manifest.
    """
    section = params.prepare_data
    samples = (
        build_manifest(
            listing,
            images_per_class=section.images_per_class,
            val_fraction=section.val_fraction,
            test_fraction=section.test_fraction,
            test_limit=section.test_limit,
            seed=params.seed + seed,
            sampling_rate=section.sampling_rate,
        )
        for seed in params.fine_tune.seeds
    )
    return {path for sample in samples for path in sample["path"]}


def _listed(params: Params, root: Path) -> Listing | None:
    """None where torchvision would begin with a download."""
    section = params.prepare_data
    folder = root / section.root
    if section.source in SETS and not (folder / SETS[section.source].folder).is_dir():
        if not folder.is_dir():
            raise UserError(f"prepare_data.root: {folder} is no folder; make it")
        return None
    return list_source(section.source, folder, section.expected_counts)
