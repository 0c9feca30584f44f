"""What an exported model is and where it comes from, as the artifacts tell it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm

from pipeline.artifacts import Metrics, Store
from pipeline.common.damage import RUN, read_run
from pipeline.common.formats import read_json, write_json
from pipeline.common.interpolation import Interpolation
from pipeline.datasets.batches import CROP_FRACTION, Preprocessing
from pipeline.deployment.target_model import TargetModel
from pipeline.params import Params
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.tracking.provenance import git_tags

FILE = "model.json"
RESIZE = "{} with antialias, both sides, aspect not kept (Pillow's {})"
OF_ALL_METHODS = ("prepare-data", "extract-logits", "calibrate", "tune", "fit-relationship")
OF_A_METHOD = ("fine-tune", "evaluate")


@dataclass(frozen=True)
class Description:
    """What stands in model.json beside an exported model.

    Attributes:
        classes: names, in the order of logits and probabilities.
        method, seed: that it was fine-tuned by, and the one of fine_tune.seeds.
        source_model: name and weights as in params.yaml, and the licence as far as known.
        temperature: the model's own; probabilities are softmax(logits / temperature).
        preprocessing: stored_size, interpolation and resize (the same in words) of the whole
            image, input_size of the centre crop and its crop_fraction, mean and std per channel of
            images in [0, 1], in red, green, blue.
        data: prepare_data.source, and the number of images of each split.
        metrics: on the test split, with intervals, as in metrics.json; empty without one.
        crops: of each test image that these are of; an exported model sees one, the centre.
        git: commit and whether tracked files differed, at the export.
        runs: ids of the MLflow runs behind it, by stage.
    """

    classes: tuple[str, ...]
    method: str
    seed: int
    source_model: Mapping[str, str]
    temperature: float
    preprocessing: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: Mapping[str, Any]
    crops: int
    git: Mapping[str, str]
    runs: Mapping[str, str]

    @property
    def stored_size(self) -> int:
        return int(self.preprocessing["stored_size"])

    @property
    def interpolation(self) -> Interpolation:
        return "bicubic" if self.preprocessing.get("interpolation") == "bicubic" else "bilinear"

    @property
    def fitted_size(self) -> int:
        """Side of what the centre is cut from: of the square, or less where that is too large."""
        return self.crop.fitted_side(self.stored_size)

    @property
    def crop(self) -> Preprocessing:
        """From a square to network input."""
        values = self.preprocessing
        mean, std = tuple(values["mean"]), tuple(values["std"])
        fraction = values.get("crop_fraction", CROP_FRACTION)
        return Preprocessing(values["input_size"], mean, std, crop_fraction=fraction)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))


def load_description(folder: Path) -> Description:
    """Of an exported model."""
    return Description(**read_json(folder / FILE))


def describe(store: Store, params: Params, model: TargetModel) -> Description:
    """Of a model as load_target_model gives it."""
    splits = store.load_prepared().manifest["split"].value_counts()
    named = ("evaluate", model.method, "metrics.json")
    source = params.source_model
    return Description(
        classes=model.classes,
        method=model.method,
        seed=params.sample,
        source_model={
            "name": shared_name(source.name),
            "weights": Path(source.weights).name,
            "licence": licence(source.name, source.weights),
        },
        temperature=model.temperature,
        preprocessing={
            "stored_size": model.stored_size,
            "interpolation": model.interpolation,
            "resize": RESIZE.format(model.interpolation, model.interpolation.upper()),
            "input_size": model.preprocessing.input_size,
            "crop_fraction": model.preprocessing.crop_fraction,
            "mean": list(model.preprocessing.mean),
            "std": list(model.preprocessing.std),
        },
        data={
            "source": params.prepare_data.source,
            **{str(split): int(count) for split, count in sorted(splits.items())},
        },
        metrics=store.load_json(Metrics, *named) if store.path(*named).exists() else {},
        crops=params.evaluate.crops,
        git=code_state(store.root),
        runs=runs_behind(store, model.method),
    )


def licence(source: str, weights: str) -> str:
    """Of a source model by its name and weights in params.yaml; "unknown" where its library names
    none, and of weights that somebody brought.
    """
    if weights != "published":
        return "unknown"
    if source in LITE:
        return "apache-2.0"
    if source.startswith("timm:"):
        config: Any = timm.get_pretrained_cfg(source.removeprefix("timm:"))
        return str(config.license or "unknown") if config else "unknown"
    return "unknown"


def shared_name(source: str) -> str:
    """Of a model in a local folder the folder's name: where it lies concerns nobody else."""
    prefix, colon, name = source.rpartition("hf:")
    return f"{prefix}{colon}{Path(name).name}" if Path(name).is_dir() else source


def code_state(root: Path) -> dict[str, str]:
    """Its commit, and whether tracked files are dirty; empty outside a repository."""
    return {name.rpartition(".")[2]: value for name, value in git_tags(root).items()}


def runs_behind(store: Store, method: str) -> dict[str, str]:
    """Ids of the MLflow runs of the artifacts that a model comes from, by stage."""
    folders = {stage: store.folder(stage) for stage in OF_ALL_METHODS}
    folders |= {stage: store.folder(stage, method) for stage in OF_A_METHOD}
    files = {stage: folder / RUN for stage, folder in folders.items() if (folder / RUN).exists()}
    return {stage: read_run(store.root, file).run_id for stage, file in files.items()}
