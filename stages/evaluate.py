"""Judge a fine-tuned model on the test split."""

from pipeline.artifacts import Store, write_csv, write_json
from pipeline.assembly import new_model
from pipeline.backbones import load_source_model
from pipeline.compute import resolve_compute
from pipeline.datasets.loaders import Preprocessing, evaluation_batches
from pipeline.inference import predict
from pipeline.metrics import bootstrap_intervals, classification_metrics, predictions_table
from pipeline.params import Params
from pipeline.plots import confusion_matrix, save_figure
from pipeline.progress import progress
from pipeline.project import project_root
from pipeline.tracking import stage_run


def run(params: Params, method: str) -> None:
    store = Store(project_root())
    section = params.evaluate
    compute = resolve_compute(params.compute.device, params.compute.precision)
    prepared = store.load_prepared()
    state = store.load_model_state(method)
    source = load_source_model(**params.source_model.model_dump())
    model = new_model(source, len(prepared.classes), params.seed)
    model.load_state_dict(state)
    test = prepared.split("test")
    folder = store.folder("evaluate", method)
    with (
        stage_run(
            store.root,
            "evaluate",
            section.model_dump() | {"method": method},
            inputs=[
                store.require("prepare-data", "manifest.csv"),
                store.require("prepare-data", "images.npy"),
                store.require("fine-tune", method, "model.safetensors"),
            ],
            outputs=folder,
            method=method,
        ) as run,
        progress(f"evaluate {method}", len(test)) as advance,
    ):
        batches = evaluation_batches(
            test,
            Preprocessing(params.source_model.input_size, source.mean, source.std),
            section.batch_size,
            compute.device,
        )
        logits, _ = predict(model.deploy().to(compute.device), batches, compute, advance)
        predictions = predictions_table(logits, prepared.samples("test"))
        classes = len(prepared.classes)
        metrics = classification_metrics(predictions, classes)
        intervals = bootstrap_intervals(
            predictions, classes, section.bootstrap_resamples, params.seed
        )
        write_csv(folder / "predictions.csv", predictions)
        write_json(folder / "metrics.json", metrics | {"intervals": intervals})
        save_figure(
            confusion_matrix(
                predictions["label"].to_numpy(),
                predictions["prediction"].to_numpy(),
                prepared.classes,
            ),
            folder / "confusion_matrix.png",
        )
        run.log_metrics(metrics)
