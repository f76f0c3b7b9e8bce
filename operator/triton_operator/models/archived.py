"""A model in an archive on a web server: fetched whole, then the version and what lies beside the versions unpacked.

Not for: what an archive holds; that is `models.archive`. Nor for directories; that is `models.index`.
"""

import asyncio
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

from triton_operator.models.archive import Archive, opened
from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, quoted
from triton_operator.models.fetch import PART_BYTES, Fetch, parts_of
from triton_operator.models.journal import Journal
from triton_operator.models.place import merged, remove
from triton_operator.models.remote import SourceFile
from triton_operator.models.remote_file import RemoteFile
from triton_operator.models.request import ModelRequest
from triton_operator.models.retry import FETCHING_SECONDS, LISTING_SECONDS, Patience, persist
from triton_operator.models.source import CONFIG, Found, check_config_size, check_program, find, versions_of
from triton_operator.models.storage import check_space, storage_failures
from triton_operator.models.survey import Survey
from triton_operator.models.web import web_of
from triton_operator.models.web_file import WebFile


class ArchivedSource:
    """A model in an archive; a `sources.Source`.

    Args:
        model: the model.
        credentials: what the user gave for it.
        volume_bytes: size limit of the repository's volume; None if it has none but the disk's.
        patience: makes the patience of listing and of fetching from seconds.
        part_bytes: size of the ranges that are read at the same time.
    """

    def __init__(
        self,
        model: ModelRequest,
        credentials: Credentials,
        *,
        volume_bytes: int | None,
        patience: Callable[[float], Patience] = Patience,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._model = model
        self._remote = WebFile(web_of(model.shown, credentials), model.uri, shown=model.shown)
        self._volume_bytes = volume_bytes
        self._patience = patience
        self._part_bytes = part_bytes
        self._repository = Path(model.repository)
        self._target = self._repository / f".{model.name}.archive"
        self._journal = Journal(self._repository / f".{model.name}.journal", part_bytes=part_bytes)
        self._file: SourceFile | None = None

    async def survey(self) -> Survey:
        """Say what would be served; only a request without a version has the archive read through for it."""
        file = await persist(self._patience(LISTING_SECONDS), self._remote.file)
        self._file = file
        version = self._model.version
        if version is None:
            version = await self._highest(file)
        line = f"{file.path}\0{file.size}\0{file.sha256 or file.tag}\n{version}\n"
        digest = hashlib.sha256(line.encode(errors="surrogateescape")).hexdigest()
        return Survey(version, f"sha256:{digest}", file.size, 1)

    def missing_bytes(self) -> int:
        """Bytes of the archive that are not on disk yet; what it unpacks to is known, and checked, later."""
        file = self._surveyed
        return sum(
            part.end - part.start
            for part in parts_of(file, self._part_bytes)
            if not (self._is_here(file) and self._journal.has(file, part.number))
        )

    async def place(self) -> None:
        """Make repository/<model>; see `sources.Source`."""
        model, file = self._model, self._surveyed
        with storage_failures(model, self._target):
            remove(model.model_directory)
            if not self._is_here(file):
                self._journal.forget()
                remove(self._target)
                with self._target.open("wb") as stream:
                    stream.truncate(file.size)
            await self._fetch(file)
            await asyncio.to_thread(self._unpack)
            remove(self._target)
            self._journal.forget()

    async def close(self) -> None:
        """Let go of connections."""
        await self._remote.close()

    @property
    def _surveyed(self) -> SourceFile:
        if self._file is None:
            raise AssertionError("survey comes first")
        return self._file

    def _is_here(self, file: SourceFile) -> bool:
        target = self._target
        return target.is_file() and not target.is_symlink() and target.stat().st_size == file.size

    async def _highest(self, file: SourceFile) -> int:
        patience = self._patience(FETCHING_SECONDS)
        remote = RemoteFile(self._remote, file, patience=patience, loop=asyncio.get_running_loop())

        def read() -> int:
            with opened(io.BufferedReader(remote, 2**16), uri=self._model.shown) as archive:
                return asyncio.run(self._found(archive)).version

        return await asyncio.to_thread(read)

    async def _found(self, archive: Archive) -> Found:
        names = await archive.names(archive.path)
        if names is not None and (versions_of(names) or CONFIG in names.files):
            return await find(self._model, archive)
        held = ", ".join(quoted(name) for name in [*names.directories, *names.files][:5]) if names else "nothing"
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{self._model.shown} holds no version directories, but {held}. It must hold one model"
            f" directory: {CONFIG} and the version directories, or one directory with these in it.",
        )

    async def _fetch(self, file: SourceFile) -> None:
        self._journal.begin()
        try:
            fetch = Fetch(
                self._remote,
                {file: self._target},
                journal=self._journal,
                patience=self._patience(FETCHING_SECONDS),
                part_bytes=self._part_bytes,
            )
            await fetch.run(self._model.name)
        finally:
            self._journal.close()

    def _unpack(self) -> None:
        """Write the wanted files, whole or not at all."""
        partial = self._repository / f".{self._model.name}.partial"
        remove(partial)
        with self._target.open("rb") as stream, opened(stream, uri=self._model.shown) as archive:
            version, config, files = asyncio.run(self._wanted(archive))
            check_space(
                self._repository, sum(archive.members[file.path].size for file in files), limit=self._volume_bytes
            )
            (partial / str(version)).mkdir(parents=True)
            for file in files:
                target = partial / file.path.removeprefix(archive.path).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.members[file.path].open() as content, target.open("xb") as written:
                    shutil.copyfileobj(content, written, 2**20)
                if target.stat().st_size != file.size:
                    raise EOFError(f"{file.path} ends early")
            if config is not None:
                (partial / CONFIG).write_bytes(config)
        partial.rename(self._model.model_directory)

    async def _wanted(self, archive: Archive) -> tuple[int, bytes | None, list[SourceFile]]:
        """Find the version, the config.pbtxt to write and the files to unpack."""
        found = await self._found(archive)
        config_path = f"{archive.path}/{CONFIG}".lstrip("/")
        original = None
        if member := archive.members.get(config_path):
            check_config_size(self._model, member.size)
            with member.open() as content:
                original = content.read()
        config = merged(self._model, original, version=found.version)
        await check_program(self._model, archive, version=found.version, config=original)
        files = await archive.files(archive.path, without=found.other_versions)
        return found.version, config, [file for file in files if file.path != config_path]
