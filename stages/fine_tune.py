"""Fine-tune the source model on the target data by one method."""

import pandas as pd

from pipeline.artifacts import Store, write_csv
from pipeline.assembly import compose_method, new_model, training_data
from pipeline.backbones import load_source_model
from pipeline.compute import resolve_compute
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.progress import progress
from pipeline.project import project_root
from pipeline.resume import resume_key
from pipeline.sections import CO_TUNING
from pipeline.tracking import stage_run
from pipeline.training import fit


def run(params: Params, method: str) -> None:
    store = Store(project_root())
    section = params.fine_tune
    compute = resolve_compute(params.compute.device, params.compute.precision)
    prepared, best = store.load_prepared(), store.load_best()
    relationship = store.load_relationship().to(compute.device)
    if len(relationship) != len(prepared.classes):
        raise UserError(
            f"the relationship has {len(relationship)} target classes, the data "
            f"{len(prepared.classes)}; make it again with `cot stage fit-relationship`"
        )
    source = load_source_model(**params.source_model.model_dump())
    data = training_data(prepared, source, params.source_model.input_size)
    model = new_model(source, len(prepared.classes), params.seed).to(compute.device)
    objective, training = compose_method(
        method, model, section, section.peers, relationship, best.source_weight
    )
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("fit-relationship", "relationship.safetensors"),
        store.require("tune", "best.json"),
    ]
    steering = params.model_dump(
        mode="json", include={"seed", "compute", "source_model", "fine_tune"}
    )
    checkpoint = store.work_folder("fine-tune") / method / f"{resume_key(steering, inputs)}.pt"
    logged = training.model_dump() | {"method": method, "seed": params.seed}
    if CO_TUNING in method.split("+"):
        logged |= {"source_weight": best.source_weight, "temperature": best.temperature}
    with (
        stage_run(
            store.root, "fine-tune", logged, inputs, store.folder("fine-tune", method), method
        ) as run,
        progress(f"fine-tune {method}", data.images_passed(section)) as advance,
    ):
        result = fit(
            model,
            objective,
            data,
            training,
            compute,
            params.seed,
            on_epoch=lambda record: run.log_metrics(record, int(record["epoch"])),
            on_batch=advance,
            checkpoint=checkpoint,
        )
        store.save_model_state(method, result.state, {"method": method})
        history = pd.DataFrame(result.history)
        history["kept"] = history["epoch"] == result.best_epoch
        write_csv(store.folder("fine-tune", method) / "history.csv", history)
        run.log_metrics({"best_epoch": result.best_epoch})
    checkpoint.unlink(missing_ok=True)
