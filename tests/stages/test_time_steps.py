"""The timing of steps: what is compared with what, and that what is timed is the real thing."""

import functools
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.claims.pool import Pool
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.sections import FineTune, SourceModel
from pipeline.training.compute import Compute
from stages.time_steps import WARM_UP_ROUNDS, Calls, compare, new_calls

CPU = Compute(torch.device("cpu"), torch.float32)
METHODS = (
    *("vanilla", "l2-sp", "delta", "bss", "stoch-norm", "bi-tuning", "co-tuning"),
    "co-tuning+bss",
)
PARAMS = Params(
    source_model=SourceModel(input_size=12),
    prepare_data=PrepareData(stored_size=16),
    fine_tune=FineTune(batch_size=8, learning_rate=0.02),
)


def test_ratios_are_to_vanilla_in_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of the ratios is far from the ratio of the medians, which is 1."""
    milliseconds = {"vanilla": [20, 40, 80], "slow": [40, 120, 20], "same": [20, 40, 80]}
    turns = {name: iter([1000] * WARM_UP_ROUNDS + given) for name, given in milliseconds.items()}
    clock = 0.0

    def take_time(name: str) -> None:
        nonlocal clock
        clock += next(turns[name]) / 1000

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    calls = {name: functools.partial(take_time, name) for name in milliseconds}
    table = compare(calls, rounds=3, device=CPU.device)
    for name, given in milliseconds.items():
        ratios = np.array(given) / milliseconds["vanilla"]
        expected = [np.median(given), *np.percentile(ratios, [50, 25, 75])]
        found = table.loc[name, ["ms", "ratio", "ratio_low", "ratio_high"]]
        assert found.tolist() == pytest.approx(expected)
    assert table.loc["slow", "ratio"] == 2
    assert table.loc["slow", "ms"] == table.loc["vanilla", "ms"]


def test_all_are_called_equally_often_and_take_turns_at_being_first() -> None:
    order: list[str] = []
    calls = {name: functools.partial(order.append, name) for name in ("vanilla", "a", "b", "c")}
    compare(calls, rounds=9, device=CPU.device)
    rounds = [order[start : start + 4] for start in range(0, len(order), 4)]
    assert len(rounds) == WARM_UP_ROUNDS + 9
    assert all(set(one) == set(calls) for one in rounds)
    assert set(Counter(one[0] for one in rounds).values()) == {3}


@pytest.fixture
def calls(pool: Pool) -> tuple[Calls, Calls]:
    settings = {method: CellSettings(method=method) for method in (*METHODS, "linear-probe")}
    return new_calls(pool, settings, PARAMS, CPU)


def model_of(step: Any) -> torch.nn.Module:
    return step.func.__self__.model


@pytest.mark.parametrize("method", METHODS)
def test_a_step_trains_the_whole_network(calls: tuple[Calls, Calls], method: str) -> None:
    step = calls[0][method]
    model = model_of(step)
    before = {name: value.clone() for name, value in model.named_parameters()}
    step()
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    trained_alone_by_co_tuning = {"source_head.weight", "source_head.bias"}
    assert still == (set() if "co-tuning" in method else trained_alone_by_co_tuning)


def test_what_takes_no_steps_is_left_out(calls: tuple[Calls, Calls]) -> None:
    assert all(tuple(timed) == METHODS for timed in calls)


def test_methods_start_alike_and_share_no_weight(calls: tuple[Calls, Calls]) -> None:
    states = [model_of(step).state_dict() for step in calls[0].values()]
    for name, value in states[0].items():
        assert all(torch.equal(state[name], value) for state in states)
        assert len({state[name].data_ptr() for state in states}) == len(states)


@pytest.mark.parametrize("method", METHODS)
def test_an_inference_pass_is_the_deployed_network_in_evaluation(
    calls: tuple[Calls, Calls], method: str
) -> None:
    step, infer = calls[0][method], calls[1][method]
    model, source_passes = model_of(step), []
    model.source_head.register_forward_hook(lambda *_: source_passes.append(1))
    step()
    del source_passes[:]
    images = step.args[0].inputs
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = infer()
    assert not source_passes
    assert not logits.requires_grad
    model.eval()
    with torch.no_grad():
        expected = model(images).target_logits
    assert torch.equal(logits, expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_all_see_the_same_batch(calls: tuple[Calls, Calls]) -> None:
    batches = {id(tensor) for step in calls[0].values() for tensor in step.args[0]}
    assert len(batches) == 4
    assert {infer.args[1].shape for infer in calls[1].values()} == {(8, 3, 12, 12)}
