"""What has been fetched so far, so that a container that was killed goes on where it was.

One line for each finished part of a file, tied to the file's size and tag. The lines are written after the bytes, by
the same machine's kernel, so that a killed process cannot make one lie; after a restart of the machine nothing counts.
Not for: keeping the bytes; they are in the files themselves.
"""

import json
import os
from pathlib import Path
from typing import Any

from triton_operator.models.remote import SourceFile

# Stand in place of a part:
VERIFIED = -1  # the whole file has been compared with its checksum
WHOLE = -2  # all bytes are the only part, as the server reads no ranges

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Journal:
    """The journal of one model.

    Args:
        path: where it is kept.
        part_bytes: size of the parts; another size makes former lines void.
    """

    def __init__(self, path: Path, *, part_bytes: int) -> None:
        self._path = path
        self._header = [_BOOT.read_text().strip() if _BOOT.exists() else "", part_bytes]
        self._done = self._read()
        self._stream = -1

    def has(self, file: SourceFile, part: int) -> bool:
        """Whether a part of a file, from 0, is finished."""
        return (file.path, file.size, file.tag, part) in self._done

    def knows(self, file: SourceFile) -> bool:
        """Whether any part of a file is finished."""
        return any(line[:3] == (file.path, file.size, file.tag) for line in self._done)

    def begin(self) -> None:
        """Open the journal for writing; begin it anew unless it holds something."""
        self._stream = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if not self._done:
            os.ftruncate(self._stream, 0)
            self._write(self._header)
        else:
            os.write(self._stream, b"\n")  # ends a line that was cut off

    def add(self, file: SourceFile, part: int) -> None:
        """Note that a part is finished; its bytes must have been written."""
        self._done.add((file.path, file.size, file.tag, part))
        self._write([file.path, file.size, file.tag, part])

    def forget(self) -> None:
        """Make all lines void."""
        self._done.clear()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._stream >= 0:
            os.close(self._stream)
            self._stream = -1

    def _write(self, line: list[object]) -> None:
        os.write(self._stream, json.dumps(line).encode() + b"\n")

    def _read(self) -> set[tuple[str, int, str, int]]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return set()
        parsed = [line for line in map(_parsed, lines) if line is not None]
        if not parsed or parsed[0] != self._header:
            return set()
        return {(line[0], line[1], line[2], line[3]) for line in parsed[1:] if len(line) == 4}


def _parsed(line: bytes) -> list[Any] | None:
    try:
        value = json.loads(line)
    except ValueError:  # the last line of a process that was killed
        return None
    return value if isinstance(value, list) else None
