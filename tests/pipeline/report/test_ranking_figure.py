import pandas as pd
import pytest

from pipeline.report.ranking_figure import accuracy_against_cost


@pytest.mark.parametrize(
    "speeds", [[70.0], [65.0, 90.0], [70.0, 71.0], [3.0, 5.0], [20.0, 120.0, 1000.0]]
)
def test_speeds_however_close_can_be_read(speeds: list[float]) -> None:
    names = [f"model-{place}" for place in range(len(speeds))]
    ranking = pd.DataFrame(
        {"name": names, "linear_probe_accuracy": 0.5, "images_per_second": speeds}
    )
    figure = accuracy_against_cost(ranking)
    axes = figure.axes[0]
    least, most = axes.get_xlim()
    shown = [tick.get_text() for tick in axes.get_xticklabels()]
    places = [place for place in axes.get_xticks() if least <= place <= most]
    assert 2 <= len(places) <= 15
    assert len(set(shown)) == len(shown)
