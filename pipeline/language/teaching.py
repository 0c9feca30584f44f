"""What teaches the source head of a masked language model: words of entities, and these alone."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.cotuning.losses import translated_cross_entropy
from pipeline.cotuning.model import Outputs
from pipeline.cotuning.objectives import Batch, Objective, Part, compose
from pipeline.language.model import TokenModel
from pipeline.language.tag_schemes import type_labels
from pipeline.params.methods import BASELINE, CO_TUNING

# What the weights of a trained network come from, as patterns below pipeline/.
TRAINING_CODE = (
    *("cotuning/*.py", "language/*.py", "training/*.py"),
    *("datasets/batches.py", "report/metrics.py"),
    *("sources/hub.py", "sources/transformers_library.py"),
)


def entity_co_tuning(relationship: Tensor, source_weight: float) -> Part:
    r"""The translated source loss of the words of entities, times source_weight (lambda > 0).

    .. math:: -\frac{\lambda}{|E|} \sum_{i \in E} \sum_s R[t_i, s] \log \mathrm{softmax}(z_i)_s

    E are the words of the batch whose tag is not O, t_i the type of the tag, B- and I- alike, and
    z_i what the source head makes of the word's own state, unmasked. Without entities it is 0.

    Args:
        relationship: R [type, source], each row sums to 1; on the device of the training.

    Source: You et al., NeurIPS 2020, section 4.4; github.com/thuml/CoTuning, folder nlp.
    """

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        logits = _taught(outputs)
        types = type_labels(batch.labels[batch.inputs.taught])
        loss = translated_cross_entropy(logits, types, relationship) if len(types) else logits.sum()
        return {"source_loss": source_weight * loss}

    return Part(terms, uses_source_head=True)


def entity_lwf(model: TokenModel, source_weight: float, temperature: float) -> Part:
    """The cross-entropy of the words of entities to what the model, as it is now, predicts there.

    Args:
        model: before training; a copy is kept.
        temperature: T > 0 of the predictions that teach.

    Source: Li and Hoiem, Learning without Forgetting, ECCV 2016, equation 2.
    """
    before = copy.deepcopy(model).eval().requires_grad_(False)

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        logits = _taught(outputs)
        if not len(logits):
            return {"source_loss": source_weight * logits.sum()}
        with torch.no_grad():
            remembered = F.softmax(_taught(before(batch.inputs)).float() / temperature, dim=1)
        return {"source_loss": source_weight * F.cross_entropy(logits.float(), remembered)}

    return Part(terms, uses_source_head=True)


def compose_text_method(
    name: str, model: TokenModel, relationship: Tensor, source_weight: float, temperature: float
) -> Objective:
    """The objective of vanilla, co-tuning or lwf; a head that nothing teaches is frozen.

    Args:
        model: on the device of the training, as relationship is.
    """
    model.source_head.requires_grad_(name != BASELINE)
    if name == BASELINE:
        return compose()
    if name == CO_TUNING:
        return compose(entity_co_tuning(relationship, source_weight))
    return compose(entity_lwf(model, source_weight, temperature))


def _taught(outputs: Outputs) -> Tensor:
    assert outputs.source_logits is not None, "compose() runs the source head"
    return outputs.source_logits
