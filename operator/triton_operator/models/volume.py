"""A source that is mounted: a PersistentVolumeClaim, or a ConfigMap as the kubelet writes it.

Everything here only reads, and nothing outside the volume. Not for: what a source must hold; that is `models.source`.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.remote import Names, SourceFile, joined
from triton_operator.models.request import Layout, ModelRequest
from triton_operator.models.source import CONFIG, MAX_CONFIG_BYTES, check_config_size
from triton_operator.models.storage import storage_failures, within_volume

_KUBELET_PREFIX = ".."  # ..data and ..2026_…: how the kubelet swaps the files of a ConfigMap; no key begins so


class Volume:
    """The `Tree` of a mounted volume."""

    def __init__(self, model: ModelRequest) -> None:
        self._model = model
        scheme, _, after = model.uri.partition("://")
        self.root = f"{scheme}://{after.partition('/')[0]}"
        relative = model.path.relative_to(model.volume).as_posix()
        self.path = "" if relative == "." else relative

    def located(self, path: str) -> Path:
        """Where a path of the source is mounted."""
        return self._model.volume / path if path else self._model.volume

    async def names(self, directory: str) -> Names | None:
        """List what lies directly in a directory; None if there is no such directory."""
        path = self.located(directory)
        within_volume(self._model, path)
        with storage_failures(self._model, path):
            if not path.is_dir():
                return None
            found = list(_listed(path))
            directories = {entry.name for entry in found if entry.is_dir()}
        names = sorted(entry.name for entry in found)
        return Names(
            tuple(name for name in names if name in directories),
            tuple(name for name in names if name not in directories),
        )

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all files below a directory; links are followed as long as they stay within the volume."""
        top = self.located(directory)
        with storage_failures(self._model, top):
            found = [
                file
                for entry in _listed(top)
                if not (entry.name in without and entry.is_dir())
                for file in self._below(entry, joined(directory, entry.name), seen=frozenset())
            ]
        return tuple(sorted(found, key=lambda file: file.path))

    def _below(self, place: Path, path: str, *, seen: frozenset[Path]) -> Iterator[SourceFile]:
        resolved = within_volume(self._model, place)
        if not resolved.is_dir():
            status = resolved.stat()
            flat = self._model.layout is Layout.FLAT  # the kubelet writes a ConfigMap's files anew in every pod
            yield SourceFile(path, status.st_size, _checksum(resolved) if flat else str(status.st_mtime_ns))
            return
        if resolved in seen:
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f"{self._model.uri} holds a symbolic link that leads into a directory above itself, below"
                f" {self.root}/{path}: remove it.",
            )
        for entry in _listed(resolved):
            yield from self._below(entry, joined(path, entry.name), seen=seen | {resolved})

    def config(self) -> bytes | None:
        """Read config.pbtxt.

        Returns:
            The file, or None if there is none.

        Raises:
            PrepareError: BadConfig if it is no file or too large; BadLayout, Unreadable or StorageError.
        """
        path = self._model.path / CONFIG
        resolved = within_volume(self._model, path)
        with storage_failures(self._model, path):
            if not path.is_symlink() and not path.exists():
                return None
            if not resolved.is_file():
                raise PrepareError(
                    Reason.BAD_CONFIG,
                    f"{CONFIG} of {self._model.uri} is not a file, or a link to none: put a file there.",
                )
            with resolved.open("rb") as stream:
                config = stream.read(MAX_CONFIG_BYTES + 1)
        check_config_size(self._model, len(config))
        return config


def _listed(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as found:
        names = sorted(entry.name for entry in found if not entry.name.startswith(_KUBELET_PREFIX))
    yield from (directory / name for name in names)


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
