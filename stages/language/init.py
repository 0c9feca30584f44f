"""Look at files of tokens and tags, and make a project that fits them."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from pipeline.common.errors import UserError
from pipeline.common.project import project_root, tracking_root
from pipeline.common.tables import plain_table
from pipeline.language.listing import TextListing
from pipeline.language.readers.recognition import recognise
from pipeline.language.tag_schemes import BEGIN, type_of
from pipeline.params import write_values
from pipeline.subproject import check_place, make_project, path_from

TEMPLATE = Path("pipeline/language/project-files")  # its params.yaml and stages.yaml


def run(text: Path, folder: Path | None, dry_run: bool) -> None:
    checkout = tracking_root(project_root())
    if not (checkout / TEMPLATE).is_dir():
        raise UserError(
            f"{checkout} is no checkout of the project; run this inside one, beside its dvc.yaml"
        )
    if folder is None:
        raise UserError(
            f"{text} is text, which has stages of its own; name a folder for them with --as, as "
            f"--as projects/{text.stem or 'text'}"
        )
    root = folder.resolve()
    check_place(root, checkout)
    source, scheme, listing = recognise(text.resolve())
    console = Console()
    show(console, listing)
    values = {
        "source": source,
        "scheme": scheme,
        "root": path_from(root, text, checkout),
    }
    for name, value in values.items():
        console.print(f"prepare_data.{name}: {escape(value)}", soft_wrap=True)
    if dry_run:
        console.print("Nothing is written (--dry-run).")
        return
    make_project(root, checkout, checkout / TEMPLATE)
    write_values(root / "params.yaml", {"prepare_data": values})
    console.print(f"Written to {root / 'params.yaml'}.", soft_wrap=True)
    console.print(f"Next: cd {folder} && dvc repro", soft_wrap=True)


def show(console: Console, listing: TextListing) -> None:
    """Sentences, words and entities of each type, by split."""
    table = plain_table()
    columns = ["Split", "Sentences", "Words", *listing.types]
    for name in columns:
        table.add_column(escape(name), justify="left" if name == "Split" else "right")
    for split in dict.fromkeys(listing.splits):
        own = [
            sentence
            for sentence, of in zip(listing.sentences, listing.splits, strict=True)
            if of == split
        ]
        begun = Counter(type_of(tag) for one in own for tag in one.tags if tag.startswith(BEGIN))
        counts = [len(own), sum(len(one.tokens) for one in own), *(begun[t] for t in listing.types)]
        table.add_row(split or "all", *(f"{count:,}" for count in counts))
    console.print(table)
