"""Fine-tune the masked language model to tag words, by one method."""

from pipeline.common.errors import UserError
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.common.resume import resume_key
from pipeline.language.artifacts import TextStore
from pipeline.language.source import load_language_model
from pipeline.language.teaching import TRAINING_CODE, compose_text_method
from pipeline.language.training_data import TokenData
from pipeline.params import LanguageParams
from pipeline.params.language_sections import TEXT_METHODS
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.distributed import Processes, joined_processes
from pipeline.training.fit import fit
from pipeline.training.schedule import samples_passed


def run(params: LanguageParams, method: str) -> None:
    if method not in TEXT_METHODS:
        raise UserError(f"--method {method} is not of text; take {', '.join(TEXT_METHODS)}")
    with joined_processes() as processes:
        run_in(processes, params, method)


def run_in(processes: Processes, params: LanguageParams, method: str) -> None:
    """What each of the processes does; the first one writes and tracks."""
    store, section = TextStore(project_root(), params.sample), params.fine_tune
    device = processes.device(params.compute.device)
    compute = resolve_compute(device, params.compute.precision)
    prepared, taught = store.load_sentences(), store.load_relationship()
    source = load_language_model(params.source_model.name)
    model = source.new_model(len(prepared.tags), params.sample_seed).to(compute.device)
    relationship = taught.matrix.to(compute.device)
    objective = compose_text_method(
        method, model, relationship, taught.source_weight, taught.temperature
    )
    data = TokenData.of(prepared)
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "tokens.safetensors"),
        store.require("fit-relationship", "relationship.safetensors"),
    ]
    include = {"compute": True, "source_model": True, "fine_tune": True}
    steering = params.model_dump(mode="json", include=include)
    for which in ("seeds", "methods"):
        del steering["fine_tune"][which]
    key = resume_key(steering | {"seed": params.sample_seed}, inputs, TRAINING_CODE)
    checkpoint = store.work_folder("fine-tune") / method / f"{key}.pt"
    given = model, objective, data, section, compute, params.sample_seed
    if not processes.is_first:
        fit(*given, checkpoint=checkpoint, processes=processes)
        return
    logged = steering["fine_tune"] | {"method": method, "seed": params.sample_seed}
    with (
        stage_run(
            *(store.root, "fine-tune", logged, inputs, store.folder("fine-tune", method)),
            of={"method": method, "seed": params.sample},
        ) as run,
        progress(f"fine-tune {method}", samples_passed(section, len(data.train))) as advance,
    ):
        result = fit(
            *given,
            on_epoch=lambda record: run.log_metrics(record, int(record["epoch"])),
            on_batch=advance,
            checkpoint=checkpoint,
            processes=processes,
        )
        store.save_model_state(method, result.state, {"method": method})
        store.save_history(method, result.history, result.kept_epoch)
        run.log_metrics({"kept_epoch": result.kept_epoch})
    checkpoint.unlink(missing_ok=True)
