"""Values of params.yaml that fit the images of a folder, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.common.errors import UserError
from pipeline.datasets.inspection import Seen
from pipeline.datasets.listing import name_some
from pipeline.datasets.repeats import Repeats, named
from pipeline.datasets.store.disk_space import largest_fitting, stored_bytes

SHARE = 0.2  # of each class, for validation and for test
LARGE_BATCH_FROM = 1000  # training images
MOST_EPOCHS, THEIR_IMAGES = 90, 48  # what the project's own few photographs are trained with
UNEVEN = 10  # times the images of the smallest class
VALIDATION_TO_CHOOSE_BY = 200  # images; accuracy on fewer is uncertain by over 3.5 points


@dataclass(frozen=True)
class Machine:
    """What the stages will run on.

    Attributes:
        has_gpu: whether the network will run on one.
        processes: of compute.processes.
        free: bytes, where the stored images will lie.
    """

    has_gpu: bool
    processes: int
    free: int


@dataclass(frozen=True)
class Model:
    """The source model: the side of its published input, and that as a share of the stored side.

    `halves` says that it is known to work on images of half that side as well.
    """

    name: str
    published: int
    crop_fraction: float
    halves: bool


@dataclass(frozen=True)
class Choice:
    """A value of params.yaml by its dotted name, and why."""

    name: str
    value: Any
    why: str


def propose(seen: Seen, root: str, model: Model, machine: Machine) -> list[Choice]:
    """Choose what depends on the images and the machine; all else stays as it is.

    Raises:
        UserError: no image can be read, a class has too few images for its splits, or the disk
            has no room for images that the network could see.
    """
    _refuse_too_few(seen)
    train, validation = training_images(seen)
    return [
        Choice("prepare_data.source", "image-folder", "a folder a class"),
        Choice("prepare_data.root", root, "the folder that you named"),
        *_sample(seen),
        *_sizes(seen, model, machine),
        *_training(train, validation, machine),
        *_trainings(train, machine),
    ]


def as_overlay(choices: Sequence[Choice]) -> dict[str, dict[str, Any]]:
    """The choices as sections of params.yaml.

    >>> as_overlay([Choice("tune.trials", 2, ""), Choice("tune.folds", 5, "")])
    {'tune': {'trials': 2, 'folds': 5}}
    """
    overlay: dict[str, dict[str, Any]] = {}
    for choice in choices:
        section, _, name = choice.name.partition(".")
        overlay.setdefault(section, {})[name] = choice.value
    return overlay


def training_images(seen: Seen) -> tuple[int, int]:
    """How many images the splits will have for training and for validation."""
    train = validation = 0
    for count in seen.by_class.values():
        left = count - (_held_out(count) if seen.test is None else 0)
        held_out = _held_out(left) if seen.validation is None else 0
        train += left - held_out
        validation += held_out
    return train, validation if seen.validation is None else seen.validation


def _held_out(count: int) -> int:
    return max(1, int(count * SHARE + 0.5))


def _refuse_too_few(seen: Seen) -> None:
    if not seen.images:
        raise UserError(f"none of the {seen.broken} images can be read; expected JPEG, PNG, ...")
    missing = {"validation": seen.validation is None, "test": seen.test is None}
    uses = ["training", *(name for name, is_missing in missing.items() if is_missing)]
    few = [f"{name} ({n})" for name, n in seen.by_class.items() if n < len(uses)]
    if few:
        raise UserError(
            f"too few readable images of {name_some(few)}; expected {len(uses)} or more of each "
            f"class, for {', '.join(uses)}; add images, or take the class out of the folder"
        )
    for split, count in (("val", seen.validation), ("test", seen.test)):
        if count == 0:
            raise UserError(f"no image in {split}/ can be read; mend them, or delete {split}/")


def _sample(seen: Seen) -> list[Choice]:
    drawn = f"nothing published: {SHARE:.0%} of each class"
    splits = [
        Choice(
            f"prepare_data.{name}_fraction",
            SHARE,
            drawn if published is None else f"of no effect: {folder}/ is there, {published} images",
        )
        for name, folder, published in (
            ("val", "val", seen.validation),
            ("test", "test", seen.test),
        )
    ]
    bad = (
        Choice("prepare_data.on_bad_image", "skip", f"{seen.broken} cannot be read: left out")
        if seen.broken
        else Choice("prepare_data.on_bad_image", "stop", "all can be read; be told if that changes")
    )
    return [
        Choice("prepare_data.images_per_class", None, "all that are there"),
        Choice("prepare_data.sampling_rate", 1.0, "all that are there"),
        *splits,
        Choice("prepare_data.test_limit", None, "all that are there"),
        bad,
    ]


def _sizes(seen: Seen, model: Model, machine: Machine) -> list[Choice]:
    halved = model.halves and not machine.has_gpu
    size = model.published // 2 if halved else model.published
    stored = round(size / model.crop_fraction)
    cause = f"{model.name} is published for {model.published} px"
    if halved:
        cause = f"half of what {model.name} is published for: a quarter of the work on this CPU"
    if seen.median_side < size:
        cause += f"; yours, of {seen.median_side} px, are enlarged"
    room = machine.free // 2
    why = f"what the crop of {size} px is cut from"
    if stored_bytes(seen.images, stored) > room:
        stored = largest_fitting(room, seen.images)
        why = f"the largest that fits twice, with DVC's copy, into {machine.free / 1e9:.1f} GB"
        if stored < size:
            needed = 2 * stored_bytes(seen.images, size)
            raise UserError(
                f"{seen.images} images of {size} px need {needed / 1e9:.1f} GB with DVC's copy, "
                f"and {machine.free / 1e9:.1f} GB are free; make room, or name a part of them"
            )
    why += f"; {stored_bytes(seen.images, stored) / 1e9:.2f} GB"
    return [
        Choice("source_model.input_size", size, cause),
        Choice("prepare_data.stored_size", stored, why),
    ]


def _training(train: int, validation: int, machine: Machine) -> list[Choice]:
    wanted = 48 if train >= LARGE_BATCH_FROM else 24
    batch = max(2, min(wanted, train // 2))
    batch = max(1, batch // machine.processes) * machine.processes
    shrink = 0.2 if machine.has_gpu else 0.4
    epochs = round(MOST_EPOCHS * min(1.0, THEIR_IMAGES / train) ** shrink)
    steps = epochs * max(1, train // batch)
    enough = validation >= VALIDATION_TO_CHOOSE_BY
    kept = "enough to choose an epoch by" if enough else "too few to choose an epoch by"
    length = f"of {train} training images, {steps} steps"
    return [
        Choice("fine_tune.epochs", max(epochs, 2), length),
        Choice("fine_tune.iterations", None, "the length is given in epochs"),
        Choice("fine_tune.iterations_per_epoch", None, "an epoch is a pass over the images"),
        Choice("fine_tune.schedule", "cosine", "needs no step to be placed"),
        Choice("fine_tune.batch_size", batch, f"{max(1, train // batch)} steps an epoch"),
        Choice(
            "fine_tune.kept_epoch",
            "best" if enough else "last",
            f"{validation} validation images are {kept}",
        ),
    ]


def _trainings(train: int, machine: Machine) -> list[Choice]:
    on = "a GPU" if machine.has_gpu else "this CPU"
    searched, repeated = (5_000, 20_000) if machine.has_gpu else (1_000, 2_000)
    trials = (6 if machine.has_gpu else 2) if train <= searched else 0
    seeds = [0, 1, 2] if train <= repeated else [0]
    search = (
        f"{trials} times 5 short trainings are bearable on {on}"
        if trials
        else f"{train} training images are many for {on}: the default weight, no search"
    )
    repeats = (
        "one sample says little of so few images: three"
        if len(seeds) > 1
        else f"{train} training images vary less, and cost more: one training of each method"
    )
    return [Choice("tune.trials", trials, search), Choice("fine_tune.seeds", seeds, repeats)]


def warnings(seen: Seen, repeats: Repeats, kinds: Mapping[str, int]) -> list[str]:
    """What to know before training, a line each."""
    lines = repeats.harmful
    drawn = seen.validation is None or seen.test is None
    if repeats.within_class and drawn:
        lines.append(
            f"equal files are in one class ({len(repeats.within_class)}), one may train and the "
            f"other test; keep one file of each: {named(repeats.within_class)}"
        )
    smallest = min(seen.by_class, key=lambda name: seen.by_class[name])
    least, most = seen.by_class[smallest], max(seen.by_class.values())
    if most >= UNEVEN * least:
        lines.append(
            f"the largest class has {most // least} times the images of the smallest, {smallest} "
            f"({least}): look at the report class by class"
        )
    grey = kinds.get("grey-scale", 0)
    if 0 < grey < seen.images:
        lines.append(
            f"{grey} of {seen.images} images are grey-scale: if those are whole classes, the "
            "missing colour gives them away"
        )
    return lines
