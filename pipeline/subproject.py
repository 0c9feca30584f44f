"""A second data set in one checkout: a folder that is a DVC project of its own.

DVC's pull, push, exp and gc see the project that they are called in, never another one. The code is
linked into the folder, not named by paths that lead out of it: what lies outside of a project DVC
hashes with all that is in it, compiled modules too, and every stage would be stale after each call.
"""

import logging
import os
import shutil
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.common.errors import UserError, one_line
from pipeline.common.files import write_text
from pipeline.params import Params, load, write_values

CODE = ("pipeline", "stages")
MAIN_EXPERIMENT = "co-tuning"  # of the main pipeline's runs
HEADING = "# {} as `cot init` copied it; the same call copies it again.\n"


def check_place(folder: Path, checkout: Path) -> None:
    """Refuse a folder that no project can be made in.

    Args:
        folder: absolute.
        checkout: the folder of the main pipeline.

    Raises:
        UserError: it is the checkout or lies outside, holds something else, or a pipeline of that
            name is there already, with which it would share the runs' experiment.
    """
    if checkout not in folder.parents:
        raise UserError(f"--as {folder}: expected a folder below {checkout}, as projects/photos")
    if (folder / "params.yaml").exists() and (folder / ".dvc").is_dir():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"--as {folder} is there and no project; name a folder that is new or empty"
        )
    if folder.name == MAIN_EXPERIMENT:
        raise UserError(f"--as {folder}: runs of the main pipeline have that name; choose another")
    others = [path.parent for path in checkout.glob("*/*/params.yaml")]
    if same := [other for other in others if other.name == folder.name]:
        raise UserError(
            f"--as {folder}: {same[0]} has that name, and the runs of a project are kept under it; "
            "choose another"
        )


def make_project(folder: Path, checkout: Path, template: Path | None = None) -> bool:
    """Make the folder a project with the main params.yaml and stages; of one, write dvc.yaml anew.

    Args:
        template: folder with another params.yaml and stages.yaml, of a modality of its own. (DVC
            would run a dvc.yaml where it lies.)

    Raises:
        UserError: it cannot be written, or params.yaml is not valid.
    """
    is_new = not (folder / "params.yaml").exists()
    main = template or checkout
    definition = template / "stages.yaml" if template else checkout / "dvc.yaml"
    params = load(checkout / "params.yaml") if template is None else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ".dvc").is_dir():
            _init_dvc(folder)
        _link_code(folder, checkout)
        shutil.copy(checkout / ".dvcignore", folder / ".dvcignore")
        write_text(folder / ".gitignore", "/data/\n")
        write_text(folder / "dvc.yaml", stages_of(folder, definition))
        if is_new:
            shutil.copy(main / "params.yaml", folder / "params.yaml")
        if is_new and params is not None:
            write_values(folder / "params.yaml", moved_paths(params, folder, checkout))
    except (OSError, DvcException) as error:
        raise UserError(f"{folder} cannot be made a project: {one_line(error)}") from None
    return is_new


def stages_of(folder: Path, definition: Path) -> str:
    """The text of a project's dvc.yaml, from the one that it copies."""
    return HEADING.format(os.path.relpath(definition, folder)) + definition.read_text()


def moved_paths(params: Params, folder: Path, checkout: Path) -> dict[str, dict[str, str]]:
    """What params.yaml names by a path from the checkout, by one from the folder."""
    model, data = params.source_model, params.prepare_data
    values = {
        ("source_model", "weights"): model.weights,
        ("prepare_data", "source_validation"): data.source_validation,
        ("prepare_data", "source_labels"): data.source_labels,
    }
    moved: dict[str, dict[str, str]] = {}
    for (section, name), path in values.items():
        if path is not None and not Path(path).is_absolute() and (checkout / path).exists():
            moved.setdefault(section, {})[name] = path_from(folder, checkout / path, checkout)
    own = model.name.removeprefix("hf:")
    if own != model.name and (checkout / own).is_dir():
        named = path_from(folder, checkout / own, checkout)
        moved.setdefault("source_model", {})["name"] = f"hf:{named}"
    return moved


def path_from(folder: Path, path: Path, checkout: Path) -> str:
    """A path as params.yaml of a folder names it: relative within the checkout, else absolute."""
    path = path.resolve()
    return os.path.relpath(path, folder) if checkout in path.parents else str(path)


def _init_dvc(folder: Path) -> None:
    # It greets at length.
    logging.getLogger("dvc").setLevel(logging.WARNING)
    in_git = any((above / ".git").exists() for above in folder.parents)
    repository = Repo.init(str(folder), no_scm=not in_git, subdir=in_git)
    with repository.config.edit() as values:
        values["core"]["analytics"] = False
    repository.close()


def _link_code(folder: Path, checkout: Path) -> None:
    for name in CODE:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(os.path.relpath(checkout / name, folder))
