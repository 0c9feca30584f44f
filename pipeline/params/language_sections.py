"""params.yaml of a project of text: its sections where they differ from those of images."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from pipeline.params.base import Count, Fraction, NonNegative, Positive, Section
from pipeline.params.samples import SampledParams
from pipeline.params.sections import SampledTraining, Selection, Tune

TextSource = Literal["conll", "wnut-17", "columns", "json-lines"]
TEXT_SOURCES = get_args(TextSource)
TextMethod = Literal["vanilla", "co-tuning", "lwf"]
TEXT_METHODS = get_args(TextMethod)


class LanguageModel(Section):
    """The pre-trained masked language model.

    `name` is hf:<name or folder> of a model of transformers with its tokenizer. `longest` is how
    many sub-words enter it at once, its own marks among them; longer sentences enter in parts.
    """

    name: str = Field(default="hf:bert-base-cased", pattern="^hf:.")
    longest: Annotated[int, Field(ge=8)] = 128


class PrepareText(Section):
    """Which sentences, and how many.

    `root` is a folder with a file for each published split, or one file. `sentences` or the share
    `sampling_rate` is of training, and of validation where none is published; None takes all.
    """

    source: TextSource
    root: str = "data/raw/conll-2003"
    scheme: Literal["iob1", "iob2"] = "iob2"
    sentences: Annotated[int, Field(ge=2)] | None = None
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    val_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    test_limit: Count | None = None

    @model_validator(mode="after")
    def _is_drawn_in_one_way(self) -> "PrepareText":
        if self.sampling_rate < 1 and self.sentences is not None:
            raise ValueError(
                f"got sampling_rate {self.sampling_rate} and sentences {self.sentences}; set "
                "sentences to null, or sampling_rate to 1.0"
            )
        return self


class ExtractFromText(Section):
    """`observed` says whether a token is masked where the source model predicts it.

    `calibration_words` is on how many masked words of the validation sentences the model is
    calibrated, at most.
    """

    batch_size: Count = 32
    observed: Literal["kept", "masked"] = "kept"
    calibration_words: Count = 1000


class CalibrateText(Section):
    """`temperature` is read by method `fixed` alone."""

    method: Literal["masked-words", "fixed"] = "masked-words"
    temperature: Positive = 1.0


class TuneText(Tune):
    """As of images; the sentences of training and validation are dealt out into the folds."""

    source_weight: Positive = 0.7


class FitWords(Section):
    """As of images; `categories` of the vocabulary, the most probable ones, are told apart by the
    classifier of the reverse way, all others are one to it.
    """

    direction: Literal["auto", "direct", "reverse"] = "direct"
    pseudo_samples: NonNegative = 0.0
    selection: Selection = "validation-accuracy"
    categories: Count = 1000
    top_categories: Count = 10


class FineTuneText(SampledTraining):
    methods: tuple[TextMethod, ...] = Field(
        default=("vanilla", "co-tuning"), strict=False, min_length=1
    )


class EvaluateText(Section):
    batch_size: Count = 64
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 1000


class LanguageParams(SampledParams):
    """The whole of params.yaml of a project of text."""

    pages: ClassVar = "stages.language"

    source_model: LanguageModel = LanguageModel()
    prepare_data: PrepareText
    extract_logits: ExtractFromText = ExtractFromText()
    calibrate: CalibrateText = CalibrateText()
    tune: TuneText = TuneText()
    fit_relationship: FitWords = FitWords()
    fine_tune: FineTuneText = FineTuneText()
    evaluate: EvaluateText = EvaluateText()
