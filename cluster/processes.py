"""Run commands: quietly, with their output kept for the error message.

Not for: deciding what to run.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ClusterError(Exception):
    """Something that the person at the terminal must know; the message says what to do."""


class CommandFailed(ClusterError):
    """A command ended with an error; the message holds the end of its output."""


def search_path(environment: Mapping[str, str]) -> str:
    """Where programs are looked for: PATH, and the folders that Debian's `su` leaves out."""
    return f"{environment.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def bound_to_us(argv: Sequence[str | Path]) -> list[str | Path]:
    """Write a command so that it is killed when the process that starts it ends, be it by kill -9.

    Nobody else would end a server of a run that was killed. Only Linux can do that, by setpriv of util-linux; elsewhere
    the command stays as it is. Linux goes by the thread that starts it: that must last as long as the process.
    """
    setpriv = shutil.which("setpriv", path=search_path(os.environ))
    return [setpriv, "--pdeathsig=KILL", "--", *argv] if setpriv else list(argv)


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a command to its end.

    Args:
        argv: The command and its arguments; no shell is involved.
        environment: Variables added to this process's own.
        cwd: Where to run it.
        stdin: What it reads; without it, nothing.
        timeout_seconds: It is ended after this time.

    Returns:
        What it wrote to its standard output.

    Raises:
        CommandFailed: It is missing, took too long or ended with an error.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, "PATH": search_path(os.environ), **(environment or {})},
            cwd=cwd,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as missing:
        raise CommandFailed(f"{words[0]} is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"{' '.join(words[:6])} took longer than {timeout_seconds:.0f} s") from late
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise CommandFailed(
            f"{' '.join(words[:6])} ended with {done.returncode}:\n" + "\n".join(f"  {line}" for line in output[-40:])
        )
    return done.stdout.decode(errors="replace")


def succeeds(argv: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a short command ends well; an absent command does not."""
    try:
        run(argv, environment=environment, timeout_seconds=30)
    except CommandFailed:
        return False
    return True
