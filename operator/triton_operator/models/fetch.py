"""Fetching files: parallel ranged reads into files of their full size, resumed where a killed process was.

Memory is bounded by the pieces in flight, whatever the size and number of files.
Not for: how one source is read; that is a `remote.Remote`. Nor for what becomes of the files; see `models.fetched`.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.journal import VERIFIED, WHOLE, Journal
from triton_operator.models.progress import Progress
from triton_operator.models.remote import ChangedError, Remote, SourceFile, TransientError, uri_of
from triton_operator.models.retry import Patience

PART_BYTES = 16 * 2**20
READERS = 16
PIECE_SECONDS = 60.0  # a reader that gets nothing for so long begins anew


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a file.

    Attributes:
        file: the file.
        number: which part of it, from 0; WHOLE for all of it.
        start: offset of the first byte.
        end: offset behind the last byte.
    """

    file: SourceFile
    number: int
    start: int
    end: int


def parts_of(file: SourceFile, part_bytes: int) -> Iterator[Part]:
    """Cut a file into ranges; an empty file has none, and one without ranges is a single one."""
    if not file.ranged:
        yield Part(file, WHOLE, 0, file.size)
        return
    for number, start in enumerate(range(0, file.size, part_bytes)):
        yield Part(file, number, start, min(start + part_bytes, file.size))


class Fetch:
    """Fetching some files of one remote.

    Args:
        remote: where they come from.
        targets: the files and where each goes; they are there at full size, whatever they hold.
        journal: what has been finished; open.
        patience: how long to go on without progress.
        part_bytes: size of the ranges, which is that of the journal.
    """

    def __init__(
        self,
        remote: Remote,
        targets: Mapping[SourceFile, Path],
        *,
        journal: Journal,
        patience: Patience,
        part_bytes: int,
    ) -> None:
        self._remote = remote
        self._targets = targets
        self._journal = journal
        self._patience = patience
        self._waiting = deque(
            part for file in targets for part in parts_of(file, part_bytes) if not journal.has(file, part.number)
        )
        self._open = {file: 0 for file in targets}  # parts that are not finished
        for part in self._waiting:
            self._open[part.file] += 1
        size = sum(file.size for file in targets)
        self._progress = Progress(size, done=size - sum(part.end - part.start for part in self._waiting))

    async def run(self, name: str) -> None:
        """Fetch what is missing.

        Args:
            name: of the model, for the log.

        Raises:
            PrepareError: SourceChanged, Unreachable, or what the remote raises.
        """
        report = asyncio.create_task(self._progress.report(name))
        try:
            for file, parts in self._open.items():
                if not parts:
                    await self._verify(file)
            async with asyncio.TaskGroup() as readers:
                for _ in range(min(READERS, len(self._waiting))):
                    readers.create_task(self._reader())
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            report.cancel()
            with suppress(asyncio.CancelledError):
                await report
        self._progress.print(name)

    async def _reader(self) -> None:
        while self._waiting:
            part = self._waiting.popleft()
            await self._read(part)
            self._journal.add(part.file, part.number)
            self._open[part.file] -= 1
            if not self._open[part.file]:
                await self._verify(part.file)

    async def _read(self, part: Part) -> None:
        """Read one part, going on from the first missing byte as often as the connection breaks."""
        offset, failures = part.start, 0
        target = os.open(self._targets[part.file], os.O_WRONLY | os.O_CLOEXEC)
        try:
            while offset < part.end:
                try:
                    with unchanged(self._remote, part.file):
                        async for piece in pieces(self._remote, part.file, start=offset, end=part.end):
                            _write(target, piece, offset)  # a copy in memory: a thread would cost more
                            offset += len(piece)
                            failures = 0
                            self._patience.progress()
                            self._progress.add(len(piece))
                except TransientError as error:
                    failures += 1
                    await self._patience.pause(failures, error)
        finally:
            os.close(target)

    async def _verify(self, file: SourceFile) -> None:
        if file.sha256 is None or self._journal.has(file, VERIFIED):
            return
        if await asyncio.to_thread(_checksum, self._targets[file]) != file.sha256:
            self._journal.forget()
            raise PrepareError(
                Reason.SOURCE_CHANGED,
                f"{uri_of(self._remote, file.path)} has arrived with another SHA-256 than {file.sha256}, which its"
                " source gives. It is fetched anew by the next try; if that fails, too, the source is damaged: put the"
                " file there again.",
            )
        self._journal.add(file, VERIFIED)


async def pieces(remote: Remote, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
    """Read exactly a range of a file.

    Raises:
        TransientError: fewer bytes than asked for have come, or none for too long.
        PrepareError: more bytes have come; or what the remote raises.
    """
    wanted = end - start
    stream = remote.read(file, start=start, end=end)
    while wanted:
        try:
            async with asyncio.timeout(PIECE_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError as error:
            raise TransientError(
                f"{uri_of(remote, file.path)} sent nothing for {PIECE_SECONDS:.0f} s: see whether its server is well."
            ) from error
        if piece is None:
            raise TransientError(f"{uri_of(remote, file.path)} ended {wanted} bytes early: the connection broke.")
        if len(piece) > wanted:
            raise ChangedError
        wanted -= len(piece)
        yield piece


@contextmanager
def unchanged(remote: Remote, file: SourceFile) -> Iterator[None]:
    """Say of which file it is that it changed while it was fetched."""
    try:
        yield
    except ChangedError as error:
        raise PrepareError(
            Reason.SOURCE_CHANGED,
            f"{uri_of(remote, file.path)} was overwritten or removed while the model was fetched. The pod tries again"
            " by itself; put new files into a new version directory, so that no pod meets half of them.",
        ) from error


def _write(target: int, piece: bytes | memoryview, offset: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(target, view, offset)
        view, offset = view[written:], offset + written


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
