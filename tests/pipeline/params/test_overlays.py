"""Files of values over params.yaml, and the paper's tasks among them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline import params
from pipeline.common.errors import UserError

ROOT = Path(__file__).parents[3]
PROJECT_FILE = ROOT / "params.yaml"
PAPER = {
    "cub-200-2011": "resnet50",
    "stanford-cars": "resnet50",
    "fgvc-aircraft": "resnet50",
    "coco-70": "densenet121",
}
TLLIB = "tllib-cub-200-2011"


def preset(name: str) -> Path:
    return ROOT / "experiments" / f"{name}.yaml"


def load(name: str, *overrides: str) -> params.Params:
    return params.load(PROJECT_FILE, overrides, preset(name))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the project's params.yaml."""
    return Path(shutil.copy(PROJECT_FILE, tmp_path / "params.yaml"))


def overlay(folder: Path, text: str) -> Path:
    path = folder / "overlay.yaml"
    path.write_text(text)
    return path


def names(values: Any, prefix: str = "") -> set[str]:
    if not isinstance(values, dict):
        return {prefix}
    return {name for key in values for name in names(values[key], f"{prefix}.{key}")}


@pytest.mark.parametrize(("task", "network"), PAPER.items())
def test_a_task_of_the_paper_is_the_authors_protocol(task: str, network: str) -> None:
    values = load(task)
    source, data, training = values.source_model, values.prepare_data, values.fine_tune
    assert (source.name, source.weights, source.input_size) == (network, "IMAGENET1K_V1", 224)
    assert (data.source, data.stored_size, data.images_per_class) == (task, 256, None)
    assert (data.sampling_rate, data.val_fraction, data.test_limit) == (1.0, 0.2, None)
    assert values.calibrate.method == "target-likelihood"
    assert (values.tune.trials, values.tune.source_weight) == (0, 2.3)
    assert values.fit_relationship.direction == "reverse"
    assert (training.epochs, training.iterations, training.batch_size) == (None, 9050, 48)
    assert (training.learning_rate, training.target_head_factor) == (1e-3, 10)
    assert (training.momentum, training.weight_decay, training.smallest_crop) == (0.9, 5e-4, 0.08)
    assert (training.schedule, training.step_at, training.step_factor) == ("step", (6000,), 0.1)
    assert values.evaluate.crops == 10


def test_the_librarys_variant_has_another_schedule_and_one_crop() -> None:
    values, paper = load(TLLIB), load("cub-200-2011")
    training = values.fine_tune
    assert (training.epochs, training.iterations_per_epoch, training.step_at) == (20, 500, (12,))
    assert (values.evaluate.crops, training.smallest_crop) == (1, 0.2)
    assert (values.fit_relationship.direction, values.calibrate.method) == ("direct", "fixed")
    same = {"learning_rate", "target_head_factor", "momentum", "weight_decay", "batch_size"}
    assert training.model_dump(include=same) == paper.fine_tune.model_dump(include=same)
    assert values.prepare_data == paper.prepare_data


def presets() -> list[Path]:
    """Of images."""
    others = ("dvc.yaml", "conll-2003.yaml")
    return [path for path in preset("x").parent.glob("*.yaml") if path.name not in others]


def test_the_papers_task_of_text_is_the_authors_protocol() -> None:
    path = ROOT / "pipeline/language/project-files/params.yaml"
    values = params.load_project(path, (), preset("conll-2003"))
    assert isinstance(values, params.LanguageParams)
    training = values.fine_tune
    assert (values.source_model.name, values.source_model.longest) == ("hf:bert-base-cased", 128)
    assert (values.prepare_data.source, values.tune.source_weight) == ("conll", 0.7)
    assert (training.epochs, training.batch_size, training.accumulated_batches) == (10, 32, 8)
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("adamw", 5e-5, 0)
    assert (training.schedule, training.warmup, training.max_gradient_norm) == ("linear", 0.0, 1.0)
    assert (training.target_head_factor, training.kept_epoch) == (1.0, "last")


def test_a_project_of_images_becomes_none_of_text_nor_the_other_way_round() -> None:
    with pytest.raises(UserError, match=r"source conll would make a project of images one of text"):
        load("conll-2003")
    text = ROOT / "pipeline/language/project-files/params.yaml"
    with pytest.raises(UserError, match=r"would make a project of text one of images; `cot init`"):
        params.load_project(text, ["prepare_data.source=image-folder"])
    with pytest.raises(UserError, match=r"prepare_data.stored_size is not a parameter"):
        params.load_project(text, ["prepare_data.stored_size=8"])
    with pytest.raises(UserError, match=r"got sampling_rate 0.5 and sentences 7"):
        params.load_project(text, ["prepare_data.sampling_rate=0.5", "prepare_data.sentences=7"])
    with pytest.raises(UserError, match=r"fine_tune.methods.0: got 'bss'"):
        params.load_project(text, ["fine_tune.methods=[bss]"])


def test_no_preset_asks_for_what_is_not_accepted() -> None:
    values = {path.stem: load(path.stem) for path in presets()}
    small, large = values["fashion-mnist"], values["fashion-mnist-128"]
    assert (small.source_model.input_size, large.source_model.input_size) == (64, 128)
    assert (small.tune.trials, large.tune.trials) == (4, 0)
    assert values["oxford-iiit-pet"].prepare_data.source == "OxfordIIITPet"


def test_one_preset_leaves_nothing_of_another_behind(file: Path) -> None:
    written = [YAML(typ="safe").load(path.read_text()) for path in presets()]
    assert len(written) == len(PAPER) + 4
    assert len({frozenset(names(values)) for values in written}) == 1
    params.write_overlaid(file, preset(TLLIB))
    params.write_overlaid(file, preset("coco-70"))
    assert params.load(file) == load("coco-70")


def test_set_wins_over_the_overlay_and_the_overlay_over_the_file() -> None:
    values = load("cub-200-2011", "fine_tune.batch_size=32", "prepare_data.sampling_rate=0.15")
    assert (values.fine_tune.batch_size, values.prepare_data.sampling_rate) == (32, 0.15)
    assert values.fine_tune.iterations == 9050
    assert values.report == params.load(PROJECT_FILE).report


def test_writing_changes_the_values_and_nothing_else(file: Path) -> None:
    before = file.read_text().splitlines()
    changes = params.write_overlaid(file, preset("cub-200-2011"))
    after = file.read_text().splitlines()
    assert params.load(file) == load("cub-200-2011")
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert len(changed) == len(changes)
    for old, new in changed:
        assert old.split(":")[0] == new.split(":")[0]
        assert old.partition("#")[2] == new.partition("#")[2]
    assert "fine_tune.iterations: null -> 9050" in changes
    assert "fine_tune.step_at: [60] -> [6000]" in changes
    assert params.write_overlaid(file, preset("cub-200-2011")) == []


@pytest.mark.parametrize("seeds", ["[4, 5] # ours", "# ours\n  - 4\n  - 5"])
@pytest.mark.parametrize("changes", ['{"seeds": [0], "batch_size": 15}', "{seeds: [7, 8, 9]}"])
def test_a_list_may_have_an_item_a_line(file: Path, seeds: str, changes: str) -> None:
    text = re.sub("(?m)^  seeds: .*", f"  seeds: {seeds}", file.read_text())
    file.write_text(text)
    given = overlay(file.parent, f'{{"fine_tune": {changes}}}')
    expected = params.load(file, (), given)
    params.write_overlaid(file, given)
    assert params.load(file) == expected
    assert "# ours" in file.read_text()


def test_a_section_that_the_file_leaves_out_is_added(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for text in "", "# all defaults\nseed: 3\n":
        path.write_text(text)
        params.write_overlaid(path, overlay(tmp_path, "fine_tune: {epochs: null, iterations: 7}"))
        values = params.load(path)
        assert (values.fine_tune.iterations, values.seed) == (7, 3 if text else 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fine_tune: {iterations: 5}",
            r"params.yaml with .*overlay.yaml: fine_tune: got epochs 90",
        ),
        (
            "fine_tune: {step_epochs: [5]}",
            r"fine_tune.step_epochs is not .* mean fine_tune.kept_epoch?",
        ),
        ("- a", r"overlay.yaml: the file: got \['a'\]; expected sections"),
        ("a: [", r"overlay.yaml is not valid YAML"),
    ],
)
def test_an_overlay_that_is_not_accepted_changes_nothing(
    file: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        params.write_overlaid(file, overlay(file.parent, text))
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == PROJECT_FILE.read_bytes()


def test_a_missing_overlay_says_where_they_lie(file: Path) -> None:
    with pytest.raises(UserError, match=r"absent.yaml is no file; those .* lie in experiments/"):
        params.load(file, (), file.parent / "absent.yaml")


@pytest.mark.processes
def test_the_command_takes_an_overlay_and_set_wins_over_it(file: Path) -> None:
    """An unknown value from where it comes is what shows that it arrived."""
    (file.parent / "dvc.yaml").write_text("")
    overlay(file.parent, "calibrate: {temperature: hot}")

    def cot(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["cot", "stage", "calibrate", "--overlay", "overlay.yaml", *arguments]
        return subprocess.run(command, cwd=file.parent, capture_output=True, text=True)

    assert "calibrate.temperature: got 'hot'" in cot().stderr
    assert "logits/seed-0.safetensors is missing" in cot("--set", "calibrate.temperature=2").stderr
