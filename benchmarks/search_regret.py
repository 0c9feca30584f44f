"""What the search's choice costs on test, and whether it recommends the better method.

Of each seed a sample is drawn from a study's images. Vanilla, the linear probe and each source
weight are trained on its folds, as `cot stage tune` does, and once as fine-tune does, judged on the
test images. Finished folds lie in the study's .work folder, so that an interrupted call goes on.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F

from pipeline import params as parameters
from pipeline.artifacts import Store
from pipeline.claims.cell import Cell, run_cell, training_of
from pipeline.claims.pool import Pool, load_pool, pool_files
from pipeline.common.formats import read_json, write_csv, write_json
from pipeline.common.resume import resume_key
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, Rate
from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.search.choice import Candidate, choose, gain, recommend
from pipeline.search.difference import difference
from pipeline.search.evidence import HeldOut, evidence_of
from pipeline.sources.temperature import find_temperature
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.methods import TRAINING_CODE, training_data
from pipeline.tuning.folds import Fold, repeated_folds
from pipeline.tuning.image_folds import ImageFoldTrainer


@dataclass(frozen=True)
class TrueTrainer(ImageFoldTrainer):
    """Teaches by the R by which the images were made."""

    truth: torch.Tensor

    def learn(self, fold: Fold, temperature: float) -> torch.Tensor:
        return self.truth


def main() -> None:
    given = arguments()
    root = Path("experiments", given.study).resolve()
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    with ProcessPoolExecutor(given.workers) as pool:
        calls = [pool.submit(of_seed, root, given, seed) for seed in given.seeds]
        rows = []
        for call in calls:
            rows.append(call.result())
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    if given.output:
        write_csv(Path(given.output), table)
    points = table.filter(regex="_points$")
    nats, errors = table["nats"], table["error"]
    pooled = nats.sum() / (errors**2).sum() ** 0.5
    print(
        f"{given.study}: Co-Tuning recommended on {int(table['recommended'].sum())} of "
        f"{len(table)} samples; on held-out images the chosen weight gains {nats.mean():+.3f} "
        f"nats, {pooled:+.1f} standard errors over all samples together; of the three the search "
        f"recommends {table['of_three'].value_counts().to_dict()}"
    )
    print("Points of test accuracy over vanilla, mean and standard error over samples:")
    print(pd.DataFrame({"mean": points.mean(), "error": points.sem()}).round(2).to_string())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a folder of experiments/, made up to extract-logits")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--images-per-class", type=int, default=5)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--weights", type=float, nargs="+", default=[2.3], help="default first")
    parser.add_argument("--truth", action="store_true", help="teach by the true relationship")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--output", help="a CSV file")
    return parser.parse_args()


def of_seed(root: Path, given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What the search chose on one sample, and what the test says of it."""
    torch.set_num_threads(1)
    os.chdir(root)
    values = parameters.load(root / "params.yaml")
    pool = load_pool(Store(root), values)
    compute = resolve_compute(values.compute.device, values.compute.precision)
    weights = [0.0, *given.weights]
    cells = {weight: cell_of(given, weight, seed) for weight in weights}
    tested = {weight: test(root, cells[weight], pool, values, compute) for weight in weights}
    probe_tested = test(root, cell_of(given, 0.0, seed, LINEAR_PROBE), pool, values, compute)
    trainer = trainer_of(root, given, pool, values, compute, seed)
    held_out = {weight: list(trainer.held_out(weight, 1.0)) for weight in weights}
    vanilla, *candidates = [
        Candidate(number, weight, 1.0, evidence_of(held_out[weight]))
        for number, weight in enumerate(weights)
    ]
    chosen = choose(candidates, given.weights[0], 1.0)
    probe = evidence_of(trainer.peers()[LINEAR_PROBE])
    found = gain(vanilla.evidence, chosen.evidence).log_likelihood
    of_probe = gain(vanilla.evidence, probe).log_likelihood
    rivals = {BASELINE: vanilla.evidence, CO_TUNING: chosen.evidence, LINEAR_PROBE: probe}
    three = recommend(rivals, cheapest=LINEAR_PROBE)
    points = {weight: 100 * (tested[weight] - tested[0.0]) for weight in weights}
    by_method = {
        BASELINE: 0.0,
        CO_TUNING: points[chosen.source_weight],
        LINEAR_PROBE: 100 * (probe_tested - tested[0.0]),
    }
    one_split = min(weights, key=lambda weight: raw_loss(held_out[weight][0]))
    recommended = found.mean > 0
    to_probe = difference(probe.losses, chosen.evidence.losses)
    return {
        **{"seed": seed, "source_weight": chosen.source_weight, "recommended": recommended},
        **{"nats": found.mean, "error": found.standard_error},
        **{"gain_points": by_method[CO_TUNING]},
        **{"recommended_points": by_method[CO_TUNING] if recommended else 0.0},
        **{"one_split_weight": one_split, "one_split_points": points[one_split]},
        **{"best_points": max(points.values())},
        **{"probe_nats": of_probe.mean, "probe_error": of_probe.standard_error},
        **{"probe_to_chosen_error": to_probe.standard_error},
        **{"of_three": three.method, "probe_points": by_method[LINEAR_PROBE]},
        **{"of_three_points": by_method[three.method]},
        **{"best_of_three_points": max(by_method.values())},
    }


def cell_of(given: argparse.Namespace, weight: float, seed: int, method: str | None = None) -> Cell:
    settings = CellSettings(
        method=method or (CO_TUNING if weight else BASELINE),
        learning_rate=given.learning_rate,
        source_weight=weight,
        relationship="truth" if given.truth and weight else "learned",
    )
    rate = Rate(images_per_class=given.images_per_class, steps=given.steps)
    return Cell(method or f"weight {weight:g}", rate, seed, settings, tested=True)


def test(root: Path, cell: Cell, pool: Pool, values: Params, compute: Compute) -> float:
    """Accuracy on the test images."""
    path = work_folder(root, values) / f"{cell.name}.json"
    if not path.exists():
        write_json(path, run_cell(cell, pool, values, compute))
    return float(read_json(path)["accuracy"])


def trainer_of(
    root: Path, given: argparse.Namespace, pool: Pool, values: Params, compute: Compute, seed: int
) -> ImageFoldTrainer:
    sample = pool.draw(given.images_per_class, values.prepare_data.val_fraction, seed)
    splits = pool.split_logits(sample)
    data = training_data(sample, pool.source)
    labels = torch.from_numpy(data.joined().labels)
    fold = repeated_folds(labels, values.tune.folds, 1, seed)[0]
    dealt = data.dealt(fold.kept, fold.held_out)
    training = training_of(cell_of(given, 0.0, seed), values.fine_tune, dealt)
    temperature = find_temperature(values.calibrate, splits, len(sample.classes)).temperature
    common = (
        values.model_copy(update={"seed": seed, "fine_tune": training}),
        *(sample, pool.source, splits, temperature, compute),
        work_folder(root, values) / f"seed-{seed}-{given.images_per_class}-{given.steps}",
    )
    if given.truth:
        assert pool.true_relationship is not None, "the study knows no true relationship"
        return TrueTrainer(*common, pool.true_relationship)
    return ImageFoldTrainer(*common)


def work_folder(root: Path, values: Params) -> Path:
    steering = values.model_dump(mode="json", include={"source_model", "calibrate", "fine_tune"})
    key = resume_key(steering, pool_files(Store(root)), TRAINING_CODE)
    return Store(root).work_folder("search-regret") / key


def raw_loss(part: HeldOut) -> float:
    """As a search on one split compares: no own temperature."""
    return float(F.cross_entropy(part.logits, part.labels))


if __name__ == "__main__":
    main()
