"""params.yaml of a project of images: its sections, and what holds between them."""

from typing import ClassVar

from pydantic import model_validator

from pipeline.params.claims_sections import (
    FineTuneCells,
    GainAgainstKnowledge,
    TimeSteps,
    TuneMethods,
)
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.samples import SampledParams
from pipeline.params.sections import (
    Calibrate,
    Evaluate,
    ExtractLogits,
    FineTune,
    FitRelationship,
    SourceModel,
)


class Params(SampledParams):
    """The whole of params.yaml of a project of images."""

    pages: ClassVar = "stages"

    source_model: SourceModel = SourceModel()
    prepare_data: PrepareData = PrepareData()
    extract_logits: ExtractLogits = ExtractLogits()
    calibrate: Calibrate = Calibrate()
    fit_relationship: FitRelationship = FitRelationship()
    fine_tune: FineTune = FineTune()
    evaluate: Evaluate = Evaluate()
    tune_methods: TuneMethods = TuneMethods()
    fine_tune_cells: FineTuneCells = FineTuneCells()
    time_steps: TimeSteps = TimeSteps()
    gain_against_knowledge: GainAgainstKnowledge = GainAgainstKnowledge()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Params":
        stored = self.prepare_data.stored_size
        swept = self.fine_tune_cells.sweep.get("input_size", [0])
        for name, size in (
            ("source_model.input_size", self.source_model.input_size),
            ("fine_tune_cells.sweep.input_size", max(swept)),
        ):
            if size != "auto" and stored != "auto" and size > stored:
                raise ValueError(
                    f"{name} {size:g} exceeds prepare_data.stored_size {stored}; it is cut from it"
                )
        by_source = self.calibrate.method == "source-validation"
        if by_source and self.prepare_data.source_validation is None:
            raise ValueError(
                "calibrate.method source-validation needs prepare_data.source_validation, "
                "a folder of labelled images of the source categories"
            )
        if shared := sorted(set(self.tune_methods.seeds) & set(self.fine_tune_cells.seeds)):
            raise ValueError(
                f"seed {shared[0]} is in tune_methods.seeds and in fine_tune_cells.seeds; "
                "settings must be chosen on samples that the table does not use"
            )
        return self
