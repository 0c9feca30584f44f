"""The parts that every training stage puts together in the same way."""

import copy

import torch

from pipeline.artifacts import Prepared
from pipeline.backbones import SourceModel
from pipeline.cotuning.model import CoTuningModel
from pipeline.datasets.loaders import Preprocessing
from pipeline.training import Data


def new_model(source: SourceModel, target_classes: int, seed: int) -> CoTuningModel:
    """A model ready to fine-tune: copies of the source model's parts and a new, seeded head."""
    torch.manual_seed(seed)
    return CoTuningModel(
        copy.deepcopy(source.backbone),
        copy.deepcopy(source.head),
        source.feature_size,
        target_classes,
    )


def training_data(prepared: Prepared, source: SourceModel, input_size: int) -> Data:
    """Training and validation split, with crops of input_size pixels as the source model wants."""
    return Data(
        prepared.split("train"),
        prepared.split("validation"),
        Preprocessing(input_size, source.mean, source.std),
    )
