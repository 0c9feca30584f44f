"""One cell of the claims table: a sample of the data, trained and judged in one way."""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from pipeline.claims.pool import Pool
from pipeline.claims.source_labels import source_labels
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, Rate
from pipeline.params.sections import Training
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.fit import DivergedError, FitResult
from pipeline.training.judge import judge
from pipeline.training.methods import start_method, training_data

Result = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """What one cell trains, and on which sample.

    Attributes:
        row: of the table: a method, or a variant of co-tuning.
        seed: of the sample, of the new head and of the batches; the same for all rows.
        tested: judged on the test images, not on the validation images alone.
        swept: the setting in which it differs from the cell of the table.
    """

    row: str
    rate: Rate
    seed: int
    settings: CellSettings
    tested: bool
    swept: str | None = None

    @property
    def steps(self) -> int:
        """Of training."""
        return self.settings.steps or self.rate.steps

    @property
    def name(self) -> str:
        """Says what the cell is; different for different settings."""
        values = json.dumps(self.settings.model_dump(), sort_keys=True)
        digest = hashlib.sha256(values.encode()).hexdigest()[:8]
        sample = f"{self.rate.images_per_class}-a-class-{self.rate.steps}-steps-seed-{self.seed}"
        return f"{sample}-{self.row}-{digest}{'' if self.tested else '-validation'}"

    @property
    def columns(self) -> Result:
        """What identifies the cell in a table."""
        return {
            "images_per_class": self.rate.images_per_class,
            "steps": self.steps,
            "row": self.row,
            "taught_by": self.settings.taught_by,
            "seed": self.seed,
            "learning_rate": self.settings.learning_rate,
            "source_weight": self.settings.source_weight,
            "swept": self.swept,
        }


def run_cell(cell: Cell, pool: Pool, params: Params, compute: Compute) -> Result:
    """Draw the sample, calibrate, learn the relationship, fine-tune and judge.

    Returns:
        The cell's columns, input_size, and those of its source labels; of the kept epoch
        validation_nll (nats) and validation_accuracy; for a tested cell the metrics of Judgement
        on the test images; training_seconds. Without numbers where the training
        diverged.
    """
    sample = pool.draw(cell.rate.images_per_class, params.prepare_data.val_fraction, cell.seed)
    data = training_data(sample, pool.source)
    columns, labels = source_labels(cell.settings, cell.seed, pool, sample, params.calibrate)
    result: Result = cell.columns | columns | {"diverged": False}
    result["input_size"] = pool.source.input_size
    begin = time.perf_counter()
    start = start_method(
        cell.settings.method,
        pool.source,
        len(sample.classes),
        data,
        training_of(cell, params.fine_tune, data),
        cell.settings.peers,
        replace(labels, relationship=labels.relationship.to(compute.device)),
        cell.settings.source_weight,
        compute,
        cell.seed,
    )
    try:
        fitted = start.train()
    except DivergedError:
        return result | {"diverged": True}
    result["training_seconds"] = round(time.perf_counter() - begin, 1)
    result |= _kept(fitted)
    if cell.tested:
        start.model.load_state_dict(fitted.state)
        judged = judge(start.model.deploy(), sample, data.preprocessing, params.evaluate, compute)
        result |= judged.metrics(len(sample.classes))
    return result


def training_of(cell: Cell, training: Training, data: Data) -> Training:
    """The protocol at the cell's learning rate, for as many whole epochs as its steps fill."""
    steps_per_epoch = max(len(data.train) // training.batch_size, 1)
    return training.model_copy(
        update={
            "epochs": max(round(cell.steps / steps_per_epoch), 1),
            "iterations": None,
            "iterations_per_epoch": None,
            "learning_rate": cell.settings.learning_rate,
        }
    )


def _kept(fitted: FitResult) -> Result:
    record = fitted.history[fitted.kept_epoch - 1]
    return {name: record[name] for name in ("validation_nll", "validation_accuracy")}
