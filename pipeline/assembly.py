"""The parts that every training stage puts together in the same way."""

import copy

import torch
from torch import nn

from pipeline.artifacts import Prepared
from pipeline.backbones import SourceModel
from pipeline.cotuning.model import CoTuningModel
from pipeline.datasets.loaders import Preprocessing
from pipeline.params import Training
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


def source_network(source: SourceModel) -> nn.Sequential:
    """The whole pre-trained classifier, images to source logits."""
    return nn.Sequential(source.backbone, source.head)


def preprocessing(source: SourceModel, input_size: int) -> Preprocessing:
    return Preprocessing(input_size, source.mean, source.std)


def training_data(prepared: Prepared, source: SourceModel, input_size: int) -> Data:
    """Training and validation split with the source model's normalisation."""
    return Data(
        prepared.split("train"), prepared.split("validation"), preprocessing(source, input_size)
    )


def images_per_epoch(data: Data, training: Training) -> int:
    """How many images one epoch passes: whole batches, or all where they do not fill one."""
    images = len(data.train)
    return images - images % training.batch_size if images >= training.batch_size else images
