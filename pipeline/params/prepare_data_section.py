"""The section of params.yaml that says which images there are and what each is for."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.base import Count, Fraction, Section

SourceName = Literal[
    "fashion-mnist", "image-folder", "cub-200-2011", "stanford-cars", "fgvc-aircraft", "coco-70",
    "Caltech101", "CIFAR10", "CIFAR100", "DTD", "EuroSAT", "FashionMNIST", "FGVCAircraft",
    "Flowers102", "Food101", "OxfordIIITPet", "StanfordCars", "SUN397",
]  # fmt: skip


class PrepareData(Section):
    """Which images, how many of each class, and the side, in pixels, of the stored squares.

    `stored_size` `auto` is the side from which source_model.input_size is cut as in the source
    model's published protocol. `source_validation` is a folder of labelled source images: a folder
    a category, or with the file `source_labels` of lines "filename label". Categories go by WordNet
    id, by index from 0 in the source model's order, or by name. `test_fraction` None leaves what is
    drawn for neither training nor validation for the test; 0 draws no test split. A duplicate is an
    image file of which another split or class has the very same bytes.
    """

    source: SourceName = "image-folder"
    root: str = "data/raw/photographs"
    expected_counts: Literal["published", "any"] = "published"
    stored_size: Annotated[int, Field(ge=8)] | Literal["auto"] = 128
    images_per_class: Annotated[int, Field(ge=2)] | None = 5
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    val_fraction: Fraction = 0.2
    test_fraction: Annotated[float, Field(ge=0, lt=1)] | None = 0.2
    test_limit: Count | None = None
    source_validation: str | None = None
    source_labels: str | None = None
    on_bad_image: Literal["stop", "skip"] = "stop"
    on_duplicate: Literal["warn", "stop"] = "warn"

    @model_validator(mode="after")
    def _options_fit_together(self) -> "PrepareData":
        if self.sampling_rate < 1 and self.images_per_class is not None:
            raise ValueError(
                f"got sampling_rate {self.sampling_rate} and images_per_class "
                f"{self.images_per_class}; set images_per_class to null, or sampling_rate to 1.0"
            )
        takes_all = self.images_per_class is None and self.sampling_rate == 1
        if self.test_fraction is None and takes_all:
            raise ValueError(
                "test_fraction null tests on what is not drawn, but images_per_class null with "
                "sampling_rate 1.0 draws all; set one of the three, test_fraction as to 0.2"
            )
        if self.source_labels is not None and self.source_validation is None:
            raise ValueError(
                "source_labels needs source_validation, the folder of the images that it lists"
            )
        return self
