"""What source models know of the target classes, from one pass of each over the data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.common.errors import UserError
from pipeline.common.files import content_hash
from pipeline.common.tables import plain_table
from pipeline.cotuning.diagnostics import leep_score, nce_score
from pipeline.cotuning.linear_probe import Folds, held_out_probe_logits
from pipeline.cotuning.relationship import fit_relationship
from pipeline.cotuning.transferability import h_score, log_maximum_evidence

# The first ranks, the others break ties: see `rank`.
RANKED_BY = ("linear_probe_accuracy", "logme")
# What every modality's table shows first: titles and forms of the columns of CommonScores.
COMMON_COLUMNS = {
    "linear_probe_accuracy": ("Probe", "{:.1%}"),
    "linear_probe_nll": ("NLL", "{:.2f}"),
    "logme": ("LogME", "{:+.2f}"),
    "leep": ("LEEP", "{:+.2f}"),
    "nce": ("NCE", "{:+.2f}"),
    "h_score": ("H-score", "{:.2f}"),
}


@dataclass(frozen=True)
class Candidate:
    """A source model by name and weights, as in params.yaml."""

    name: str
    weights: str = "published"

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """From NAME or NAME=WEIGHTS.

        >>> Candidate.parse("timm:resnet18=weights/mine.safetensors")
        Candidate(name='timm:resnet18', weights='weights/mine.safetensors')
        """
        name, _, weights = text.partition("=")
        return cls(name, weights or "published")

    @property
    def label(self) -> str:
        return self.name if self.weights == "published" else f"{self.name}={self.weights}"

    def content(self) -> list[str]:
        """Hashes of the local files that it is loaded from; none where it is published."""
        places = (Path(self.weights), Path(self.name.removeprefix("hf:")))
        return [
            content_hash(file)
            for place in places
            for file in (sorted(place.iterdir()) if place.is_dir() else [place])
            if file.is_file()
        ]


def named_candidates(
    models: Sequence[str], listed: Path | None, otherwise: Sequence[str]
) -> list[Candidate]:
    """Those that are named and those of a file, each once.

    Args:
        listed: a file with one a line.
        otherwise: the names that are taken where none is given.

    Raises:
        UserError: as read_candidates.
    """
    candidates = [Candidate.parse(text) for text in models]
    candidates += read_candidates(listed) if listed else []
    return list(dict.fromkeys(candidates or map(Candidate, otherwise)))


def read_candidates(path: Path) -> list[Candidate]:
    """One a line, as NAME or NAME=WEIGHTS; empty lines and those that begin with # are none.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"--from {path} is no file; give one with a model a line")
    lines = (line.strip() for line in path.read_text().splitlines())
    return [Candidate.parse(line) for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True)
class CommonScores:
    """Of one source model, whatever the modality; higher is better but for the NLL.

    Attributes:
        linear_probe_accuracy: of the samples of training and validation, each held out once, in
            [0, 1].
        linear_probe_nll: of the same, in nats; lower is better.
        logme, leep, nce: in nats.
        h_score: 0 to at most the number of classes less one.
    """

    linear_probe_accuracy: float
    linear_probe_nll: float
    logme: float
    leep: float
    nce: float
    h_score: float


@dataclass(frozen=True)
class Scores(CommonScores):
    """Of one source model on images.

    Attributes:
        classifier_accuracy: of g, the reverse way's classifier, on the validation images.
        images_per_second: of the pass through the backbone.
        parameters: in millions.
        input_size: in pixels.
        categories: number of source categories.
    """

    classifier_accuracy: float
    images_per_second: float
    parameters: float
    input_size: int
    categories: int


def score_features(
    features: Sequence[Tensor], logits: Sequence[Tensor], labels: Sequence[Tensor], classes: int
) -> dict[str, float]:
    """The scores of Scores that are not of the network itself.

    LEEP, NCE, LogME and the H-score look at the images of training and validation together; the
    source predictions are those at temperature 1.

    Args:
        features: [image, feature] of the training and of the validation images.
        logits: [image, source] likewise.
        labels: [image] likewise; every class has one of training.
    """
    probabilities = torch.softmax(torch.cat(list(logits)).double(), dim=1)
    both, known = torch.cat(list(features)), torch.cat(list(labels))
    _, classifier = fit_relationship(
        logits[0], labels[0], logits[1], labels[1], classes, direction="reverse"
    )
    return {
        **score_probe(both, known, classes),
        "logme": log_maximum_evidence(both, known, classes),
        "leep": leep_score(probabilities, known, classes),
        "nce": nce_score(probabilities, known, classes),
        "h_score": h_score(both, known, classes),
        "classifier_accuracy": classifier.validation_accuracy,
    }


def score_probe(
    features: Tensor, labels: Tensor, classes: int, folds: Folds | None = None
) -> dict[str, float]:
    """The scores of the linear probe.

    Args:
        features: [sample, feature].
        labels: [sample]; every class has one.
        folds: as held_out_probe_logits takes them.
    """
    held_out, known = held_out_probe_logits(features, labels, classes, folds)
    right = held_out.argmax(dim=1) == known
    return {
        "linear_probe_accuracy": float(right.double().mean()),
        "linear_probe_nll": cross_entropy(held_out, known).item(),
    }


def rank(scores: Mapping[Candidate, CommonScores]) -> pd.DataFrame:
    """A row a model, the best first: by the accuracy of the linear probe, then by LogME.

    The accuracy is held out and means the same for every network. LogME, LEEP and NCE look at the
    samples that they are fitted to, so that they favour many features or categories.

    Returns:
        Columns name, weights, and those of the scores.
    """
    table = pd.DataFrame([asdict(candidate) | asdict(found) for candidate, found in scores.items()])
    return table.sort_values(list(RANKED_BY), ascending=False, ignore_index=True)


def best_of(ranking: pd.DataFrame) -> Candidate:
    """The first one of `rank`."""
    return Candidate(ranking["name"].iloc[0], ranking["weights"].iloc[0])


def ranking_table(ranking: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> Table:
    """A ranking for the terminal.

    Args:
        columns: after the model's name; of each its title and its form.
    """
    table = plain_table()
    table.add_column("Source model", overflow="fold", min_width=18)
    for title, _ in columns.values():
        table.add_column(title, justify="right", no_wrap=True)
    for _, row in ranking.iterrows():
        label = Candidate(row["name"], row["weights"]).label
        table.add_row(label, *(form.format(row[name]) for name, (_, form) in columns.items()))
    return table
