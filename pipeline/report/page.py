"""The report as one HTML file that needs nothing beside it: the same numbers as in report.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.params.methods import CO_TUNING
from pipeline.report.document import ENVIRONMENT, to_html
from pipeline.report.markdown import points
from pipeline.report.page_charts import (
    LISTED_CLASSES,
    Spec,
    accuracy_chart,
    gain_chart,
    library,
    method_colours,
    relationship_map,
    still,
)
from pipeline.report.page_images import DisputedImage
from pipeline.report.paired import PairedDifference
from pipeline.report.results import Results
from pipeline.report.text import calibration, diagnostics, likelihood, making, training, tuning
from pipeline.report.text_answer import answer
from pipeline.report.text_seeing_why import source_head

MARGIN = 0.12  # of the verdict's interval, that its axis is longer at either end


@dataclass(frozen=True)
class Exhibits:
    """What the page shows beyond the results.

    Attributes:
        relationship: R [target, source] of the first sample.
        categories: names of the source categories, in order.
        disputed: test images of the first sample, the most disputed one first.
    """

    relationship: np.ndarray
    categories: Sequence[str]
    disputed: Sequence[DisputedImage]


@dataclass(frozen=True)
class Chart:
    """A chart of the page: its name there, how a browser draws it, and its still picture."""

    name: str
    spec: Spec
    still: Markup


def render_page(results: Results, exhibits: Exhibits) -> str:
    """The page; the answer comes first. Names of classes and categories are shown as they are."""
    results = replace(results, pictures=frozenset())
    title, *paragraphs = answer(results)
    difference = results.differences.get(CO_TUNING)
    diagnosed = diagnostics(results.diagnostics, len(results.classes))
    return ENVIRONMENT.get_template("page.html").render(
        title=title.removeprefix("# "),
        answer=to_html(paragraphs),
        results=results,
        difference=difference,
        interval=interval_places(difference) if difference else None,
        points=points,
        colours=method_colours(list(results.metrics)),
        charts=charts(results, exhibits),
        listed=LISTED_CLASSES,
        likelihood=folded(likelihood(results)),
        source_head=folded(source_head(results)) if CO_TUNING in results.source_heads else None,
        diagnostics=folded(diagnosed),
        making=[folded(section(results)) for section in (tuning, calibration, training, making)],
        disputed=by_nearest(exhibits.disputed),
        library=Markup(library()),
    )


def charts(results: Results, exhibits: Exhibits) -> dict[str, Chart]:
    """By name; without gains of classes there is no chart of them."""
    specs = {
        "accuracy": accuracy_chart(results.metrics),
        "relationship": relationship_map(
            exhibits.relationship, results.classes, exhibits.categories
        ),
    }
    if not results.gains.empty:
        specs["gains"] = gain_chart(results.gains)
    return {name: Chart(name, spec, Markup(still(spec))) for name, spec in specs.items()}


def folded(paragraphs: Iterable[str]) -> tuple[str, Markup]:
    """A section in Markdown as its heading and the HTML of the rest."""
    heading, *rest = paragraphs
    return heading.lstrip("# "), to_html(rest)


def interval_places(difference: PairedDifference) -> Mapping[str, Any]:
    """Where 0, the difference, its interval and those of the samples lie on an axis, in percent."""
    several = difference.by_sample if len(difference.by_sample) > 1 else ()
    values = (0.0, difference.low, difference.high, *several)
    low, high = min(values), max(values)
    length = max(high - low, 1e-3)
    start, scale = low - MARGIN * length, 100 / (length * (1 + 2 * MARGIN))

    def place(value: float) -> float:
        return round((value - start) * scale, 2)

    return {
        "zero": place(0.0),
        "low": place(difference.low),
        "width": round((difference.high - difference.low) * scale, 2),
        "difference": place(difference.difference),
        "samples": [place(value) for value in several],
    }


def by_nearest(disputed: Sequence[DisputedImage]) -> dict[str, list[DisputedImage]]:
    """The images by the method that came nearest to the truth, in their order."""
    groups: dict[str, list[DisputedImage]] = {}
    for image in disputed:
        groups.setdefault(image.nearest, []).append(image)
    return groups
