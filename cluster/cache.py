"""The folder outside the checkout that keeps what takes long to make, keyed by what it was made of.

Not for: anything that cannot be made again. Every reader copes with an empty cache.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.progress import note


@dataclass(frozen=True, slots=True)
class Cache:
    """Where things are kept."""

    root: Path

    def folder(self, *parts: str) -> Path:
        """A folder of the cache, made when it is missing."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out until the block ends; a run that dies lets go by dying."""
        with (self.folder() / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                note(f"another run works in {self.root}; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            shutil.rmtree(self._workshops, ignore_errors=True)  # what runs that died left half made
            yield

    @property
    def _workshops(self) -> Path:
        return self.root / "making"

    @contextmanager
    def published(self, target: Path) -> Iterator[Path]:
        """Make a file or folder whole or not at all; the lock must be held.

        Args:
            target: The final path, inside the cache. What is there already is replaced.

        Yields:
            A path that does not exist yet, on the same file system; renamed to the target when the block ends well.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.workshop() as workshop:
            making = workshop / target.name
            yield making
            if making.is_dir() and target.exists():
                target.rename(workshop / "replaced")
            making.rename(target)

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """A folder on the cache's file system that goes when the block ends; the lock must be held."""
        self._workshops.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._workshops))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def cache_from_environment(environment: Mapping[str, str]) -> Cache:
    """The cache of this user: $XDG_CACHE_HOME/triton-operator or ~/.cache/triton-operator."""
    base = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Cache(Path(base) / "triton-operator")


def files_below(folder: Path) -> list[Path]:
    """All files below a folder in a fixed order, without Python's caches."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def key(root: Path, files: Iterable[Path], *settings: str) -> str:
    """Name a result by what it is made of.

    Args:
        root: The paths of the files count relative to this folder.
        files: Contents, names and executable bits count.
        settings: Anything else the result depends on.

    Returns:
        Twelve hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        executable = os.access(path, os.X_OK)
        digest.update(f"{path.relative_to(root)}\0{executable}\0{len(content)}\0".encode())
        digest.update(content)
    for setting in settings:
        digest.update(f"{len(setting)}\0{setting}".encode())
    return digest.hexdigest()[:12]
