"""Decode and resize every image once; decide which is for training, validation and test."""

import logging
import os

from pipeline.artifacts import Store
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.datasets.readers.registry import list_source
from pipeline.datasets.readers.source_validation import add_source_validation
from pipeline.datasets.splits import build_manifest, drop_rows
from pipeline.datasets.store.store_images import store_images
from pipeline.params import Params
from pipeline.params.published_sizes import warn_of_size
from pipeline.tracking.runs import stage_run

log = logging.getLogger(__name__)


def run(params: Params) -> None:
    store = Store(project_root())
    section = params.prepare_data
    if warning := warn_of_size(params.source_model):
        log.warning(warning)
    listing = list_source(section.source, store.root / section.root, section.expected_counts)
    manifest = build_manifest(
        listing,
        images_per_class=section.images_per_class,
        val_fraction=section.val_fraction,
        test_fraction=section.test_fraction,
        test_limit=section.test_limit,
        seed=params.seed,
        sampling_rate=section.sampling_rate,
    )
    source_folders: tuple[str, ...] = ()
    if section.source_validation is not None:
        listing, manifest, source_folders = add_source_validation(
            listing,
            manifest,
            store.root / section.source_validation,
            store.root / section.source_labels if section.source_labels else None,
        )
    folder = store.folder("prepare-data")
    with (
        stage_run(store.root, "prepare-data", section.model_dump(), [], folder) as run,
        progress("prepare-data", len(manifest)) as advance,
    ):
        bad = store_images(
            manifest["path"].tolist(),
            listing.read,
            folder / "images.npy",
            section.stored_size,
            work=store.work_folder("prepare-data"),
            least_size=params.source_model.input_size,
            on_bad_image=section.on_bad_image,
            workers=os.cpu_count() or 1,
            on_progress=advance,
        )
        if bad:
            first = listing.read.locate(manifest["path"][bad[0]])
            log.warning("unreadable images left out: %d, the first is %s", len(bad), first)
            manifest = drop_rows(manifest, bad, listing.classes)
        store.save_manifest(manifest, listing.classes, source_folders)
        counts = manifest["split"].value_counts()
        run.log_metrics({f"{split}_images": count for split, count in counts.items()})
        run.log_metrics({"unreadable_images": len(bad)})
