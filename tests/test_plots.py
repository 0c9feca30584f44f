"""The plots of dvc.yaml."""

from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]


def test_no_plot_is_a_path_below_an_output_without_which_dvc_saves_no_experiment():
    pipeline = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    outputs = [path for stage in pipeline["stages"].values() for path in stage["outs"]]
    names = [plot if isinstance(plot, str) else next(iter(plot)) for plot in pipeline["plots"]]
    assert "data/tune/trials.png" in names
    assert all(name in outputs for name in names if name.startswith("data/"))
