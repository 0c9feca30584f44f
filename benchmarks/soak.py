"""What must hold whenever the pipeline is killed, however often: run by `make soak`, not by pytest.

Each round throws away what the stages from a drawn one on have made, runs `dvc repro` (in every
fifth round two of them, one of which waits for the other), kills the whole group of processes at a
drawn moment, and runs `dvc repro` to the end. Then every artifact has the bytes that it had
undisturbed, no run is left RUNNING, no file lies beside its artifact, and `dvc status` is clean.
Before that, four workers begin a search on a new store at the same moment, time and again.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient
from small_project import SMALL, call, copy_project, draw_photos, identify, write_params

STAGES = (
    *("prepare-data", "extract-logits", "calibrate", "tune", "fit-relationship"),
    *("fine-tune", "evaluate", "report"),
)
SMALLER = SMALL | {
    "fine_tune": SMALL["fine_tune"] | {"epochs": 3, "methods": ["vanilla", "co-tuning"]},
}
PAIR_EVERY = 5
WORKERS = 4


def main() -> None:
    given = arguments()
    print(f"seed {given.seed}", flush=True)
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as place:
        project = make_project(Path(place) / "project")
        begin = time.monotonic()
        repro(project)
        whole = time.monotonic() - begin
        expected = hashes(project)
        changing = drifting(project, expected)
        print(f"{len(expected)} files, of which {sorted(changing)} differ by nature; {whole:.0f} s")
        kept = {name: value for name, value in expected.items() if name not in changing}
        for number in range(given.starts):
            troubles = start_together(project)
            say(f"start {number + 1} of {given.starts}", troubles)
        for number in range(given.kills):
            first = draw.randrange(len(STAGES))
            moment = draw.uniform(0, whole * (1 - first / len(STAGES)))
            pair = number % PAIR_EVERY == PAIR_EVERY - 1
            throw_away(project, first)
            kill_after(project, moment, 2 if pair else 1, draw)
            repro(project)
            what = f"kill {number + 1} of {given.kills}: from {STAGES[first]}, after {moment:.1f} s"
            say(what + (", two at once" if pair else ""), compare(project, kept))
    print("all as undisturbed")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def say(what: str, troubles: list[str]) -> None:
    print(f"{what}: {'; '.join(troubles) or 'as undisturbed'}", flush=True)
    if troubles:
        sys.exit(1)


def make_project(project: Path) -> Path:
    copy_project(project)
    draw_photos(project / "photos")
    write_params(project, SMALLER)
    call(project, "git", "init", "--quiet")
    identify(project)
    return project


def repro(project: Path) -> None:
    result = call(project, "dvc", "repro")
    if result.returncode:
        sys.exit(f"dvc repro failed:\n{result.stdout}\n{result.stderr}")


def hashes(project: Path) -> dict[str, str]:
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((project / "data").rglob("*"))
        if path.is_file()
    }


def drifting(project: Path, expected: dict[str, str]) -> set[str]:
    """What differs between two undisturbed runs: ids of runs, times."""
    throw_away(project, 0)
    repro(project)
    again = hashes(project)
    if again.keys() != expected.keys():
        sys.exit(f"two undisturbed runs made other files: {again.keys() ^ expected.keys()}")
    return {name for name in expected if expected[name] != again[name]}


def throw_away(project: Path, first: int) -> None:
    """What the stages from a place on have made, so that DVC cannot take it from its cache."""
    for stage in STAGES[first:]:
        shutil.rmtree(project / "data" / stage, ignore_errors=True)
    for place in (".dvc/cache", ".work"):
        shutil.rmtree(project / place, ignore_errors=True)


def kill_after(project: Path, moment: float, count: int, draw: random.Random) -> None:
    started = [
        subprocess.Popen(
            ["dvc", "repro"],
            cwd=project,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    time.sleep(moment)
    draw.shuffle(started)
    for one in started:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


def compare(project: Path, kept: dict[str, str]) -> list[str]:
    """What is not as it was undisturbed."""
    found = hashes(project)
    troubles = [f"{name} differs" for name, value in kept.items() if found.get(name) != value]
    beside = [path for path in (project / "data").rglob(".*") if path.name != ".gitignore"]
    troubles += [f"{path} was left" for path in beside]
    if (status := call(project, "dvc", "status", "--json").stdout.strip()) != "{}":
        troubles.append(f"dvc status: {list(json.loads(status))}")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'")
    return troubles + [f"run {run.info.run_name} is RUNNING" for run in running]


def start_together(project: Path) -> list[str]:
    """Four workers on a study that is not there yet: all end, each trial was run once."""
    shutil.rmtree(project / ".work", ignore_errors=True)
    command = ("cot", "stage", "tune", "--workers", str(WORKERS), "--set", "tune.trials=4")
    result = call(project, *command)
    if result.returncode:
        return [f"cot stage tune: {result.stderr.strip().splitlines()[-1]}"]
    lines = (project / "data/tune/trials.csv").read_text().splitlines()
    return [] if len(lines) == 5 else [f"{len(lines) - 1} trials instead of 4"]


if __name__ == "__main__":
    main()
