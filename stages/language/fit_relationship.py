"""Learn p(word of the vocabulary | type of entity), and say what it looks like."""

import pandas as pd

from pipeline.common.formats import write_csv, write_json
from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.learning import diagnose, learn_word_relationship, top_words
from pipeline.language.source import load_language_model
from pipeline.language.tag_schemes import types_of
from pipeline.params import LanguageParams
from pipeline.report.figures import relationship_heat_map, save_figure
from pipeline.tracking.runs import stage_run


def run(params: LanguageParams) -> None:
    store = TextStore(project_root(), params.sample)
    section, folder = params.fit_relationship, store.folder("fit-relationship")
    states, _ = store.load_states()
    types, categories = types_of(store.load_classes()), store.load_categories()
    best = store.load_best()
    temperature = store.load_calibration().temperature * best.temperature_factor
    head = load_language_model(params.source_model.name).head
    with stage_run(
        store.root,
        "fit-relationship",
        section.model_dump() | {"temperature": temperature},
        inputs=[
            store.require("extract-logits", "states.safetensors"),
            store.require("calibrate", "calibration.json"),
            store.require("tune", "best.json"),
        ],
        outputs=folder,
        of={"seed": params.sample},
    ) as run:
        learned = learn_word_relationship(head, states, len(types), temperature, section)
        found = diagnose(learned, types)
        store.save_relationship(learned.relationship.float(), temperature, best.source_weight)
        write_json(folder / "diagnostics.json", found)
        words = top_words(learned.relationship, types, categories, section.top_categories)
        table = pd.DataFrame(words, columns=["class", "rank", "category", "probability"])
        write_csv(folder / "top_categories.csv", table)
        heat_map = relationship_heat_map(learned.relationship.numpy(), types, categories)
        save_figure(heat_map, folder / "relationship.png")
        knows = {f"knowledge_{name}": value for name, value in (found["knowledge"] or {}).items()}
        run.log_metrics(knows | {"g_accuracy": found["g_accuracy"]})
