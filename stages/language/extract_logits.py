"""Pass the entities through the source model once; its logits are made of their states."""

from pipeline.common.formats import write_json
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.language.artifacts import PreparedText, TextStore
from pipeline.language.extraction import EntityStates, entity_states, some_masked_words
from pipeline.language.learning import SPLITS
from pipeline.language.source import load_language_model
from pipeline.params import LanguageParams
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.distributed import joined_processes


def run(params: LanguageParams) -> None:
    with joined_processes() as processes:
        # Minutes at most: the first process does all.
        if processes.is_first:
            extract(params)


def extract(params: LanguageParams) -> None:
    root, section = project_root(), params.extract_logits
    stores = [TextStore(root, seed) for seed in params.fine_tune.seeds]
    compute = resolve_compute(params.compute.device, params.compute.precision)
    source = load_language_model(params.source_model.name)
    backbone = source.backbone.to(compute.device)
    samples = [store.load_sentences() for store in stores]
    with (
        stage_run(
            root,
            "extract-logits",
            section.model_dump() | {"source_model": params.source_model.model_dump()},
            inputs=[
                *(store.require("prepare-data", "manifest.csv") for store in stores),
                stores[0].require("prepare-data", "tokens.safetensors"),
            ],
            outputs=stores[0].folder("extract-logits"),
        ) as run,
        progress("extract-logits", passed(samples, section.calibration_words)) as advance,
    ):
        for store, sample in zip(stores, samples, strict=True):
            given = sample.mask, section.batch_size, compute, advance
            states: dict[str, EntityStates] = {
                split: entity_states(backbone, sample.split(split), section.observed, *given)
                for split in SPLITS
            }
            masked = some_masked_words(
                backbone, sample.split("validation"), section.calibration_words, *given
            )
            store.save_states(states, masked)
            if store is stores[0]:
                run.log_metrics({f"{split}_words": len(of.types) for split, of in states.items()})
        write_json(stores[0].path("extract-logits", "categories.json"), list(source.categories))


def passed(samples: list[PreparedText], calibration_words: int) -> int:
    """How many words are passed."""
    found = 0
    for sample in samples:
        labels = {split: sample.split(split).labels for split in SPLITS}
        found += sum(int((one > 0).sum()) for one in labels.values())
        found += min(calibration_words, len(labels["validation"]))
    return found
