"""A model that is fetched: its files in the repository, whole or not at all, with the config.pbtxt it needs.

Not for: reading bytes; that is `models.fetch`. Nor for what must lie at the source; that is `models.source`.
"""

from collections.abc import Callable
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason, quoted
from triton_operator.models.fetch import PART_BYTES, Fetch, parts_of, pieces, unchanged
from triton_operator.models.journal import Journal
from triton_operator.models.place import merged, remove
from triton_operator.models.remote import Remote, SourceFile
from triton_operator.models.request import ModelRequest
from triton_operator.models.retry import FETCHING_SECONDS, LISTING_SECONDS, Patience, persist
from triton_operator.models.source import CONFIG, check_config_size, check_program
from triton_operator.models.storage import storage_failures
from triton_operator.models.survey import REMEDY, Survey, listed, surveyed


class FetchedSource:
    """A model that is fetched file by file; a `sources.Source`.

    What is not whole yet lies beside the models, under names that no model has and Triton never sees: they are gone
    when `place` returns.

    Args:
        model: the model.
        remote: where it comes from; closed by `close`.
        patience: makes the patience of listing and of fetching from seconds.
        part_bytes: size of the ranges that are read at the same time.
    """

    def __init__(
        self,
        model: ModelRequest,
        remote: Remote,
        *,
        patience: Callable[[float], Patience] = Patience,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._model = model
        self._remote = remote
        self._patience = patience
        self._part_bytes = part_bytes
        self._partial = Path(model.repository) / f".{model.name}.partial"
        self._journal = Journal(Path(model.repository) / f".{model.name}.journal", part_bytes=part_bytes)
        self._config: SourceFile | None = None
        self._targets: dict[SourceFile, Path] = {}
        self._survey: Survey | None = None

    async def survey(self) -> Survey:
        """Say what would be served, or why that cannot be."""
        patience = self._patience(LISTING_SECONDS)
        found, files = await persist(patience, lambda: listed(self._model, self._remote))
        self._check_paths(files)
        for file in files:
            below = file.path.removeprefix(self._remote.path).lstrip("/")
            if below == CONFIG:
                self._config = file
            else:
                self._targets[file] = self._partial / below
        self._survey = surveyed(found.version, files, base=self._remote.path)
        return self._survey

    def missing_bytes(self) -> int:
        """Bytes that are not in the repository yet."""
        return sum(
            part.end - part.start
            for file, target in self._targets.items()
            for part in parts_of(file, self._part_bytes)
            if not (_is_here(file, target) and self._journal.has(file, part.number))
        )

    async def place(self) -> None:
        """Make repository/<model>; see `sources.Source`."""
        if self._survey is None:
            raise AssertionError("survey comes first")
        model, version = self._model, self._survey.version
        patience = self._patience(FETCHING_SECONDS)
        original = await self._read_config(patience)
        config = merged(model, original, version=version)
        await persist(patience, lambda: check_program(model, self._remote, version=version, config=original))
        with storage_failures(model, self._partial):
            remove(model.model_directory)
            self._make_room()
            self._journal.begin()
            try:
                fetch = Fetch(
                    self._remote,
                    self._targets,
                    journal=self._journal,
                    patience=patience,
                    part_bytes=self._part_bytes,
                )
                await fetch.run(model.name)
            finally:
                self._journal.close()
            await self._check_unchanged(patience)
            (self._partial / str(version)).mkdir(exist_ok=True)  # empty for an ensemble
            if config is not None:
                (self._partial / CONFIG).write_bytes(config)
            self._partial.rename(model.model_directory)
            self._journal.forget()

    async def close(self) -> None:
        """Let go of connections."""
        await self._remote.close()

    def _check_paths(self, files: tuple[SourceFile, ...]) -> None:
        """Refuse what cannot be, or must not be, a path in the repository."""
        paths = {file.path for file in files}
        for path in paths:
            segments = path.split("/")
            above = {"/".join(segments[:depth]) for depth in range(1, len(segments))}
            if any(segment in ("", ".", "..") or "\0" in segment for segment in segments) or paths & above:
                raise PrepareError(
                    Reason.BAD_LAYOUT,
                    f"{self._model.shown} holds {quoted(path)}, which cannot be a file's path in a directory: rename"
                    " or remove it.",
                )

    async def _read_config(self, patience: Patience) -> bytes | None:
        file = self._config
        if file is None:
            return None
        check_config_size(self._model, file.size)

        async def read() -> bytes:
            return b"".join([bytes(piece) async for piece in pieces(self._remote, file, start=0, end=file.size)])

        with unchanged(self._remote, file):
            return await persist(patience, read)

    def _make_room(self) -> None:
        """Give every file its full size, keep what a former process has finished, and nothing else."""
        here = {file for file, target in self._targets.items() if _is_here(file, target)}
        if any(self._journal.knows(file) for file in self._targets.keys() - here):
            self._journal.forget()  # somebody has been at the files
        directories = {above for target in self._targets.values() for above in target.parents}
        if self._partial.is_symlink() or not self._partial.is_dir():
            remove(self._partial)
        kept = {self._targets[file] for file in here} | directories
        for path in sorted(self._partial.rglob("*"), reverse=True):
            if path not in kept or path.is_symlink() or path.is_dir() != (path in directories):
                remove(path)
        self._partial.mkdir(parents=True, exist_ok=True)
        for file, target in self._targets.items():
            if file not in here:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as stream:
                    stream.truncate(file.size)

    async def _check_unchanged(self, patience: Patience) -> None:
        """List once more: a model that is still being uploaded must not be served."""
        found, files = await persist(patience, lambda: listed(self._model, self._remote))
        now = surveyed(found.version, files, base=self._remote.path)
        if self._survey is not None and now.digest != self._survey.digest:
            raise PrepareError(
                Reason.SOURCE_CHANGED,
                f"{self._model.shown} changed while it was fetched: {self._survey.files} files of {self._survey.size}"
                f" bytes became {now.files} files of {now.size} bytes. The pod tries again by itself. {REMEDY}",
            )


def _is_here(file: SourceFile, target: Path) -> bool:
    return target.is_file() and not target.is_symlink() and target.stat().st_size == file.size
