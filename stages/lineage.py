"""Show where a file comes from, back to the data."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from pipeline.common.errors import UserError
from pipeline.common.project import project_root
from pipeline.tracking.lineage import COMMIT, Origin, lineage, recorded


def run(artifact: Path) -> None:
    if not artifact.is_file():
        raise UserError(f"{artifact} does not exist; name a file below data/")
    root = project_root()
    console = Console()
    tree = Tree(described(origin := lineage(root, artifact)))
    grow(tree, origin, set())
    console.print(tree, soft_wrap=True)
    if recorded(root, artifact) is False:
        console.print(
            f"! {artifact} is not what dvc.lock records; `dvc repro` makes that",
            style="yellow",
            markup=False,
        )


def grow(tree: Tree, origin: Origin, shown: set[str]) -> None:
    """Add what a file was made of; the sources of a run are shown once."""
    for source in origin.sources:
        again = source.run is not None and source.run.info.run_id in shown
        branch = tree.add(described(source) + (" [dim](see above)[/]" if again else ""))
        if source.run and not again:
            shown.add(source.run.info.run_id)
            grow(branch, source, shown)


def described(origin: Origin) -> str:
    """The file, and below it the command, the commit and whether it was dirty."""
    run = origin.run
    if run is None:
        return escape(origin.path)
    tags = run.data.tags
    commit = tags.get(COMMIT, "no commit")[:8]
    dirty = " (dirty)" if tags.get("git.dirty") == "true" else ""
    command = tags.get("mlflow.source.name", run.info.run_name)
    return (
        f"[bold]{escape(origin.path)}[/]\n{escape(command)}, {commit}{dirty}, run "
        f"{run.info.run_id[:8]}, {run.info.status}"
    )
