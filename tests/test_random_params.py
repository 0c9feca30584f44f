"""Params of whatever value within their types end in a result or in one line, never otherwise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepared_project import cot, write_prepared

from pipeline import params
from pipeline.common.errors import UserError


def names(value: Any, prefix: str = "") -> list[str]:
    """Of every section and every value, dotted."""
    inner = value.items() if isinstance(value, dict) else ()
    found = [name for key, one in inner for name in names(one, f"{prefix}{key}.")]
    return [prefix.rstrip("."), *found] if prefix else found


NAMES = names(params.Params().model_dump())
SLIPS = [
    *(".inf", "1e400", "0x10", "~", "yes", "2001-13-45", "{[1]: 2}", "<<", "&a [*a]", "!!set {a}"),
    *("!!binary aGk=", "!!python/object:os.system", "!!float x", '"\\x00"', "? a", "9" * 5000),
]
LEAVES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    st.sampled_from(["auto", "vanilla", "co-tuning"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["vanilla", "learning_rate", "steps"]), inner, max_size=3),
    ),
    max_leaves=5,
)
QUICK = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def said(path: Path, *overrides: str) -> str:
    """Of params that are refused; "" of those that are taken."""
    try:
        params.load(path, overrides)
    except UserError as error:
        return str(error)
    return ""


@settings(QUICK, max_examples=300)
@given(st.sampled_from(NAMES), st.one_of(VALUES.map(json.dumps), st.sampled_from(SLIPS)))
def test_any_value_is_taken_or_refused_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "params.yaml").write_text("{}")
    assert len(said(tmp_path / "params.yaml", f"{name}={value}").splitlines()) <= 1


@settings(QUICK, max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode())))
def test_any_file_is_taken_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    assert len(said(tmp_path / "params.yaml").splitlines()) <= 1


POSITIVE = st.one_of(
    st.floats(0, exclude_min=True, allow_infinity=False),
    st.sampled_from([5e-324, 1e-30, 1.7e308, 1e-6, 1e6]),
)
INSIDE = st.floats(0, 1, exclude_min=True, exclude_max=True)
COUNT = st.one_of(st.integers(1, 50), st.integers(1, 10**9))
# What each stage reads, within the types of its section.
OF_A_STAGE: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "calibrate": {
        "calibrate.method": st.sampled_from(["target-likelihood", "source-validation", "fixed"]),
        "calibrate.temperature": st.one_of(st.floats(1e-6, 1e6), st.sampled_from([1e-6, 1e6])),
    },
    "fit-relationship": {
        "fit_relationship.direction": st.sampled_from(["auto", "direct", "reverse"]),
        "fit_relationship.pseudo_samples": st.floats(0, allow_infinity=False),
        "fit_relationship.top_categories": COUNT,
    },
    "fine-tune --method co-tuning": {
        "seed": st.integers(0, 2**32 - 1),
        "fine_tune.iterations_per_epoch": st.one_of(st.none(), COUNT),
        "fine_tune.batch_size": st.integers(2, 10**9),
        "fine_tune.learning_rate": POSITIVE,
        "fine_tune.target_head_factor": POSITIVE,
        "fine_tune.momentum": st.floats(0, 1, exclude_max=True),
        "fine_tune.weight_decay": st.floats(0, allow_infinity=False),
        "fine_tune.max_gradient_norm": st.one_of(st.none(), POSITIVE),
        "fine_tune.smallest_crop": st.floats(0, 1, exclude_min=True),
    },
    "prepare-data": {
        "seed": st.integers(0, 2**32 - 1),
        "fine_tune.seeds": st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2),
        "prepare_data.images_per_class": st.one_of(st.none(), st.integers(2, 10**9)),
        "prepare_data.val_fraction": INSIDE,
        "prepare_data.test_fraction": st.one_of(st.none(), INSIDE, st.just(0.0)),
        "prepare_data.test_limit": st.one_of(st.none(), COUNT),
        "prepare_data.stored_size": st.one_of(st.integers(8, 50), st.just(10**6)),
    },
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("random")
    (place / ".dvc").mkdir()
    root = place / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_prepared(root)
        for run in root.rglob("run.json"):  # the stages overwrite each other's inputs here
            run.unlink()
        yield root


@pytest.mark.parametrize("stage", OF_A_STAGE)
def test_a_stage_ends_in_a_result_or_in_one_line(stage: str, prepared: Path) -> None:
    @settings(QUICK, max_examples=4)
    @given(st.fixed_dictionaries({}, optional=OF_A_STAGE[stage]))
    def run(values: dict[str, Any]) -> None:
        given = [f"--set={name}={json.dumps(value)}" for name, value in values.items()]
        result = cot("stage", *stage.split(), *given)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.exit_code in (0, 1)

    run()
