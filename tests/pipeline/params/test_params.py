from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import params
from pipeline.common.errors import UserError
from pipeline.params.sections import FineTune

PROJECT_FILE = Path(__file__).parents[3] / "params.yaml"


def load(tmp_path, text, *overrides):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.load(path, overrides)


def test_the_projects_file_spells_out_every_value():
    written = YAML(typ="safe").load(PROJECT_FILE.read_text())
    of_studies = {
        "tune_methods",
        "fine_tune_cells",
        "time_steps",
        "gain_against_knowledge",
    }
    values = params.load(PROJECT_FILE).model_dump(mode="json", exclude=of_studies)
    assert values == written


def test_what_the_file_leaves_out_has_its_default(tmp_path):
    assert load(tmp_path, "seed: 3").fine_tune == FineTune()
    assert load(tmp_path, "").seed == 0


def test_an_override_wins_over_the_file_and_is_typed(tmp_path):
    values = load(tmp_path, "fine_tune:\n  epochs: 9", "fine_tune.epochs=3", "seed=7")
    assert (values.fine_tune.epochs, values.seed) == (3, 7)


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    assert load(tmp_path, "fine_tune:\n  learning_rate: 1e-3").fine_tune.learning_rate == 0.001


@pytest.mark.parametrize(
    "values", ["images_per_class: 5", "images_per_class: null, sampling_rate: 0.5"]
)
def test_the_test_split_can_be_all_that_is_not_drawn(tmp_path, values):
    data = load(tmp_path, f"prepare_data: {{test_fraction: null, {values}}}").prepare_data
    assert data.test_fraction is None


def test_a_pool_takes_all_and_tests_nothing(tmp_path):
    data = load(tmp_path, "prepare_data: {test_fraction: 0, images_per_class: null}").prepare_data
    assert (data.test_fraction, data.images_per_class) == (0, None)


def test_sections_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        params.Params().seed = 1


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("fine_tune:\n  learnig_rate: 1", None, "did you mean fine_tune.learning_rate"),
        ("fine_tunee: {}", None, "did you mean fine_tune?"),
        ("tune:\n  sorce_weight: 1", None, "did you mean tune.source_weight"),
        ("fine_tune:\n  epochs: many", None, "fine_tune.epochs: got 'many'"),
        ("fine_tune:\n  epochs: 1.5", None, "valid integer"),
        ("fine_tune:\n  epochs: 0", None, "greater than or equal to 1"),
        ("fine_tune:\n  iterations: 9050", None, "fine_tune: got epochs 90 and iterations 9050"),
        (
            "fine_tune:\n  epochs: null",
            None,
            "got epochs null and iterations null; give",
        ),
        ("tune:\n  trials: 1", None, "trials 1 would train vanilla alone; give 2 or more"),
        ("tune:\n  source_weight: 0", None, "greater than 0"),
        (
            "fine_tune:\n  schedule: step\n  step_at: [4, 6000]",
            None,
            "step_at 6000 is never reached in 90 epochs",
        ),
        (
            "fine_tune:\n  {epochs: null, iterations: 9, schedule: step, step_at: [9]}",
            None,
            "step_at 9 is never reached in 9 iterations",
        ),
        ("evaluate:\n  crops: 5", None, "evaluate.crops: got 5"),
        ("prepare_data:\n  sampling_rate: 15", None, "less than or equal to 1"),
        ("prepare_data:\n  sampling_rate: 0", None, "greater than 0"),
        (
            "prepare_data:\n  sampling_rate: 0.15",
            None,
            "got sampling_rate 0.15 and images_per_class 5; set images_per_class to null",
        ),
        (
            "prepare_data:\n  {test_fraction: null, images_per_class: null}",
            None,
            "test_fraction null tests on what is not drawn, but images_per_class null with",
        ),
        ("prepare_data:\n  test_fraction: 1.0", None, "less than 1"),
        ("prepare_data:\n  test_fraction: -0.1", None, "greater than or equal to 0"),
        ("prepare_data:\n  source_labels: val.txt", None, "source_labels needs source_validation"),
        (
            "fine_tune:\n  methods: [vanila]",
            None,
            "'vanila' is no method; expected vanilla, linear-probe, co-tun",
        ),
        (
            "fine_tune:\n  methods: [linear-probe+bss]",
            None,
            "'linear-probe+bss'; linear-probe trains nothing that another part could change: take "
            "it alone, or lp-ft",
        ),
        (
            "fine_tune:\n  methods: [stoch-norm+lp-ft]",
            None,
            "lp-ft keeps the statistics that stoch-norm draws among: leave one out",
        ),
        ("fine_tune: 3", None, "fine_tune: got 3"),
        ("prepare_data:\n  on_bad_image: ignore", None, "'stop' or 'skip'"),
        ("prepare_data:\n  expected_counts: none", None, "'published' or 'any'"),
        ("prepare_data:\n  source: CUB", None, "source: got 'CUB'; Input should be 'fashion-mni"),
        ("- a", None, "the file: got ['a']"),
        ("a: [", None, "not valid YAML"),
        ("a: 1\na: 2", None, "not valid YAML"),
        ("", "seed", "expected section.name=value"),
        ("seed: 1", "seed.value=1", "seed is a value, not a section"),
        ("", "tune.trials=yes", "tune.trials: got 'yes'"),
        ("prepare_data:\n  stored_size: 32", None, "exceeds prepare_data.stored_size 32"),
        ("tune:\n  source_weight: 7", None, "exceeds max_source_weight 5.0"),
        ("tune:\n  temperature_factor: 3", None, "outside [1/2.0, 2.0]"),
        ("calibrate:\n  method: source-validation", None, "needs prepare_data.source_validation"),
    ],
)
def test_what_is_not_accepted_is_said_in_one_line(tmp_path, text, override, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *([override] if override else []))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match=r"beside dvc.yaml"):
        params.load(tmp_path / "params.yaml")
