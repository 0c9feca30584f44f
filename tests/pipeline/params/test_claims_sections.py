"""Candidates, variants and the tables' own params.yaml: what is accepted, and what it means."""

import itertools
from pathlib import Path

import pytest

from pipeline import params
from pipeline.common.errors import UserError
from pipeline.params.claims_sections import CellSettings, TuneMethods
from pipeline.params.methods import L2SP, BiTuning, Bss, Delta, LabelSmoothing, Peers, StochNorm

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
CLAIMS_FILES = sorted(EXPERIMENTS.glob("claims-*/params.yaml"))
# As the authors of each and the libraries have them.
PUBLISHED_STRENGTHS = (
    Peers(l2_sp=L2SP(strength=0.01)),
    Peers(delta=Delta(strength=0.01)),
    Peers(bss=Bss(strength=0.001, singular_values=1)),
    Peers(stoch_norm=StochNorm(probability=0.5)),
    Peers(label_smoothing=LabelSmoothing(smoothing=0.1)),
    Peers(
        bi_tuning=BiTuning(
            trade_off=1, projection_size=128, queue_size=40, momentum=0.999, temperature=0.07
        )
    ),
)


def load(tmp_path: Path, text: str) -> params.Params:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.load(path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_candidates_are_all_combinations_of_the_values() -> None:
    rates, strengths = [0.001, 0.01, 0.1], [0.5, 2.0]
    values = {"learning_rate": rates, "peers.bss.strength": strengths}
    found = TuneMethods(candidates={"bss": values}).combinations("bss")
    expected = [
        CellSettings(method="bss", learning_rate=rate, peers=Peers(bss=Bss(strength=strength)))
        for rate, strength in itertools.product(rates, strengths)
    ]
    assert found == expected


def test_a_method_without_an_entry_has_its_defaults_alone() -> None:
    tuning = TuneMethods(candidates={"bss": {"learning_rate": [0.1, 0.2]}})
    assert tuning.combinations("co-tuning+bss") == [CellSettings(method="co-tuning+bss")]


def test_changed_replaces_what_is_named_and_keeps_the_rest() -> None:
    start = CellSettings(method="bss", learning_rate=0.02, source_weight=1.5)
    names = {"peers.bss.strength": 0.3, "peers.l2_sp.head_strength": 0.0, "calibrated": False}
    changed = start.changed(names)
    assert changed.model_dump() == start.model_dump() | {
        "calibrated": False,
        "peers": Peers(bss=Bss(strength=0.3), l2_sp=L2SP(head_strength=0.0)).model_dump(),
    }
    assert start == CellSettings(method="bss", learning_rate=0.02, source_weight=1.5)
    assert start.changed({}) == start


def test_settings_survive_json() -> None:
    settings = CellSettings(method="delta").changed({"peers.delta.strength": 1e-6})
    assert CellSettings.model_validate_json(settings.model_dump_json()) == settings


def test_unequal_budgets_are_refused_with_their_sizes(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        """
        tune_methods:
          candidates:
            vanilla: {learning_rate: [0.1, 0.2, 0.3]}
            bss: {learning_rate: [0.1, 0.2], peers.bss.strength: [0.1, 0.2]}
        """,
    )
    assert "equally many candidates, got {'vanilla': 3, 'bss': 4}" in message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("tune_methods: {candidates: {vanilla: {learnig_rate: [0.1]}}}", "learnig_rate"),
        ("tune_methods: {candidates: {bss: {peers.bsss.strength: [0.1]}}}", "peers.bsss"),
        ("tune_methods: {candidates: {vanilla: {learning_rate: [fast]}}}", "got 'fast'"),
        ("tune_methods: {candidates: {vanilla: {learning_rate: [0.1, -1.0]}}}", "got -1.0"),
        ("tune_methods: {candidates: {vanilla: {learning_rate: 0.1}}}", "valid list"),
        ("tune_methods: {candidates: {vanila: {learning_rate: [0.1]}}}", "'vanila' is no method"),
        ("tune_methods: {rate: {images_per_class: 1, steps: 5}}", "images_per_class: got 1"),
        ("tune_methods: {seeds: []}", "tune_methods.seeds"),
        ("fine_tune_cells: {variants: {a: {source_wait: 1.0}}}", "source_wait"),
        ("fine_tune_cells: {variants: {a: {source_weight: much}}}", "got 'much'"),
        ("fine_tune_cells: {variants: {a: {calibrated: 1}}}", "got 1"),
        ("fine_tune_cells: {variants: {a: {relationship: best}}}", "'shuffled' or 'truth'"),
        ("fine_tune_cells: {variants: {a: {relationship: truth}}}", "needs true_relationship"),
        ("fine_tune_cells: {sweep: {momentum: [0.5]}}", "fine_tune_cells.sweep"),
        ("fine_tune_cells: {sweep: {steps: [0]}}", "got 0"),
        ("fine_tune_cells: {variants: {a: {method: cotuning}}}", "'cotuning' is no method"),
        ("fine_tune_cells: {rates: [{images_per_class: 20}]}", "steps"),
        ("fine_tune_cells: {methods: []}", "fine_tune_cells.methods"),
        ("time_steps: {rounds: 4}", "time_steps.rounds: got 4"),
    ],
)
def test_what_is_not_accepted_is_said_in_one_line(
    tmp_path: Path, section: str, message: str
) -> None:
    assert message in refusal(tmp_path, section)


@pytest.mark.parametrize(
    "section",
    [
        "tune_methods: {candidates: {vanilla: {learning_rate.start: [0.1]}}}",
        "fine_tune_cells: {variants: {a: {source_weight.start: 1.0}}}",
    ],
)
def test_a_name_below_a_value_is_refused(tmp_path: Path, section: str) -> None:
    assert "start" in refusal(tmp_path, section)


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("tune_methods: {candidates: {vanilla: {learnig_rate: [0.1]}}}", "candidates.vanilla"),
        ("fine_tune_cells: {variants: {a: {source_wait: 1.0}}}", "variants.a"),
    ],
)
def test_the_message_says_which_candidate_or_variant_it_is(
    tmp_path: Path, section: str, place: str
) -> None:
    assert place in refusal(tmp_path, section)


def test_a_setting_without_a_value_to_try_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path, "tune_methods: {candidates: {vanilla: {learning_rate: []}}}")


@pytest.mark.parametrize(
    "section",
    [
        "{methods: [vanilla], variants: {a: {source_weight: 1.0}}}",
        "{variants: {co-tuning: {source_weight: 0.0}}}",
        "{variants: {a/b: {source_weight: 0.0}}}",
        "{seeds: [0, 1, 0]}",
        "{rates: [{images_per_class: 20, steps: 9}, {images_per_class: 20, steps: 99}]}",
        "{variants: {a: {}}, rates: [{images_per_class: 9, steps: 9, variants: [b]}]}",
    ],
)
def test_a_grid_that_cannot_become_a_table_is_refused(tmp_path: Path, section: str) -> None:
    refusal(tmp_path, f"fine_tune_cells: {section}")


def test_seeds_of_the_table_are_refused_for_tuning(tmp_path: Path) -> None:
    refusal(tmp_path, "{tune_methods: {seeds: [1]}, fine_tune_cells: {seeds: [0, 1]}}")


@pytest.fixture(params=CLAIMS_FILES, ids=lambda path: path.parent.name)
def table(request: pytest.FixtureRequest) -> params.Params:
    return params.load(request.param)


def test_a_tables_own_file_agrees_with_itself(table: params.Params) -> None:
    assert set(table.tune_methods.candidates) == set(table.fine_tune_cells.methods)
    for rate in table.fine_tune_cells.rates:
        assert set(rate.variants) == set(table.fine_tune_cells.variants)
    assert len(table.tune_methods.seeds) >= 3
    assert not set(table.tune_methods.seeds) & set(table.fine_tune_cells.seeds)
    assert not set(table.fine_tune_cells.variants) & set(table.fine_tune_cells.methods)


def test_the_default_settings_are_among_each_methods_candidates(table: params.Params) -> None:
    for method in table.fine_tune_cells.methods:
        assert CellSettings(method=method) in table.tune_methods.combinations(method)


def test_every_candidate_is_another_one(table: params.Params) -> None:
    for method in table.fine_tune_cells.methods:
        found = table.tune_methods.combinations(method)
        assert all(one != other for one, other in itertools.combinations(found, 2))
        assert {settings.method for settings in found} == {method}


@pytest.mark.parametrize("peers", PUBLISHED_STRENGTHS)
def test_a_peer_has_the_strength_of_its_authors_and_of_the_libraries(peers: Peers) -> None:
    assert Peers() == peers
