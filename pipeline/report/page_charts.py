"""The page's charts as Vega-Lite: from plain data to what a browser draws, and to a still picture.

Colours are variables of the page's style sheet, so that a chart follows its dark and light.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from pipeline.report.figures import top_columns

LISTED_CLASSES = 60  # in the chart of gains; of more, half so many from each end
DRAWN_CELLS = 4000  # of the map, the most probable ones, so that the page stays small
ROW, COLUMN = 24, 18  # pixels
STILL_WIDTH = 680  # pixels, of a chart that else is as wide as the page
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")

Spec = dict[str, Any]


def accuracy_chart(metrics: Mapping[str, Mapping[str, Any]]) -> Spec:
    """Test accuracy of each method with its 95% interval.

    Args:
        metrics: by method: accuracy and, under `intervals`, the ends of its interval, in [0, 1].
    """
    rows = [
        {
            "Method": method,
            "Accuracy": values["accuracy"],
            "From": values["intervals"]["accuracy"][0],
            "To": values["intervals"]["accuracy"][1],
            "colour": colour,
        }
        for (method, values), colour in zip(
            metrics.items(), method_colours(list(metrics)).values(), strict=True
        )
    ]
    axis = alt.Axis(format=".0%", title="test accuracy (95% interval)", tickCount=5)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("Method:N", sort=None, title=None),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("Method:N"),
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("Accuracy", "From", "To")),
        ],
    )
    scale = alt.Scale(zero=False, nice=True)
    bars = base.mark_rule(strokeWidth=7, opacity=0.35, strokeCap="round").encode(
        x=alt.X("From:Q", axis=axis, scale=scale), x2="To:Q"
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(x=alt.X("Accuracy:Q"))
    return _wide(bars + points, len(rows), "Test accuracy of each method")


def gain_chart(gains: pd.DataFrame) -> Spec:
    """What each class gains from co-tuning over vanilla, with its 95% interval.

    Args:
        gains: of class_gains, at least one class.
    """
    half = LISTED_CLASSES // 2
    shown = gains if len(gains) <= LISTED_CLASSES else pd.concat([gains[:half], gains[-half:]])
    gained = shown["difference"].to_numpy()
    table = pd.DataFrame(
        {
            "Class": shown["class"],
            "Test images": shown["images"],
            "vanilla": shown["vanilla"],
            "co-tuning": shown["co_tuning"],
            "Points": 100 * gained,
            "From": 100 * shown["low"],
            "To": 100 * shown["high"],
            "colour": _sign_colours(gained),
        }
    )
    axis = alt.Axis(format="+d", tickCount=8, title="points gained (95% interval)")
    base = alt.Chart(table).encode(
        y=alt.Y("Class:N", sort=None, title=None),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            *(alt.Tooltip("Class:N"), alt.Tooltip("Test images:Q")),
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("vanilla", "co-tuning")),
            *(alt.Tooltip(f"{name}:Q", format="+.1f") for name in ("Points", "From", "To")),
        ],
    )
    bars = base.mark_rule(strokeWidth=7, opacity=0.3, strokeCap="round").encode(
        x=alt.X("From:Q", axis=axis), x2="To:Q"
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=alt.X("Points:Q"))
    none = alt.Chart(alt.Data(values=[{}])).mark_rule(color="var(--soft)", strokeDash=[4, 3])
    return _wide(none.encode(x=alt.datum(0)) + bars + points, len(table), "Gain of each class")


def relationship_map(
    relationship: np.ndarray, classes: Sequence[str], categories: Sequence[str]
) -> Spec:
    """R [target, source] as a map of the top source categories of every class.

    Of more cells than DRAWN_CELLS only the most probable ones are drawn.
    """
    columns = top_columns(relationship)
    shown = relationship[:, columns].astype(float)
    drawn = np.argsort(-shown, axis=None, kind="stable")[:DRAWN_CELLS]
    row, column = np.unravel_index(drawn, shown.shape)
    probability = shown[row, column].round(5)
    cells = pd.DataFrame({"row": row, "column": column, "Probability": probability})
    # The page has every name once, not in every cell.
    names = {"classes": list(classes), "categories": [categories[place] for place in columns]}
    upright: Spec = {"labelAngle": -60, "labelAlign": "right", "labelBaseline": "middle"}
    chart = (
        alt.Chart(cells, width={"step": COLUMN}, height={"step": ROW})
        .transform_calculate(Class="classes[datum.row]", Category="categories[datum.column]")
        .mark_rect(color="var(--accent)", aria=False)
        .encode(
            x=alt.X(
                "column:O",
                scale=_places(len(columns)),
                axis=alt.Axis(
                    title="source category",
                    labelExpr="split(categories[datum.value], ',')[0]",
                    **upright,
                ),
            ),
            y=alt.Y(
                "row:O",
                scale=_places(len(classes)),
                axis=alt.Axis(title=None, labelExpr="classes[datum.value]"),
            ),
            opacity=_shade(float(shown.max())),
            tooltip=["Class:N", "Category:N", alt.Tooltip("Probability:Q", format=".2~%")],
        )
    )
    spec = _styled(chart, "Probability of source categories given each target class")
    return spec | {"params": [{"name": name, "value": value} for name, value in names.items()]}


def still(spec: Spec) -> str:
    """The chart as SVG, without a script."""
    wide: Spec = {"width": STILL_WIDTH} if spec["width"] == "container" else {}
    return vl_convert.vegalite_to_svg(spec | wide)


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which gives `vegaEmbed`."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A variable of the style sheet for each method; vanilla and co-tuning have theirs always."""
    further = iter(range(len(methods)))
    return {
        method: f"var(--{method})"
        if method in ("vanilla", "co-tuning")
        else f"var(--further-{next(further) % 5})"
        for method in methods
    }


def _sign_colours(values: np.ndarray) -> np.ndarray:
    gain_or_loss = np.where(values > 0, "var(--better)", "var(--worse)")
    return np.where(values == 0, "var(--soft)", gain_or_loss)


def _places(count: int) -> alt.Scale:
    """Of all rows or columns, also of those that are empty."""
    return alt.Scale(domain=list(range(count)), paddingInner=0.06)


def _shade(most: float) -> alt.Opacity:
    """By the root of a probability, up to the largest one."""
    swatches: Spec = {"symbolType": "square", "symbolFillColor": "var(--accent)"}
    legend = alt.Legend(
        title="probability",
        format=".2~p",
        orient="top",
        tickCount=5,
        symbolStrokeWidth=0,
        **swatches,
    )
    scale = alt.Scale(type="sqrt", domain=[0, most], range=[0.04, 1])
    return alt.Opacity("Probability:Q", scale=scale, legend=legend)


def _wide(chart: alt.LayerChart, rows: int, description: str) -> Spec:
    """As wide as the page, and high enough for so many rows."""
    size: Spec = {"width": "container", "height": rows * ROW}
    return _styled(chart.properties(**size, autosize=FIT), description)


def _styled(chart: alt.Chart | alt.LayerChart, description: str) -> Spec:
    text: Spec = {"labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": 12}
    text |= {"titleFontSize": 12, "titleFontWeight": "normal"}
    lines: Spec = {"gridColor": "var(--line)", "domain": False, "ticks": False, "labelPadding": 6}
    return (
        chart.properties(description=description)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(**text, **lines, labelLimit=130, titlePadding=10)
        .configure_axisY(grid=False, labelColor="var(--ink)")
        .configure_legend(**text)
        .to_dict()
    )
