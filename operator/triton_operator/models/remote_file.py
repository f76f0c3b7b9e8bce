"""One remote file as a stream that can seek, for libraries that read files: nothing of it is kept on disk.

Not for: fetching a file; that is `models.fetch`.
"""

import asyncio
import io
from collections.abc import AsyncIterator

from typing_extensions import Buffer

from triton_operator.models.fetch import pieces, unchanged
from triton_operator.models.remote import Remote, SourceFile
from triton_operator.models.retry import Patience, persist

_READ_ON_BYTES = 4 * 2**20  # a gap that is cheaper to read than to jump


class RemoteFile(io.RawIOBase):
    """A stream over a remote file, read by a thread while the event loop does the work.

    Args:
        remote: where the file is.
        file: the file.
        patience: how long to go on without progress.
        loop: the running event loop; its own thread must not read the stream.
    """

    def __init__(
        self, remote: Remote, file: SourceFile, *, patience: Patience, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._remote = remote
        self._file = file
        self._patience = patience
        self._loop = loop
        self._position = 0  # of the reader
        self._stream: AsyncIterator[bytes | memoryview] | None = None
        self._offset = 0  # of what the stream gives next
        self._piece = memoryview(b"")  # what it has given, up to its offset

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is read yet."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """Read some bytes."""
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self._file.size:
            return 0
        while not self._offset - len(self._piece) <= self._position < self._offset:
            asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        start = len(self._piece) - (self._offset - self._position)
        some = self._piece[start : start + len(target)]
        target[: len(some)] = some
        self._position += len(some)
        return len(some)

    async def _next(self) -> None:
        """Get the next piece, nearer to the position."""
        gap = self._position - self._offset
        if self._stream is None or gap < 0 or (self._file.ranged and gap > _READ_ON_BYTES):
            await self._restart(self._position)

        async def piece() -> bytes | memoryview:
            if self._stream is None:
                await self._restart(self._offset)
            assert self._stream is not None
            try:
                return await anext(self._stream)
            except BaseException:
                self._stream = None
                raise

        with unchanged(self._remote, self._file):
            self._piece = memoryview(await persist(self._patience, piece))
        self._offset += len(self._piece)
        self._patience.progress()

    async def _restart(self, offset: int) -> None:
        self._offset, self._piece = offset, memoryview(b"")
        self._stream = pieces(self._remote, self._file, start=offset, end=self._file.size)
