"""The file system as the init container meets it: links that must stay within the volume, and failures in plain words.

Not for: what a source must hold; that is `models.source`.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason, quoted
from triton_operator.models.request import ModelRequest


@contextmanager
def storage_failures(model: ModelRequest, path: Path) -> Iterator[None]:
    """Turn what the operating system says into a message for the user.

    Args:
        model: the model that is prepared.
        path: the file or directory that is read or written, unless the error names another.

    Raises:
        PrepareError: Unreadable, NoSpace or StorageError.
    """
    try:
        yield
    except OSError as error:
        concerned = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        raise _storage_failure(model, concerned, error) from error


def within_volume(model: ModelRequest, path: Path) -> Path:
    """Resolve the links of a path.

    Args:
        model: the model that is prepared.
        path: a path below the volume; need not exist.

    Returns:
        The path without links, within the volume.

    Raises:
        PrepareError: BadLayout if it lies outside the volume.
    """
    with storage_failures(model, path):
        volume = model.volume.resolve()
        try:
            resolved = path.resolve()
        except RuntimeError as error:  # Python before 3.13 says so of links in a circle
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f"{quoted(str(path))} ({model.uri}) is a symbolic link that leads to itself: remove it.",
            ) from error
    if not resolved.is_relative_to(volume):
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{quoted(str(path.relative_to(model.volume)))} of {model.uri} is, or lies behind, a symbolic link that"
            f" leads out of the volume, to {quoted(str(resolved))}. Replace it by the files, or by a relative link"
            " within the volume.",
        )
    return resolved


def check_space(repository: Path, needed: int, *, limit: int | None) -> None:
    """Make sure that what is to be fetched has room.

    Args:
        repository: the directory it goes into.
        needed: bytes that are to be written.
        limit: the size limit of its volume, in bytes; None if it has none but the disk's.

    Raises:
        PrepareError: NoSpace, with numbers.
    """
    if not needed:
        return
    status = os.statvfs(repository)
    free, where = status.f_bavail * status.f_frsize, "the disk has"
    if limit is not None:
        used = sum(path.lstat().st_blocks * 512 for path in repository.rglob("*"))
        if limit - used < free:
            free, where = max(limit - used, 0), f"of the {limit / 2**20:.0f} MiB of its volume there are"
    if needed > free:
        raise PrepareError(
            Reason.NO_SPACE,
            f"The model repository needs {needed / 2**20:.0f} MiB more, but {where} only {free / 2**20:.0f} MiB left."
            " Give the pod's model volume more room, or free disk space on the node.",
        )


def _storage_failure(model: ModelRequest, path: Path, error: OSError) -> PrepareError:
    where = f"{quoted(str(path))} ({model.uri})"
    user = f"uid {os.geteuid()}, gid {os.getegid()}, groups {sorted(os.getgroups())}"
    if error.errno in (ENOSPC, EDQUOT):
        return PrepareError(
            Reason.NO_SPACE,
            f"No space is left for model {model.name} in {model.repository} ({model.uri}): {error.strerror}."
            " It needs room in the pod's ephemeral storage: free disk space on the node.",
        )
    if error.errno in (EACCES, EPERM, EROFS) and path.is_relative_to(model.repository):
        return PrepareError(
            Reason.STORAGE_ERROR,
            f"The model repository {quoted(str(path))} cannot be written by the user of the pod ({user}):"
            f" {error.strerror}. Leave spec.runtime.securityContext.fsGroup at its default, or set it to a group of"
            " that user.",
        )
    if error.errno in (EACCES, EPERM):
        return PrepareError(
            Reason.UNREADABLE,
            f"{where} cannot be read by the user of the pod ({user}){_owner(path)}. Set"
            " spec.runtime.securityContext.fsGroup to the files' group or runAsUser to their owner, or make the files"
            " readable to all (chmod -R a+rX).",
        )
    return PrepareError(
        Reason.STORAGE_ERROR,
        f"Reading or writing {where} failed: {error.strerror or error}. See whether the volume is healthy; the pod"
        " tries again by itself.",
    )


def _owner(path: Path) -> str:
    """Say whose the path is; of the nearest directory above where the path itself is hidden."""
    for candidate in (path, *path.parents):
        try:
            status = candidate.stat()
        except OSError:
            continue
        what = "it" if candidate == path else quoted(str(candidate))
        return f"; {what} belongs to uid {status.st_uid}, gid {status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}"
    return ""
