"""Object stores: s3://BUCKET/PATH, gs://BUCKET/PATH and az://ACCOUNT/CONTAINER/PATH, through obstore.

Not for: how long to go on, nor what must lie there; that is `models.fetch` and `models.source`.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PreconditionError

from triton_operator.models.credentials import Credentials
from triton_operator.models.object_access import Bucket, bucket_of
from triton_operator.models.object_errors import failure_of
from triton_operator.models.remote import ChangedError, Names, SourceFile
from triton_operator.models.request import ModelRequest

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

_PIECE_BYTES = 2**19
_LISTED_AT_ONCE = 1000


def object_store(model: ModelRequest, credentials: Credentials) -> "ObjectStore":
    """Make the remote of a model in an object store.

    Args:
        model: its uri is s3://…, gs://… or az://….
        credentials: what the user gave for it.

    Raises:
        PrepareError: BadCredentials, or BadLayout for a uri without a bucket.
    """
    bucket, path = bucket_of(model, credentials)
    return ObjectStore(bucket, path=path)


class ObjectStore:
    """The `Remote` of a bucket.

    Args:
        bucket: the bucket and the way to it.
        path: the model directory in it.
    """

    def __init__(self, bucket: Bucket, *, path: str) -> None:
        self._bucket = bucket
        self.root = bucket.root
        self.path = path

    async def names(self, directory: str) -> Names | None:
        """List what lies directly in a directory; None if there is nothing."""
        directories, objects = await self._level(directory)
        if not directories and not objects:
            return None
        files = {_last(path) for path in objects if path != directory}
        names = sorted(_last(path) for path in directories)
        return Names(tuple(names), tuple(sorted(files.difference(names))))

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all objects below a directory, but not the empty ones that stand for directories."""
        directories, found = await self._level(directory)
        for path in directories:
            if _last(path) not in without:
                found |= await self._below(path)
        above = {path[:end] for path in found for end in range(len(path)) if path[end] == "/"}
        hidden = {path for path, file in found.items() if not file.size and path in above} | {directory}
        return tuple(found[path] for path in sorted(found.keys() - hidden))

    async def read(self, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """Read a range of an object, if it is still the one that was listed."""
        options: GetOptions = {"range": (start, end)}
        if file.tag.startswith('"'):
            options["if_match"] = file.tag
        try:
            answer = await obstore.get_async(self._bucket.store, file.path, options=options)
            if _tag(answer.meta["e_tag"], answer.meta["last_modified"]) != file.tag:
                raise ChangedError
            async for piece in answer.stream(_PIECE_BYTES):
                yield memoryview(piece)
        except (FileNotFoundError, PreconditionError) as error:
            raise ChangedError from error
        except BaseError as error:
            raise failure_of(error, self._bucket) from error

    async def close(self) -> None:
        """Do nothing: connections end with the process."""

    async def _level(self, directory: str) -> tuple[list[str], dict[str, SourceFile]]:
        try:
            found = await obstore.list_with_delimiter_async(self._bucket.store, directory or None)
        except (BaseError, FileNotFoundError) as error:
            raise failure_of(error, self._bucket) from error
        return list(found["common_prefixes"]), _files(found["objects"])

    async def _below(self, directory: str) -> dict[str, SourceFile]:
        found: dict[str, SourceFile] = {}
        try:
            async for batch in obstore.list(self._bucket.store, directory, chunk_size=_LISTED_AT_ONCE):
                found |= _files(batch)
        except BaseError as error:
            raise failure_of(error, self._bucket) from error
        found.pop(directory, None)
        return found


def _files(found: Iterable["ObjectMeta"]) -> dict[str, SourceFile]:
    return {
        entry["path"]: SourceFile(entry["path"], entry["size"], _tag(entry["e_tag"], entry["last_modified"]))
        for entry in found
    }


def _tag(etag: str | None, modified: datetime) -> str:
    """An ETag in quotes, as Azure lists it without them, or the time where a store knows no ETags."""
    return f'"{etag.removeprefix("W/").strip(chr(34))}"' if etag else modified.isoformat()


def _last(path: str) -> str:
    return path.rpartition("/")[2]
