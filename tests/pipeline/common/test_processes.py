"""Work in several processes: that all of it is waited for, and that failures are reported.

The work is a shell command: a new process could not import a function of this file.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.common.processes import is_alive, run_in_processes
from pipeline.search.storage import open_storage

pytestmark = pytest.mark.processes


def run(*commands: str) -> None:
    arguments = [(["sh", "-c", command],) for command in commands]
    run_in_processes(subprocess.check_call, arguments, "cot stage tune")


def test_every_call_runs_in_a_process_of_its_own_and_is_waited_for(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    all_there = " && ".join(f"[ -s {path} ]" for path in paths)
    until_all_run = f"until {all_there}; do sleep 0.02; done"
    run(*(f"echo $PPID > {path}; {until_all_run}; touch {path}-end" for path in paths))
    processes = {path.read_text().strip() for path in paths}
    assert len(processes) == 3
    assert str(os.getpid()) not in processes
    assert len(list(tmp_path.glob("*-end"))) == 3


@pytest.mark.parametrize(
    ("failing", "code"), [("exit 3", "1"), ("kill -KILL $PPID", "-9"), ("kill -TERM $PPID", "-15")]
)
def test_a_failure_is_reported_after_the_others_have_finished(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], failing: str, code: str
) -> None:
    pipe, finished = tmp_path / "pipe", tmp_path / "finished"
    os.mkfifo(pipe)
    # The other one ends once the failure has been seen: until then it has a process number.
    until_seen = "while kill -0 $failing 2> /dev/null; do sleep 0.02; done"
    after = f"read failing < {pipe}; {until_seen}; touch {finished}"
    with pytest.raises(UserError) as caught:
        run(f"echo $PPID > {pipe}; {failing}", after)
    assert "1 of 2 processes failed" in str(caught.value)
    assert f"(exit code {code})" in str(caught.value)
    assert "`cot stage tune` goes on with what is finished" in str(caught.value)
    assert finished.exists()
    assert ("CalledProcessError" in capfd.readouterr().err) is (code == "1")


def test_what_the_user_can_mend_is_one_line_without_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UserError, match="1 of 1 processes failed \\(exit code 1\\)"):
        run_in_processes(open_storage, [("nosuch://user:hunter2@host/name",)], "cot stage tune")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: the storage is of the unknown kind nosuch")


def test_no_work_is_no_failure() -> None:
    run()


def test_a_process_is_dead_before_its_parent_knows() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(os.getpid())
    assert is_alive(process.pid)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.communicate()
    assert not is_alive(process.pid)
