"""What README and docs/ tell to type and to read is there: commands, options, files, messages."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from docs_text import PAGES, ROOT, blocks, typed
from ruamel.yaml import YAML
from typer.core import TyperGroup

from pipeline import params
from stages.cli import app

COMMAND = typer.main.get_command(app)
LONGEST_README = 150


COT_LINES = sorted(
    {
        found[1]
        for _, text in blocks("console")
        for line in typed(text)
        if (found := re.search(r"(?:^|[ /])cot (.*)", line))
    }
)
TARGETS = sorted(
    {
        found[1]
        for _, text in blocks("console")
        for line in typed(text)
        if (found := re.match(r"make ([a-z-]+)", line))
    }
)


def parse(command: Any, arguments: list[str], name: str = "cot") -> None:
    """As the command does it, without running anything."""
    with command.make_context(name, arguments) as context:
        if isinstance(command, TyperGroup):
            name, inner, rest = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            parse(inner, rest, name)


@pytest.mark.parametrize("line", COT_LINES)
def test_a_cot_command_of_the_docs_is_one_with_such_options(line: str) -> None:
    parse(COMMAND, shlex.split(line, comments=True))


def test_an_option_that_is_none_is_found() -> None:
    with pytest.raises(Exception, match="No such option: --nonsense"):
        parse(COMMAND, ["stage", "tune", "--nonsense"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_of_the_docs_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.M)


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_yaml_of_the_docs_is_accepted_over_params(page: str, text: str, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text)
    assert YAML(typ="safe").load(text), page
    params.load(ROOT / "params.yaml", [], overlay)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    wanted = [link for link in links if "://" not in link]
    assert not [link for link in wanted if not (page.parent / link).exists()]


def test_the_readme_is_short_and_names_every_page() -> None:
    text = PAGES[0].read_text()
    assert len(text.splitlines()) <= LONGEST_README
    assert not [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text]


def messages() -> list[str]:
    rows = (ROOT / "docs/troubleshooting.md").read_text().splitlines()
    cells = [row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ")][2:]
    return [cell for cell in cells if "of DVC" not in cell]


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_docs_is_one_of_the_project(message: str) -> None:
    sources = [*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("stages/*.py")]
    code = "".join(path.read_text() for path in sources)
    joined = re.sub(r"\"\s*\n\s*f?\"", "", code)
    quoted = re.sub(r"\\`", "`", message) if message.startswith("`") else message
    texts = re.findall(r"`(.+?)`", quoted) if not message.startswith("`") else [quoted.strip("`")]
    pieces = [piece for text in texts for piece in re.split(r"\.\.\.|\d+", text)]
    missing = [piece for piece in pieces if len(piece) > 6 and piece.strip("` ") not in joined]
    assert not missing
