"""Time a training step and an inference pass of each method, in turns, on one batch."""

import functools
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor

from pipeline.artifacts import Store
from pipeline.claims.pool import Pool, load_pool, pool_files
from pipeline.common.formats import write_csv
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.cotuning.objectives import Batch
from pipeline.datasets.batches import training_batches
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings
from pipeline.params.methods import BASELINE, LINEAR_PROBE
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.fit import Loop
from pipeline.training.methods import SourceLabels, compose_method, new_model, training_data

WARM_UP_ROUNDS = 3

Calls = dict[str, Callable[[], object]]


def run(params: Params) -> None:
    store = Store(project_root())
    section = params.time_steps
    compute = resolve_compute(
        params.compute.device, params.compute.precision, params.compute.compile
    )
    chosen = store.require("tune-methods", "settings.json")
    settings = store.load_settings()
    settings = {BASELINE: CellSettings()} | settings
    folder = store.folder("time-steps")
    inputs = [*pool_files(store), chosen]
    with stage_run(store.root, "time-steps", section.model_dump(), inputs, folder) as run:
        steps, passes = new_calls(load_pool(store, params), settings, params, compute)
        table = pd.concat(
            [
                compare(steps, section.rounds, compute.device).add_prefix("step_"),
                compare(passes, section.rounds, compute.device).add_prefix("inference_"),
            ],
            axis=1,
        )
        write_csv(folder / "step_times.csv", table.rename_axis("method").reset_index())
        ratios = table["step_ratio"].items()
        run.log_metrics({f"step_ratio.{method}": ratio for method, ratio in ratios})


def new_calls(
    pool: Pool, settings: dict[str, CellSettings], params: Params, compute: Compute
) -> tuple[Calls, Calls]:
    """By method, what runs one step of training and what runs one pass at inference.

    The linear probe takes no steps and is left out.
    """
    classes = len(pool.prepared.classes)
    data = training_data(pool.prepared, pool.source)
    source_categories = pool.logits.shape[1]
    uniform = torch.full((classes, source_categories), 1 / source_categories).to(compute.device)
    labels = SourceLabels(uniform, pool.split_logits(pool.prepared), 1.0)
    batches = training_batches(
        data.train,
        data.preprocessing,
        params.fine_tune.batch_size,
        torch.Generator().manual_seed(params.seed),
        compute.device,
        second_views=torch.Generator().manual_seed(params.seed + 1),
    )
    batch = Batch(*next(batches))
    steps: Calls = {}
    passes: Calls = {}
    for method, given in settings.items():
        if method == LINEAR_PROBE:
            continue
        model = new_model(pool.source, classes, params.seed).to(compute.device)
        model.to(memory_format=torch.channels_last)
        objective, training = compose_method(
            method, model, params.fine_tune, given.peers, labels, given.source_weight
        )
        objective.begin_training(model)
        loop = Loop(model, objective, data, training, compute)
        steps[method] = functools.partial(loop.step, batch)
        passes[method] = functools.partial(infer, model.deploy(), batch.inputs, compute)
    return steps, passes


@torch.inference_mode()
def infer(network: torch.nn.Module, images: Tensor, compute: Compute) -> Tensor:
    network.eval()
    with compute.autocast():
        output: Tensor = network(images)
    return output


def compare(calls: Calls, rounds: int, device: torch.device) -> pd.DataFrame:
    """Run all calls in turns; by method: ms (median), and ratio to vanilla's time in the same
    round: ratio (median), ratio_low and ratio_high (quartiles).
    """
    seconds: dict[str, list[float]] = {method: [] for method in calls}
    names = list(calls)
    with progress("time-steps", rounds) as advance:
        for turn in range(WARM_UP_ROUNDS + rounds):
            first = turn % len(names)
            for method in names[first:] + names[:first]:
                begin = time.perf_counter()
                calls[method]()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if turn >= WARM_UP_ROUNDS:
                    seconds[method].append(time.perf_counter() - begin)
            advance(int(turn >= WARM_UP_ROUNDS))
    times = pd.DataFrame(seconds)
    ratios = times.div(times[BASELINE], axis=0)
    low, middle, high = (ratios.quantile(share) for share in (0.25, 0.5, 0.75))
    return pd.DataFrame(
        {
            "ms": 1000 * times.median(),
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
        }
    )
