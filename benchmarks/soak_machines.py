"""Rounds of soak.py in which machines share a search through PostgreSQL and one is killed."""

import csv
import os
import pwd
import random
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from serving_cot import free_port
from soak_project import (
    SEARCH,
    copy_before_search,
    kill,
    running,
    say,
    start,
    throw_away,
)

MACHINES = 3
TRIALS = 9
USERS = ("postgres", "nobody")  # root may not run the server
DEBIAN = "/usr/lib/postgresql/*/bin"


def machine_rounds(project: Path, place: Path, count: int, draw: random.Random) -> str:
    """Run the rounds; give why they were not run, or nothing.

    Args:
        project: a finished one, of which each machine gets a copy up to the calibration.
        place: folder for the copies.
    """
    if not count:
        return ""
    if missing := _missing():
        return f"{count} rounds of {MACHINES} machines, as {missing}"
    machines = [
        copy_before_search(project, place / f"machine-{number}") for number in range(MACHINES)
    ]
    with _server() as server:
        begin = time.monotonic()
        say("machines undisturbed", _round(machines, server.database("undisturbed"), None, 0)[1])
        whole = time.monotonic() - begin
        for number in range(count):
            moment = draw.uniform(0, whole)
            url = server.database(f"round_{number}")
            ended, troubles = _round(machines, url, draw.randrange(MACHINES), moment)
            troubles += _unended(url)
            what = f"after {moment:.1f} of {whole:.1f} s" + ("" if ended else ", when it was over")
            say(f"machines {number + 1} of {count}: one killed {what}", troubles)
    return ""


def _missing() -> str:
    if not _program("initdb"):
        return "PostgreSQL is not installed (no initdb)"
    try:
        sqlalchemy.create_engine("postgresql://")
    except ImportError:
        return "the driver of PostgreSQL is not installed (pip install 'psycopg[binary]')"
    return ""


def _round(
    machines: Sequence[Path], url: str, killed: int | None, moment: float
) -> tuple[bool, list[str]]:
    """Search on all machines at once, and once more on the one that is killed after some seconds.

    Returns:
        Whether it was killed before it had ended, and what is not as it should be.
    """
    for machine in machines:
        throw_away(machine, SEARCH)
    command = ("cot", "stage", "tune", "--workers", "1", "--set", f"tune.trials={TRIALS}")
    environment = {"COT_STORAGE": url}
    started = [start(machine, *command, environment=environment) for machine in machines]
    was_running = False
    if killed is not None:
        time.sleep(moment)
        was_running = started[killed].poll() is None
        kill(started[killed])
    ends = [one.communicate()[1] for number, one in enumerate(started) if number != killed]
    codes = [one.returncode for number, one in enumerate(started) if number != killed]
    if killed is not None:
        again = start(machines[killed], *command, environment=environment)
        ends.append(again.communicate()[1])
        codes.append(again.returncode)
    failed = [text.strip()[-300:] for code, text in zip(codes, ends, strict=True) if code]
    return was_running, [f"cot stage tune: {text}" for text in failed] or _compare(machines)


def _compare(machines: Sequence[Path]) -> list[str]:
    """What is not the same on all of them, or not as often as wanted."""
    troubles = []
    for name in ("best.json", "trials.csv"):
        if len({(machine / "data/tune" / name).read_bytes() for machine in machines}) > 1:
            troubles.append(f"{name} differs between machines")
    with (machines[0] / "data/tune/trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    states = [row["state"] for row in rows]
    finished = states.count("COMPLETE") + states.count("PRUNED")
    if finished != TRIALS:
        troubles.append(f"{finished} trials were finished instead of {TRIALS}")
    if (vanilla := [row["source_weight"] for row in rows].count("0.0")) != 1:
        troubles.append(f"vanilla was judged {vanilla} times")
    return troubles + [one for machine in machines for one in running(machine / "mlflow.db")]


def _unended(url: str) -> list[str]:
    """Trials of which no machine would know any more how they ended."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        query = "SELECT number FROM trials WHERE state = 'RUNNING'"
        numbers = connection.execute(sqlalchemy.text(query)).scalars().all()
    engine.dispose()
    return [f"trial {number} is RUNNING" for number in numbers]


class _Server:
    """A PostgreSQL of its own, on this machine alone."""

    def __init__(self, port: int, password: str, user: str | None) -> None:
        self.port, self.password, self.user = port, password, user

    def database(self, name: str) -> str:
        """Create a database; give its URL."""
        self.run(
            "createdb", "--host", "127.0.0.1", "--port", str(self.port), "--username=cot", name
        )
        return f"postgresql://cot:{self.password}@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(_program(program)), *arguments],
            check=True,
            cwd="/",
            env={**os.environ, "PGPASSWORD": self.password},
            stdout=subprocess.DEVNULL,
            user=self.user,
            group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
            extra_groups=None if self.user is None else [],
        )


@contextmanager
def _server() -> Iterator[_Server]:
    user = None
    if os.getuid() == 0:
        user = next(one for one in USERS if one in {known.pw_name for known in pwd.getpwall()})
    with tempfile.TemporaryDirectory() as folder:
        server = _Server(free_port(), secrets.token_hex(8), user)
        password = Path(folder) / "password"
        password.write_text(server.password)
        for path in (Path(folder), password):
            if user is not None:
                shutil.chown(path, user)
        data, log = f"{folder}/data", f"{folder}/log"
        secret = ("--username=cot", "--auth=scram-sha-256", f"--pwfile={password}")
        server.run("initdb", "--pgdata", data, *secret)
        where = f"-p {server.port} -k {folder} -h 127.0.0.1"
        server.run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", log, "--options", where)
        try:
            yield server
        finally:
            server.run("pg_ctl", "stop", "--mode=immediate", "--pgdata", data)


def _program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps out of the way."""
    folders = [str(folder) for folder in sorted(Path("/").glob(DEBIAN.lstrip("/")))]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
