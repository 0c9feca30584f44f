"""Read and check every sentence, tokenise it once; decide which is for what."""

from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.readers.registry import list_text
from pipeline.language.sampling import draw_sentences
from pipeline.language.source import load_tokenizer
from pipeline.language.tokens import tokenise
from pipeline.params import LanguageParams
from pipeline.tracking.runs import stage_run


def run(params: LanguageParams) -> None:
    store = TextStore(project_root())
    section, seeds = params.prepare_data, params.fine_tune.seeds
    listing = list_text(section.source, store.root / section.root, section.scheme)
    drawn = [draw_sentences(listing, section, params.seed + seed) for seed in seeds]
    tokenizer = load_tokenizer(params.source_model.name)
    folder = store.folder("prepare-data")
    with stage_run(store.root, "prepare-data", section.model_dump(), [], folder) as run:
        tokens = tokenise(listing.sentences, listing.tags, tokenizer, params.source_model.longest)
        marks = {"pad": tokenizer.pad_token_id, "mask": tokenizer.mask_token_id}
        store.save_sentences(listing.sentences, listing.tags, tokens, marks)
        for seed, manifest in zip(seeds, drawn, strict=True):
            TextStore(store.root, seed).save_draw(manifest)
        counts = drawn[0]["split"].value_counts()
        run.log_metrics({f"{split}_sentences": count for split, count in counts.items()})
        run.log_metrics({"entity_words": int((tokens.labels > 0).sum())})
