"""Markdown as HTML, and a whole report of it as one file that needs nothing beside it."""

import base64
import re
from collections.abc import Iterable, Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

ENVIRONMENT = Environment(
    loader=PackageLoader("pipeline.report", "page-template"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def render_document(text: str, pictures: Mapping[str, bytes]) -> str:
    """The page of a report in Markdown; the answer, before the first section, stays at its top.

    Args:
        text: a heading of the first level, then sections of the second.
        pictures: PNGs by the names that the text has for them.
    """
    for name, content in pictures.items():
        inside = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        text = text.replace(f"]({name})", f"]({inside})")
    whole, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    title, answer = heading_and_html(whole.removeprefix("# "))
    return ENVIRONMENT.get_template("document.html").render(
        title=title, answer=answer, sections=[heading_and_html(section) for section in sections]
    )


def heading_and_html(text: str) -> tuple[str, Markup]:
    """The first line, and what follows it as HTML."""
    heading, _, rest = text.partition("\n")
    return heading.strip(), to_html([rest])


def to_html(paragraphs: Iterable[str]) -> Markup:
    """Markdown as HTML; HTML in it is shown, not taken."""
    return Markup(MARKDOWN.render("\n\n".join(part for part in paragraphs if part)))
