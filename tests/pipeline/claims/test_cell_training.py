"""A cell as a whole, on a tiny pool: that it repeats, what it holds, and when it holds nothing."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.claims.cell import Cell, run_cell
from pipeline.claims.pool import Pool
from pipeline.cotuning.calibration import fit_temperature
from pipeline.datasets.batches import evaluation_batches
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, Rate
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.sections import Calibrate, Evaluate, FineTune, SourceModel
from pipeline.report.metrics import METRICS
from pipeline.sources.from_logits import learn_relationship
from pipeline.sources.temperature import find_temperature
from pipeline.training.compute import Compute
from pipeline.training.fit import fit
from pipeline.training.inference import predict
from pipeline.training.methods import SourceLabels, compose_method, new_model, training_data

CPU = Compute(torch.device("cpu"), torch.float32)
CLASSES = 3
METHODS = (
    "vanilla",
    "co-tuning",
    "l2-sp",
    "delta",
    "bss",
    "stoch-norm",
    "label-smoothing",
    "bi-tuning",
    "linear-probe",
)
PARAMS = Params(
    source_model=SourceModel(input_size=12),
    prepare_data=PrepareData(stored_size=16, val_fraction=0.25),
    fine_tune=FineTune(batch_size=8),
)
TWELVE = Rate(images_per_class=12, steps=9)
VANILLA = CellSettings(learning_rate=0.02)
CO_TUNING = CellSettings(method="co-tuning", learning_rate=0.02)


def run(
    pool: Pool,
    settings: CellSettings,
    seed: int = 0,
    tested: bool = True,
    params: Params = PARAMS,
) -> dict[str, Any]:
    cell = Cell(settings.method, TWELVE, seed, settings, tested)
    result = run_cell(cell, pool, params, CPU)
    assert result.pop("training_seconds", 0) >= 0
    return result


NUMBERS = ("validation_nll", "validation_accuracy", "own_temperature", *METRICS)


def test_a_cell_is_judged_on_as_many_crops_as_evaluate_says(pool: Pool) -> None:
    ten_crops = PARAMS.model_copy(update={"evaluate": Evaluate(crops=10)})
    one, ten = run(pool, VANILLA), run(pool, VANILLA, params=ten_crops)
    assert ten["validation_nll"] == one["validation_nll"]
    assert ten["nll"] != one["nll"]
    assert ten["nll"] == pytest.approx(one["nll"], rel=0.5), "as sure of itself as ten times one"


def test_a_cell_is_its_parts_put_together(pool: Pool) -> None:
    result = run(pool, CO_TUNING, seed=4)

    sample = pool.draw(12, 0.25, 4)
    splits = pool.split_logits(sample)
    temperature = find_temperature(PARAMS.calibrate, splits, CLASSES).temperature
    learned = learn_relationship(splits, CLASSES, temperature, CO_TUNING).relationship
    model, data = new_model(pool.source, CLASSES, 4), training_data(sample, pool.source)
    training = FineTune(batch_size=8, epochs=3, learning_rate=0.02)
    source = SourceLabels(learned, splits, temperature)
    objective, training = compose_method("co-tuning", model, training, CO_TUNING.peers, source, 2.3)
    fitted = fit(model, objective, data, training, CPU, seed=4)
    model.load_state_dict(fitted.state)
    batches = evaluation_batches(sample.split("test"), data.preprocessing, 100, CPU.device)
    logits, labels = predict(model.deploy(), batches, CPU)

    kept = fitted.history[fitted.kept_epoch - 1]
    assert result["temperature"] == temperature != 1
    assert result["validation_nll"] == kept["validation_nll"]
    assert result["validation_accuracy"] == kept["validation_accuracy"]
    assert result["accuracy"] == pytest.approx((logits.argmax(dim=1) == labels).double().mean())
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert result["nll"] == pytest.approx(expected.item(), rel=1e-5)
    own = result["own_temperature"]
    calibrated = torch.nn.functional.cross_entropy(logits / own, labels)
    assert result["calibrated_nll"] == pytest.approx(calibrated.item(), rel=1e-5)
    batches = evaluation_batches(sample.split("validation"), data.preprocessing, 100, CPU.device)
    assert own == pytest.approx(fit_temperature(*predict(model.deploy(), batches, CPU)).temperature)
    assert len(labels) == 24
    identity = {"images_per_class": 12, "steps": 9, "row": "co-tuning", "seed": 4}
    assert identity.items() <= result.items()


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_repeats_bit_for_bit(pool: Pool, method: str) -> None:
    settings = CellSettings(method=method, learning_rate=0.02)
    first = run(pool, settings)
    torch.rand(7)  # the global generator has no part in it
    np.random.default_rng().random()
    assert run(pool, settings) == first
    assert all(math.isfinite(first[name]) for name in NUMBERS)
    assert run(pool, settings, seed=1)["validation_nll"] != first["validation_nll"]


def test_a_cell_leaves_the_source_model_as_it_was(pool: Pool) -> None:
    before = {name: value.clone() for name, value in pool.source.network().state_dict().items()}
    run(pool, CellSettings(method="co-tuning+stoch-norm", learning_rate=0.05))
    after = pool.source.network().state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not pool.source.backbone[1]._forward_hooks


def test_lambda_zero_is_vanilla(pool: Pool) -> None:
    zero, plain = run(pool, CO_TUNING.changed({"source_weight": 0.0})), run(pool, VANILLA)
    assert {name: zero[name] for name in NUMBERS} == {name: plain[name] for name in NUMBERS}
    assert "temperature" not in plain
    assert run(pool, CO_TUNING)["validation_nll"] != plain["validation_nll"]


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "direct"},
        {"direction": "reverse"},
        {"calibrated": False},
        {"relationship": "uniform"},
        {"relationship": "shuffled"},
        {"source_weight": 1.0},
        {"method": "co-tuning+bss", "peers.bss.strength": 0.1},
    ],
)
def test_every_setting_of_a_variant_has_an_effect(pool: Pool, change: dict[str, Any]) -> None:
    assert run(pool, CO_TUNING.changed(change))["nll"] != run(pool, CO_TUNING)["nll"]


def test_how_the_reverse_classifier_is_chosen_has_an_effect(pool: Pool) -> None:
    reverse = CO_TUNING.changed({"direction": "reverse"})
    by_likelihood = reverse.changed({"selection": "cross-validated-likelihood"})
    assert run(pool, by_likelihood)["nll"] != run(pool, reverse)["nll"]


def test_a_control_is_told_with_what_it_knows(pool: Pool) -> None:
    direct = CO_TUNING.changed({"direction": "direct"})
    learned, marginal, shuffled = (
        run(pool, direct.changed({"relationship": kind}))
        for kind in ("learned", "marginal", "shuffled")
    )
    assert marginal["knowledge_nats"] == 0
    assert len({0, shuffled["knowledge_nats"], learned["knowledge_nats"]}) == 3
    assert "recovered_mass" not in learned


def test_a_cell_says_how_much_of_the_true_relationship_was_learned(pool: Pool) -> None:
    truth = torch.eye(CLASSES, pool.logits.shape[1]).double()
    known = replace(pool, true_relationship=truth)
    taught = run(known, CO_TUNING.changed({"relationship": "truth"}))
    assert (taught["recovered_mass"], taught["divergence_from_truth"]) == (1, 0)
    learned = run(known, CO_TUNING.changed({"direction": "direct"}))
    assert 0 < learned["recovered_mass"] < 1
    assert learned["divergence_from_truth"] > 0
    with pytest.raises(ValueError, match="is not known"):
        run(pool, CO_TUNING.changed({"relationship": "truth"}))


def test_the_temperature_is_that_of_the_sample_or_one(pool: Pool) -> None:
    found = [run(pool, CO_TUNING, seed=seed)["temperature"] for seed in (0, 1)]
    assert found[0] != found[1]
    assert run(pool, CO_TUNING.changed({"calibrated": False}))["temperature"] == 1
    fixed = PARAMS.model_copy(update={"calibrate": Calibrate(method="fixed", temperature=2.5)})
    assert run(pool, CO_TUNING, params=fixed)["temperature"] == 2.5


def test_a_cell_that_is_not_tested_knows_nothing_of_the_test_images(pool: Pool) -> None:
    untested, tested = run(pool, CO_TUNING, tested=False), run(pool, CO_TUNING)
    assert set(METRICS).isdisjoint(untested)
    assert untested.items() <= tested.items()


@pytest.mark.parametrize("method", sorted({*METHODS} - {"bss", "linear-probe"}))
def test_a_diverging_cell_says_so_and_holds_no_number(pool: Pool, method: str) -> None:
    result = run(pool, CellSettings(method=method, learning_rate=1e30))
    assert result["diverged"] is True
    assert not {*NUMBERS, "training_seconds"} & set(result)
    assert {"row": method, "seed": 0, "learning_rate": 1e30}.items() <= result.items()
    assert run(pool, VANILLA)["diverged"] is False


def test_a_diverging_cell_of_bss_says_so(pool: Pool) -> None:
    assert run(pool, CellSettings(method="bss", learning_rate=1e30))["diverged"] is True
