"""How stories that different processes tell at once share one cluster, by locks on files that they all see.

Not for: what a story does while it has its turn.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

Json = dict[str, Any]


@contextmanager
def turn(thing: Path, *, alone: bool) -> Iterator[None]:
    """Wait until a thing may be used, and keep it until the block ends.

    Args:
        thing: a file that stands for it; made if it is not there.
        alone: whether nobody else may use it meanwhile.
    """
    with _locked(thing, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        yield


@contextmanager
def together(room: Path, begin: Callable[[], Json], end: Callable[[Json], None]) -> Iterator[None]:
    """Be one of several processes that live in something which the first to come makes, and the last to go ends.

    Args:
        room: a file that stands for it; made if it is not there.
        begin: makes it; what it returns is for `end`. Should it fail, the next process to come tries again.
        end: ends it.
    """
    with _locked(room, fcntl.LOCK_EX) as file:
        inside, kept = _read(file) or (0, None)
        _write(file, inside + 1, kept if inside else begin())
    try:
        yield
    finally:
        with _locked(room, fcntl.LOCK_EX) as file:
            inside, kept = _read(file)
            _write(file, inside - 1, kept)
            if inside == 1:
                end(kept)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[TextIO]:
    with path.open("a+") as file:
        fcntl.flock(file, how)  # closing the file gives it back
        yield file


def _read(file: TextIO) -> Any:
    file.seek(0)
    return json.loads(file.read() or "null")


def _write(file: TextIO, inside: int, kept: Json | None) -> None:
    file.truncate(0)
    file.write(json.dumps([inside, kept]))
    file.flush()
