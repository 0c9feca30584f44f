"""What must hold whenever something is killed, however often: run by `make soak`, not by pytest.

A small project is run undisturbed. Then, each as often as its option says:

--starts: four workers begin a search on a new store at the same moment.

--machines: three copies of the project search together through a PostgreSQL of its own, on a new
database; one of them is killed at a drawn moment, and started again when the others have ended.
Each trial was finished once, and all three have the same trials and the same best values. It is
not run where PostgreSQL or its driver is missing, which is said at the end too.

--server: `dvc repro` tracks to an `mlflow server`, which is killed at a drawn moment while
fine-tune trains and comes back soon, in every third round only when all is over.

--kills: what the stages from a drawn one on have made is thrown away, `dvc repro` (in every fifth
round two of them, one of which waits for the other) is killed with its whole group of processes at
a drawn moment, and run again to the end. DVC's own .dvc/tmp/rwlock, which a kill can leave
half-written, is deleted first.

Every artifact must then have the bytes that it had undisturbed, no run is left RUNNING, no file
lies beside its artifact, and `dvc status` is clean.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from small_project import call
from soak_machines import machine_rounds
from soak_project import (
    SEARCH,
    STAGES,
    compare,
    copy_before_search,
    hashes,
    kill,
    make_project,
    mend_lock,
    repro,
    say,
    start,
    throw_away,
)
from soak_server import server_rounds

PAIR_EVERY = 5
WORKERS = 4


def main() -> None:
    given = arguments()
    print(f"seed {given.seed}", flush=True)
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        project = make_project(place / "project")
        whole = repro(project)
        expected = hashes(project)
        say(f"{len(expected)} files in {whole:.0f} s", compare(project, expected))
        searching = copy_before_search(project, place / "searching")
        for number in range(given.starts):
            say(f"start {number + 1} of {given.starts}", start_together(searching))
        missing = machine_rounds(project, place, given.machines, draw)
        if missing:
            print(f"not run: {missing}", flush=True)
        server_rounds(project, expected, place, given.server, draw)
        kill_rounds(project, expected, whole, given.kills, draw)
    print("all as undisturbed" + (f"; not run: {missing}" if missing else ""))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="It ends with exit code 1 at the first round that is not as undisturbed.",
    )
    counts = {
        "kills": (100, "kills of dvc repro"),
        "starts": (20, "searches begun by four workers at once"),
        "machines": (10, "searches of three machines of which one is killed; needs PostgreSQL"),
        "server": (6, "kills of the tracking server while fine-tune trains"),
    }
    for name, (count, what) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{what}; else {count}")
    seed = "of what is drawn, to repeat it; else the time"
    parser.add_argument("--seed", type=int, default=int(time.time()), help=seed)
    return parser.parse_args()


def start_together(project: Path) -> list[str]:
    """Four workers on a study that is not there yet: all end, each trial was run once."""
    throw_away(project, SEARCH)
    command = ("cot", "stage", "tune", "--workers", str(WORKERS), "--set", "tune.trials=4")
    result = call(project, *command)
    if result.returncode:
        return [f"cot stage tune: {result.stderr.strip().splitlines()[-1]}"]
    lines = (project / "data/tune/trials.csv").read_text().splitlines()
    return [] if len(lines) == 5 else [f"{len(lines) - 1} trials instead of 4"]


def kill_rounds(
    project: Path, expected: Mapping[str, str], whole: float, count: int, draw: random.Random
) -> None:
    """Kill `dvc repro`, which takes so many seconds as a whole, and run it to the end."""
    for number in range(count):
        first = draw.randrange(len(STAGES))
        moment = draw.uniform(0, whole * (1 - first / len(STAGES)))
        pair = number % PAIR_EVERY == PAIR_EVERY - 1
        throw_away(project, first)
        kill_after(project, moment, 2 if pair else 1, draw)
        mended = ", half-written lock of DVC deleted" if mend_lock(project) else ""
        repro(project)
        what = f"kill {number + 1} of {count}: from {STAGES[first]}, after {moment:.1f} s"
        say(what + (", two at once" if pair else "") + mended, compare(project, expected))


def kill_after(project: Path, moment: float, count: int, draw: random.Random) -> None:
    started = [start(project, "dvc", "repro") for _ in range(count)]
    time.sleep(moment)
    draw.shuffle(started)
    for one in started:
        kill(one)


if __name__ == "__main__":
    main()
