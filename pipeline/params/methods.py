"""The methods of fine-tuning by name, and the strengths of the peers."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.params.base import Count, NonNegative, Positive, Section


class L2SP(Section):
    """Strengths of the pull of the backbone to its start and of the new head to 0."""

    strength: NonNegative = 0.01
    head_strength: NonNegative = 0.01


class Delta(Section):
    """Strengths of the pull of the feature maps to their start and of the new head to 0."""

    strength: NonNegative = 0.01
    head_strength: NonNegative = 0.01


class Bss(Section):
    """Strength of the penalty on the smallest singular values, and how many they are."""

    strength: NonNegative = 0.001
    singular_values: Count = 1


class StochNorm(Section):
    """Probability that a channel is normalised by the batch, not by the moving statistics."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5


class LabelSmoothing(Section):
    """Share of each label that goes to all classes alike."""

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1


class BiTuning(Section):
    """Of the contrastive losses: their strength, and what they compare.

    `projection_size` is the length of a projection, `queue_size` how many keys of each class are
    kept, `momentum` the share that the slow copy keeps of itself in a step.
    """

    trade_off: NonNegative = 1.0
    projection_size: Count = 128
    queue_size: Count = 40
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.999
    temperature: Positive = 0.07


class Peers(Section):
    """The peers that Co-Tuning is compared with, by name, each with its strengths."""

    l2_sp: L2SP = L2SP()
    delta: Delta = Delta()
    bss: Bss = Bss()
    stoch_norm: StochNorm = StochNorm()
    label_smoothing: LabelSmoothing = LabelSmoothing()
    bi_tuning: BiTuning = BiTuning()


BASELINE, CO_TUNING, LWF, POSTERIOR = "vanilla", "co-tuning", "lwf", "posterior-co-tuning"
LINEAR_PROBE, LP_FT, STOCH_NORM = "linear-probe", "lp-ft", "stoch-norm"
# What teaches the source head, each with the source weight.
SOURCE_PARTS = (CO_TUNING, LWF, POSTERIOR)
PARTS = (*SOURCE_PARTS, LP_FT, *(name.replace("_", "-") for name in Peers.model_fields))
NAMES = (BASELINE, LINEAR_PROBE, *PARTS)


def teaches_source_head(method: str) -> bool:
    """Whether a part of the method does."""
    return not set(SOURCE_PARTS).isdisjoint(method.split("+"))


def _known_method(name: str) -> str:
    parts = name.split("+")
    if LINEAR_PROBE in parts and len(parts) > 1:
        raise ValueError(
            f"got {name!r}; {LINEAR_PROBE} trains nothing that another part could change: take it "
            f"alone, or {LP_FT}, which fine-tunes from it, as in {LP_FT}+{PARTS[0]}"
        )
    if {LP_FT, STOCH_NORM} <= set(parts):
        raise ValueError(
            f"got {name!r}; {LP_FT} keeps the statistics that {STOCH_NORM} draws among: "
            "leave one out"
        )
    known = set(parts) <= set(PARTS) and len(set(parts)) == len(parts)
    if name not in (BASELINE, LINEAR_PROBE) and not known:
        raise ValueError(
            f"{name!r} is no method; expected {', '.join(NAMES)}, or several of "
            f"those from {PARTS[0]} on joined as in {PARTS[0]}+{PARTS[-1]}"
        )
    return name


MethodName = Annotated[str, AfterValidator(_known_method)]
