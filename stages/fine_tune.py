"""Fine-tune the source model on the target data by one method."""

from pipeline.artifacts import Relationship, Store
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.common.resume import resume_key
from pipeline.params import Params
from pipeline.params.methods import teaches_source_head
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.distributed import Processes, joined_processes
from pipeline.training.methods import (
    TRAINING_CODE,
    SourceLabels,
    Start,
    start_method,
    training_data,
)


def run(params: Params, method: str) -> None:
    with joined_processes() as processes:
        run_in(processes, params, method)


def run_in(processes: Processes, params: Params, method: str) -> None:
    """What each of the processes does; the first one writes and tracks."""
    store = Store(project_root(), params.sample)
    start, taught = prepare(store, processes, params, method)
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
        store.require("fit-relationship", "relationship.safetensors"),
    ]
    steering = params.model_dump(
        mode="json",
        include={
            **dict.fromkeys(("compute", "source_model"), True),
            "fine_tune": {*Training.model_fields, "peers"},
        },
    )
    steering["seed"] = params.sample_seed
    key = resume_key(steering, inputs, TRAINING_CODE)
    checkpoint = store.work_folder("fine-tune") / method / f"{key}.pt"
    if not processes.is_first:
        start.train(checkpoint=checkpoint)
        return
    logged = start.training.model_dump() | {"method": method, "seed": params.sample_seed}
    if teaches_source_head(method):
        logged |= {"source_weight": taught.source_weight, "temperature": taught.temperature}
    with (
        stage_run(
            *(store.root, "fine-tune", logged, inputs, store.folder("fine-tune", method)),
            of={"method": method, "seed": params.sample},
        ) as run,
        progress(f"fine-tune {method}", start.images_passed) as advance,
    ):
        result = start.train(
            checkpoint=checkpoint,
            on_epoch=lambda record: run.log_metrics(record, int(record["epoch"])),
            on_batch=advance,
        )
        store.save_model_state(method, result.state, {"method": method})
        store.save_history(method, result.history, result.kept_epoch)
        run.log_metrics({"kept_epoch": result.kept_epoch})
    checkpoint.unlink(missing_ok=True)


def prepare(
    store: Store, processes: Processes, params: Params, method: str
) -> tuple[Start, Relationship]:
    """The method with all that it trains by, and what teaches the source head."""
    section = params.fine_tune
    device = processes.device(params.compute.device)
    compute = resolve_compute(device, params.compute.precision, params.compute.compile)
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    prepared.require_size(source.input_size)
    categories = len(source.categories)
    taught, splits = store.load_relationship(categories), store.load_logits(prepared, categories)
    labels = SourceLabels(taught.matrix.to(compute.device), splits, taught.temperature)
    start = start_method(
        method,
        source,
        len(prepared.classes),
        training_data(prepared, source),
        section,
        section.peers,
        labels,
        taught.source_weight,
        compute,
        params.sample_seed,
        processes,
    )
    return start, taught
