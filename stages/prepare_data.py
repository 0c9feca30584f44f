"""Decode and resize every image once; decide which is for training, validation and test."""

import logging
import os
from collections.abc import Sequence

import pandas as pd

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.datasets.listing import Listing
from pipeline.datasets.readers.registry import list_source
from pipeline.datasets.readers.source_validation import (
    add_source_validation,
    list_source_validation,
    reading_both,
)
from pipeline.datasets.repeats import repeats_of_samples
from pipeline.datasets.sizes import warn_of_size
from pipeline.datasets.splits import build_manifest, drop_rows
from pipeline.datasets.store.store_images import store_images
from pipeline.params import Params
from pipeline.params.prepare_data_section import PrepareData
from pipeline.sources.sizes import find_sizes
from pipeline.tracking.runs import stage_run

log = logging.getLogger(__name__)


def run(params: Params) -> None:
    store = Store(project_root())
    section, seeds = params.prepare_data, params.fine_tune.seeds
    sizes = find_sizes(params.source_model, section)
    if warning := warn_of_size(params.source_model.name, sizes):
        log.warning(warning)
    listing = list_source(section.source, store.root / section.root, section.expected_counts)
    drawn = [draw(listing, section, params.seed + seed) for seed in seeds]
    look_for_repeats(drawn, listing, section)
    source_folders: tuple[str, ...] = ()
    if section.source_validation is not None:
        root = store.root / section.source_validation
        labels = store.root / section.source_labels if section.source_labels else None
        source = list_source_validation(root, labels)
        listing, source_folders = reading_both(listing, source), source.classes
        drawn = [add_source_validation(sample, source) for sample in drawn]
    paths = list(dict.fromkeys(path for sample in drawn for path in sample["path"]))
    folder = store.folder("prepare-data")
    with (
        stage_run(store.root, "prepare-data", section.model_dump(), [], folder) as run,
        progress("prepare-data", len(paths)) as advance,
    ):
        bad = store_images(
            paths,
            listing.read,
            folder / "images.npy",
            sizes.stored,
            sizes.interpolation,
            work=store.work_folder("prepare-data"),
            least_size=sizes.network_input,
            on_bad_image=section.on_bad_image,
            workers=os.cpu_count() or 1,
            on_progress=advance,
        )
        if bad:
            first = listing.read.locate(paths[bad[0]])
            log.warning("unreadable images left out: %d, the first is %s", len(bad), first)
        for seed, sample in zip(seeds, drawn, strict=True):
            stored = in_store(sample, paths, bad, listing.classes)
            Store(store.root, seed).save_manifest(stored, listing.classes, source_folders)
            if seed == params.sample:
                counts = stored["split"].value_counts()
                run.log_metrics({f"{split}_images": count for split, count in counts.items()})
        run.log_metrics({"unreadable_images": len(bad)})


def look_for_repeats(drawn: Sequence[pd.DataFrame], listing: Listing, section: PrepareData) -> None:
    """Warn of images that are in several splits or classes.

    Raises:
        UserError: there are some, and prepare_data.on_duplicate is stop.
    """
    harms = repeats_of_samples(drawn, listing.classes, listing.read).harmful
    if harms and section.on_duplicate == "stop":
        raise UserError(f"{'; '.join(harms)}; or set prepare_data.on_duplicate: warn")
    for harm in harms:
        log.warning("%s", harm)


def draw(listing: Listing, section: PrepareData, seed: int) -> pd.DataFrame:
    """The manifest of one sample."""
    return build_manifest(
        listing,
        images_per_class=section.images_per_class,
        val_fraction=section.val_fraction,
        test_fraction=section.test_fraction,
        test_limit=section.test_limit,
        seed=seed,
        sampling_rate=section.sampling_rate,
    )


def in_store(
    sample: pd.DataFrame, paths: Sequence[str], bad: Sequence[int], classes: Sequence[str]
) -> pd.DataFrame:
    """A sample's manifest with the rows of the stored images.

    Args:
        paths: of all images, in the order in which they were to be stored.
        bad: which of them, by number, could not be read and are left out.
    """
    unreadable = {paths[number] for number in bad}
    rows = {path: row for row, path in enumerate(p for p in paths if p not in unreadable)}
    if unreadable:
        lost = sample.loc[sample["path"].isin(unreadable), "row"]
        sample = drop_rows(sample, lost.tolist(), classes)
    return sample.assign(row=sample["path"].map(rows))
