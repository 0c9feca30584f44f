"""The sections of params.yaml, frozen and typed, one a stage; but for that of prepare-data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.base import (
    MOST,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    Seed,
    SeveralCount,
    refuse_repeated,
)
from pipeline.params.methods import BASELINE, CO_TUNING, MethodName, Peers

Resamples = Annotated[int, Field(ge=100, le=MOST)]
Selection = Literal["validation-accuracy", "cross-validated-likelihood"]


class Compute(Section):
    """Where the network runs. `auto` takes a GPU and bfloat16 where there are any.

    `processes` is how many extract-logits and fine-tune are started in, by torchrun; each takes
    a GPU of its own where there are GPUs. `compile` has the networks that are trained compiled.
    """

    processes: Count = 1
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False


class SourceModel(Section):
    """The pre-trained classifier.

    `name` is efficientnet-lite0 to -lite2, a torchvision model's, timm:<name>, or hf:<name or
    folder>.
    `weights` is `published`, the name of a torchvision weights entry such as IMAGENET1K_V1, the
    path of a local state dict (.safetensors, .pt, .pth), or of a folder as timm writes it.
    `input_size` is the side, in pixels, of the square crop that enters the network, or `auto` for
    the one that the weights are published for.
    """

    name: str = "efficientnet-lite0"
    weights: str = "published"
    input_size: Annotated[int, Field(ge=8)] | Literal["auto"] = 112


class ExtractLogits(Section):
    batch_size: Count = 128


class Calibrate(Section):
    """`temperature` is read by method `fixed` alone."""

    method: Literal["target-likelihood", "source-validation", "fixed"] = "target-likelihood"
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0


class Optimization(Section):
    """How a network of any modality is trained; sizes in images or sentences, rates per iteration.

    It is so many `epochs` or so many `iterations` long; the other is None. `step_at` counts in
    the same unit. An epoch, at whose end the network is validated, is `iterations_per_epoch`
    long, or one pass over the training data where that is None. An iteration takes the mean
    gradient of `accumulated_batches` batches. `kept_epoch` says whose weights are the result: those
    of the best validation, or the last. `momentum` is of the optimizer sgd. `warmup` is the share
    of the iterations in which the rate rises from 0.
    """

    epochs: Count | None = 90
    iterations: Count | None = None
    iterations_per_epoch: Count | None = None
    batch_size: SeveralCount = 24
    accumulated_batches: Count = 1
    kept_epoch: Literal["best", "last"] = "best"
    learning_rate: Positive = 0.003
    target_head_factor: Positive = 10.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NonNegative = 5e-4
    schedule: Literal["cosine", "linear", "step"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    step_at: tuple[Count, ...] = Field(default=(60,), strict=False)
    step_factor: Fraction = 0.1
    max_gradient_norm: Positive | None = None

    @property
    def length(self) -> str:
        """As in `12 epochs` or `9050 iterations`."""
        return f"{self.epochs} epochs" if self.epochs else f"{self.iterations} iterations"

    @model_validator(mode="after")
    def _length_is_given_once(self) -> Self:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError(
                f"got epochs {self.epochs or 'null'} and iterations {self.iterations or 'null'}; "
                "give the length of training in one of them and set the other to null"
            )
        late = [step for step in self.step_at if step >= (self.epochs or self.iterations or 0)]
        if self.schedule == "step" and late:
            raise ValueError(
                f"step_at {late[0]} is never reached in {self.length}; it counts in the unit of "
                "the length: lower it, or leave it out"
            )
        return self


class Training(Optimization):
    """Of a network of images. `smallest_crop` is the share of a training image's area that a random
    crop covers at least.
    """

    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.08


class Tune(Section):
    """The search over the source weight and the temperature, on folds.

    `source_weight` and `temperature_factor` (of the calibrated temperature) are the default: the
    first Co-Tuning trial, what is passed on with `trials: 0`, and what another candidate must
    clearly beat. The images of training and validation are dealt out into `folds`, anew in each of
    the `repeats`.
    """

    trials: Annotated[int, Field(ge=0)] = 0
    folds: SeveralCount = 5
    repeats: Count = 1
    source_weight: Positive = 2.3
    temperature_factor: Positive = 1.0
    max_source_weight: Positive = 5.0
    max_temperature_factor: Annotated[float, Field(gt=1)] = 2.0

    @model_validator(mode="after")
    def _vanilla_has_a_rival(self) -> "Tune":
        if self.trials == 1:
            raise ValueError(
                "trials 1 would train vanilla alone; give 2 or more, the second with the given "
                "source_weight, or 0 to search nothing"
            )
        return self

    @model_validator(mode="after")
    def _start_lies_in_the_search_space(self) -> "Tune":
        if self.source_weight > self.max_source_weight:
            raise ValueError(
                f"source_weight {self.source_weight} exceeds max_source_weight "
                f"{self.max_source_weight}"
            )
        highest = self.max_temperature_factor
        if not 1 / highest <= self.temperature_factor <= highest:
            raise ValueError(
                f"temperature_factor {self.temperature_factor} lies outside "
                f"[1/{highest}, {highest}], the range that max_temperature_factor gives"
            )
        return self


class FitRelationship(Section):
    """`auto` is the way, with its prior, that knows most of held-out images.

    `pseudo_samples` of the source marginal are added to each row of the direct way; `selection`
    chooses and calibrates the classifier of the reverse way.
    """

    direction: Literal["auto", "direct", "reverse"] = "auto"
    pseudo_samples: NonNegative = 0.0
    selection: Selection = "validation-accuracy"
    top_categories: Count = 5


class SampledTraining(Optimization):
    """`seeds` are added to the seed of params.yaml: each is a sample with a training of its own."""

    seeds: tuple[Seed, ...] = Field(default=(0,), strict=False, min_length=1)
    methods: tuple[str, ...] = Field(default=(BASELINE, CO_TUNING), strict=False, min_length=1)

    @model_validator(mode="after")
    def _seeds_and_methods_are_distinct(self) -> Self:
        refuse_repeated("seeds", self.seeds)
        refuse_repeated("methods", self.methods)
        return self


class FineTune(Training, SampledTraining):
    methods: tuple[MethodName, ...] = Field(
        default=(BASELINE, CO_TUNING), strict=False, min_length=1
    )
    peers: Peers = Peers()


class Evaluate(Section):
    """`crops` of each test image: its centre, or ten whose logits are summed."""

    batch_size: Count = 256
    crops: Literal[1, 10] = 1
    bootstrap_resamples: Resamples = 1000


class Report(Section):
    bootstrap_resamples: Resamples = 10_000
