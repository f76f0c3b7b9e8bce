"""Looking at a source: is it the model directory that the request means, and if not, which one would be.

Everything here only reads. Not for: making the model repository; that is `models.place`.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason, escaped, quoted
from triton_operator.models.model_config import parse_model_config
from triton_operator.models.request import Layout, PrepareRequest
from triton_operator.models.storage import storage_failures, within_volume

CONFIG = "config.pbtxt"
MAX_CONFIG_BYTES = 4 * 2**20

_VERSION = re.compile(r"[1-9][0-9]*")  # Triton passes over directories whose name begins with 0
_KUBELET_PREFIX = ".."  # ..data and ..2026_…: how the kubelet swaps the files of a ConfigMap; no key begins so
_SHOWN = 5
_RIGHT = f"uri must be the model directory, which holds {CONFIG} and the version directories"


def entries(request: PrepareRequest) -> tuple[Path, ...]:
    """List what the source holds, once it is clear that it is what the request means.

    Args:
        request: the model that is prepared.

    Returns:
        The paths of all entries in order of name, without the kubelet's own.

    Raises:
        PrepareError: NotFound, BadLayout, NoVersions, Unreadable or StorageError, saying what would be right.
    """
    source = request.path
    within_volume(request, source)
    with storage_failures(request, source):
        if not source.exists():
            raise _not_found(request)
        if not source.is_dir():
            raise PrepareError(
                Reason.BAD_LAYOUT, f"{request.uri} is a file. {_RIGHT}: perhaps {_uri(request, source.parent)}."
            )
        found = _listed(source)
        if request.layout is Layout.FLAT:
            _check_flat(request, found)
        else:
            _check_directory(request, found)
    return found


def read_config(request: PrepareRequest) -> bytes | None:
    """Read config.pbtxt of the source.

    Args:
        request: the model that is prepared.

    Returns:
        The file, or None if there is none.

    Raises:
        PrepareError: BadConfig if it is no file or too large; BadLayout, Unreadable or StorageError.
    """
    path = request.path / CONFIG
    resolved = within_volume(request, path)
    with storage_failures(request, path):
        if not path.is_symlink() and not path.exists():
            return None
        if not resolved.is_file():
            raise PrepareError(
                Reason.BAD_CONFIG, f"{CONFIG} of {request.uri} is not a file, or a link to none: put a file there."
            )
        with resolved.open("rb") as stream:
            config = stream.read(MAX_CONFIG_BYTES + 1)
    if len(config) > MAX_CONFIG_BYTES:
        raise PrepareError(
            Reason.BAD_CONFIG,
            f"{CONFIG} of {request.uri} is larger than {MAX_CONFIG_BYTES // 2**20} MiB: it must be a model's"
            " configuration in protobuf's text format.",
        )
    return config


def check_program(request: PrepareRequest, config: bytes) -> None:
    """Make sure that a model of the Python backend has its program: without it that backend hangs instead of failing.

    Args:
        request: the model that is prepared.
        config: its config.pbtxt, which can be read.

    Raises:
        PrepareError: BadLayout, naming the file that is missing.
    """
    settings = parse_model_config(config.decode(errors="surrogateescape"))
    if settings.backend != "python":
        return
    name = settings.default_model_filename or "model.py"
    directory = request.path if request.layout is Layout.FLAT else request.path / str(request.version)
    with storage_failures(request, directory):
        if not (directory / name).is_file():
            where = request.uri if request.layout is Layout.FLAT else _uri(request, directory)
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f'{where} has no {quoted(name)}, which backend: "python" loads; it holds'
                f" {_names(_listed(directory))}. Add it, or name another file by default_model_filename in {CONFIG}.",
            )


def _listed(directory: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in directory.iterdir() if not path.name.startswith(_KUBELET_PREFIX)))


def _check_flat(request: PrepareRequest, found: tuple[Path, ...]) -> None:
    for path in found:
        if not path.is_file():
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f"{request.uri} holds {quoted(path.name)}, which is not a file: only {CONFIG} and the files of one"
                " version can stand there.",
            )
    if all(path.name == CONFIG for path in found):
        what = f"only {CONFIG}" if found else "nothing"
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{request.uri} holds {what} and no file of the model. Add the model's files as further keys, for example:"
            " kubectl create configmap NAME --from-file=config.pbtxt --from-file=model.py",
        )


def _check_directory(request: PrepareRequest, found: tuple[Path, ...]) -> None:
    wanted = request.path / str(request.version)
    if wanted in found and wanted.is_dir():
        return
    versions = _versions(found)
    if versions or any(path.name == CONFIG for path in found):
        raise _no_such_version(request, found, versions)
    models = _models_below(request, found)
    if _is_version_directory(request, found) and not models:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{request.uri} is a version directory. {_RIGHT}: set spec.model.uri to"
            f" {_uri(request, request.path.parent)} and spec.model.version to {request.path.name}.",
        )
    if models:
        shown = [_uri(request, path) for path in models[:_SHOWN]]
        more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
        sure = len(models) == 1 or models[0].name == request.model
        advice = f"set spec.model.uri to {shown[0]}" if sure else "set spec.model.uri to one of them"
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{request.uri} is a model repository, not a model directory; it holds {', '.join(shown)}{more}."
            f" {_RIGHT}: {advice}.",
        )
    raise PrepareError(
        Reason.BAD_LAYOUT,
        f"{request.uri} holds neither {CONFIG} nor version directories; it holds {_names(found)}. {_RIGHT}: put the"
        f" model's files into {_uri(request, wanted)}.",
    )


def _no_such_version(request: PrepareRequest, found: tuple[Path, ...], versions: list[int]) -> PrepareError:
    name = str(request.version)
    exist = f"there are {_numbers(versions)}" if versions else "there is no version directory"
    remedy = f"Set spec.model.version to one that exists, or put the files of version {name} there."
    for path in found:
        if path.name == name:
            exist, remedy = f"{name} is not a directory", f"Put the model's files into a directory named {name}."
        elif path.name.lstrip("0") == name and path.is_dir():
            exist = f"{path.name} is there, but Triton passes over version directories that begin with 0"
            remedy = f"Rename it to {name}."
    return PrepareError(Reason.NO_VERSIONS, f"{request.uri} has no version {name}: {exist}. {remedy}")


def _not_found(request: PrepareRequest) -> PrepareError:
    nearest = request.path
    while nearest != request.volume and not nearest.is_dir():
        nearest = nearest.parent
    if nearest == request.path or not nearest.is_dir():
        return PrepareError(
            Reason.NOT_FOUND,
            f"{request.uri} does not exist: nothing is mounted at {request.volume}. Correct spec.model.uri.",
        )
    missing = request.path.relative_to(nearest).parts[0]
    return PrepareError(
        Reason.NOT_FOUND,
        f"{request.uri} does not exist: {_uri(request, nearest)} has no {quoted(missing)}; it holds"
        f" {_names(_listed(nearest))}. Correct spec.model.uri, or put the model there.",
    )


def _is_version_directory(request: PrepareRequest, found: tuple[Path, ...]) -> bool:
    parent = request.path.parent
    if request.path == request.volume or not _is_version(request.path.name):
        return False
    return parent.name == request.model or (parent / CONFIG).is_file() or any(path.is_file() for path in found)


def _models_below(request: PrepareRequest, found: tuple[Path, ...]) -> list[Path]:
    models = []
    for path in found:
        try:
            if path.is_dir() and ((path / CONFIG).is_file() or _versions(_listed(path))):
                models.append(path)
        except PermissionError:  # a neighbour that is none of our business
            continue
    return sorted(models, key=lambda path: (path.name != request.model, path.name))


def _is_version(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None and int(name) < 2**63


def _versions(found: Iterable[Path]) -> list[int]:
    return sorted(int(path.name) for path in found if _is_version(path.name) and path.is_dir())


def _numbers(versions: list[int]) -> str:
    shown = ", ".join(str(version) for version in versions[-2 * _SHOWN :])
    return shown if len(versions) <= 2 * _SHOWN else f"{len(versions)}, the highest of them {shown}"


def _names(found: tuple[Path, ...]) -> str:
    if not found:
        return "nothing"
    shown = ", ".join(quoted(path.name) for path in found[:_SHOWN])
    return shown if len(found) <= _SHOWN else f"{shown} and {len(found) - _SHOWN} more"


def _uri(request: PrepareRequest, path: Path) -> str:
    """The uri by which a user would name a path of the volume."""
    scheme, _, after = request.uri.partition("://")
    root = f"{scheme}://{after.partition('/')[0]}"
    below = path.relative_to(request.volume).as_posix()
    return root if below == "." else f"{root}/{escaped(below)}"
