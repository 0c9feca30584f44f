"""Judge a fine-tuned model on the test sentences, entity by entity."""

from pipeline.common.formats import write_csv, write_json
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.entities import count_entities, score_intervals
from pipeline.language.inference import predict_words
from pipeline.language.predictions import predictions_table, tags_by_sentence, text_metrics
from pipeline.language.tagger import load_tagger
from pipeline.params import LanguageParams
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute


def run(params: LanguageParams, method: str) -> None:
    store, section = TextStore(project_root(), params.sample), params.evaluate
    compute = resolve_compute(params.compute.device, params.compute.precision)
    prepared = store.load_sentences()
    model = load_tagger(store, params, method, len(prepared.tags))
    network = model.deploy().to(compute.device)
    test, folder = prepared.split("test"), store.folder("evaluate", method)
    with (
        stage_run(
            store.root,
            "evaluate",
            section.model_dump() | {"method": method},
            inputs=[
                store.require("prepare-data", "manifest.csv"),
                store.require("prepare-data", "tokens.safetensors"),
                store.require("fine-tune", method, "model.safetensors"),
            ],
            outputs=folder,
            of={"method": method, "seed": params.sample},
        ) as run,
        progress(f"evaluate {method}", len(test.labels)) as advance,
    ):
        logits = predict_words(network, test, section.batch_size, compute, advance)
        predictions = predictions_table(prepared, test, logits)
        metrics = text_metrics(predictions, prepared.types)
        counts = count_entities(*tags_by_sentence(predictions), prepared.types)
        intervals = score_intervals([counts], section.bootstrap_resamples, params.sample_seed)
        write_csv(folder / "predictions.csv", predictions)
        write_json(
            folder / "metrics.json",
            metrics | {"by_type": counts.by_type(prepared.types), "intervals": intervals},
        )
        run.log_metrics(metrics)
