"""Learning g of the reverse relationship, against the authors' way with scikit-learn.

    python benchmarks/relationship.py [--threads 1] [--shapes 160x1000x10 ...] [--patience 2]
    python benchmarks/relationship.py --problems 100

The authors' way is 17 fits by lbfgs of at most 100 iterations. Each side runs in a process of its
own on the same made-up logits, a fifth of the samples for validation. With --problems small
random ones are compared with 17 fits that are fully converged.
"""

import argparse
import math
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from pipeline.cotuning.multinomial import Regression
from pipeline.cotuning.regularization_path import INVERSE_REGULARIZATIONS
from pipeline.cotuning.reverse import fit_reverse_classifier

SHAPES = (
    *("160x1000x10", "800x1000x10", "8000x1000x10"),
    *("5994x1000x200", "56000x1000x70", "6000x21841x200"),
)


class Splits(NamedTuple):
    train: Tensor
    train_labels: Tensor
    validation: Tensor
    validation_labels: Tensor


class Chosen(NamedTuple):
    c: float
    accuracy: float
    weight: Tensor
    effort: int  # passes, or strengths fitted in the authors' way


class Found(NamedTuple):
    chosen: Chosen
    wall: float
    cpu: float
    megabytes: int


def made_up(
    samples: int, source: int, target: int, seed: int, spread: float = 3.0, noise: float = 1.0
) -> Splits:
    """Gaussian logits around one mean a class, of standard deviation `spread` in all."""
    generator = torch.Generator().manual_seed(seed)
    scale = spread / (1 + noise**2) ** 0.5
    means = torch.randn(target, source, generator=generator)
    labels = torch.arange(samples) % target
    labels[target:] = labels[target:][torch.randperm(samples - target, generator=generator)]
    logits = noise * torch.randn(samples, source, generator=generator)
    probabilities = torch.empty(samples, source, dtype=torch.float64)
    for rows in torch.arange(samples).split(1000):
        probabilities[rows] = (scale * (means[labels[rows]] + logits[rows])).double().softmax(1)
    count = samples - samples // 5
    return Splits(probabilities[:count], labels[:count], probabilities[count:], labels[count:])


def ours(splits: Splits, target: int) -> Chosen:
    with counted_passes() as passes:
        g = fit_reverse_classifier(*splits, target)
    return Chosen(g.inverse_regularization, g.validation_accuracy, g.weight, len(passes))


def authors(
    splits: Splits,
    target: int,
    tolerance: float = 1e-4,
    iterations: int = 100,
    seconds: float = math.inf,
) -> Chosen:
    """Args: seconds: of CPU time, after which no further strength is begun."""
    x, y, validation_x, validation_y = (part.numpy() for part in splits)
    accuracy, c, weight, count = -1.0, 0.0, np.empty(0), 0
    begin = time.process_time()
    for value in INVERSE_REGULARIZATIONS:
        if time.process_time() - begin > seconds:
            break
        count += 1
        model = LogisticRegression(
            C=value, fit_intercept=False, tol=tolerance, max_iter=iterations
        ).fit(x, y)
        if (found := float(model.score(validation_x, validation_y))) > accuracy:
            accuracy, c, weight = found, value, model.coef_
    return Chosen(c, accuracy, torch.from_numpy(weight), count)


def measured(
    way: Callable[[Splits, int], Chosen], shape: tuple[int, int, int], threads: int
) -> Found:
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    with threadpool_limits(threads):
        way(made_up(60, 20, 4, 0), 4)
        splits = made_up(*shape, seed=0)
        wall, cpu = time.perf_counter(), time.process_time()
        chosen = way(splits, shape[2])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Found(chosen, wall, cpu, peak)


@contextmanager
def counted_passes() -> Iterator[list[None]]:
    """Grows by one with every gradient."""
    passes: list[None] = []
    gradient = Regression.loss_gradient

    def counting(regression: Regression, probabilities: Tensor) -> Tensor:
        passes.append(None)
        return gradient(regression, probabilities)

    with patch.object(Regression, "loss_gradient", counting):
        yield passes


def table(shapes: list[str], threads: int, patience: float) -> None:
    """A row a shape.

    Args:
        patience: the authors' way begins no further strength after so many times our CPU time.
    """
    print(f"{threads} thread(s)")
    print("| sizes | ours: s (CPU) | passes | C, accuracy | MB | authors: s (CPU)", end="")
    print(" | strengths | C, accuracy | MB | ratio of wall times (CPU) |\n|" + " --- |" * 10)
    for shape in shapes:
        samples, categories, classes = map(int, shape.split("x"))
        sizes = samples, categories, classes
        a = in_process(ours, sizes, threads)
        b = in_process(partial(authors, seconds=patience * a.cpu), sizes, threads)
        ratio = f"{a.wall / b.wall:.2f} ({a.cpu / b.cpu:.2f})"
        print(f"| {shape} | {cells(a)} | {cells(b)} | {ratio} |", flush=True)


def in_process(
    way: Callable[[Splits, int], Chosen], sizes: tuple[int, int, int], threads: int
) -> Found:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measured, way, sizes, threads).result()


def cells(found: Found) -> str:
    chosen = found.chosen
    return (
        f"{found.wall:.2f} ({found.cpu:.2f}) | {chosen.effort} | {chosen.c:g}, "
        f"{chosen.accuracy:.4f} | {found.megabytes}"
    )


def problems(count: int) -> None:
    """How often C is that of converged fits, and the row KL of g's p(y | category) to theirs."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    same = equal = 0
    distances = []
    for seed in range(count):
        draw = np.random.default_rng(seed)
        target = int(draw.choice([3, 5, 10, 20, 30]))
        samples, source = int(draw.integers(10 * target, 800)), int(draw.choice([20, 50, 100]))
        spread, noise = float(draw.uniform(1.5, 6)), float(draw.uniform(0.5, 3))
        splits = made_up(max(samples, 60), source, target, seed, spread, noise)
        c, accuracy, weight, _ = ours(splits, target)
        expected, best, reference, _ = authors(splits, target, 1e-8, 20_000)
        same, equal = same + (c == expected), equal + (accuracy == best)
        if c == expected:
            rows, others = weight.T.log_softmax(1), reference.T.log_softmax(1)
            distances.append(float((others.exp() * (others - rows)).sum(1).mean()))
        else:
            print(f"seed {seed}: C {c:g} at {accuracy:.4f}, converged {expected:g} at {best:.4f}")
    print(f"{count} problems: same C {same}, equal validation accuracy {equal}")
    print(
        f"row KL to converged, where C is the same: mean {np.mean(distances):.1e}, "
        f"largest {max(distances):.1e}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--problems", type=int, default=0)
    patience = "times our CPU time, after which the authors' way begins no further strength"
    parser.add_argument("--patience", type=float, default=math.inf, help=patience)
    options = parser.parse_args()
    if options.problems:
        problems(options.problems)
    else:
        table(options.shapes, options.threads, options.patience)
