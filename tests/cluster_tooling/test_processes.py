"""What a run starts does not outlive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SERVER = """
import os, sys, time
with open(sys.argv[1] + ".part", "w") as told:
    told.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""
RUN = """
import sys, time
from pathlib import Path
from benchmarks.api_server import running
with running(Path(sys.argv[1]), [sys.executable, "-c", *sys.argv[2:]]):
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with the one that started them")
def test_what_a_killed_run_had_started_ends(tmp_path: Path) -> None:
    told = tmp_path / "told"
    words = [sys.executable, "-c", RUN, str(tmp_path), SERVER, str(told)]
    run = subprocess.Popen(words, cwd=Path(__file__).parents[2])
    try:
        until(told.exists)
        server = int(told.read_text(encoding="utf-8"))
        assert is_running(server)
    finally:
        run.kill()
        run.wait()
    try:
        until(lambda: not is_running(server))
    finally:
        if is_running(server):
            os.kill(server, signal.SIGKILL)


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not so within half a minute"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Say whether a process runs; one that has ended may wait for long to be noticed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
