"""Judging a source by its names: is it the model directory that the request means, and if not, which one would be.

Whatever it is, a volume or a remote, it is a `Tree` here. Not for: reading or fetching its files.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from triton_operator.models.failure import PrepareError, Reason, quoted
from triton_operator.models.model_config import ConfigSyntaxError, parse_model_config
from triton_operator.models.remote import Names, Tree, joined, uri_of
from triton_operator.models.request import Layout, ModelRequest

CONFIG = "config.pbtxt"
MAX_CONFIG_BYTES = 4 * 2**20

_VERSION = re.compile(r"[1-9][0-9]*")  # Triton passes over directories whose name begins with 0
_SHOWN = 5
_RIGHT = f"uri must be the model directory, which holds {CONFIG} and the version directories"
# What is wrong with a neighbour is none of our business.
_HIDDEN = {Reason.ACCESS_DENIED, Reason.BAD_LAYOUT, Reason.UNREADABLE}


@dataclass(frozen=True, slots=True)
class Found:
    """A model directory that is what the request means.

    Attributes:
        version: the one to serve.
        names: what lies directly in the model directory.
    """

    version: int
    names: Names

    @property
    def other_versions(self) -> frozenset[str]:
        """Names of the directories that are not served."""
        numbers = {name for name in self.names.directories if name.isascii() and name.isdigit()}
        return frozenset(numbers - {str(self.version)})


async def find(model: ModelRequest, tree: Tree) -> Found:
    """Look at a source.

    Args:
        model: what is wanted; without a version the highest one.
        tree: the source.

    Returns:
        The model directory, once it is clear that it is what the request means.

    Raises:
        PrepareError: NotFound, BadLayout or NoVersions, saying what would be right; or what the source raises.
    """
    names = await tree.names(tree.path)
    if names is None:
        raise await _not_found(model, tree)
    if model.layout is Layout.FLAT:
        _check_flat(model, names)
        return Found(model.version or 1, names)
    versions = versions_of(names)
    version = model.version if model.version is not None else max(versions, default=None)
    if version is None or version not in versions:
        raise await _wrong_directory(model, tree, names)
    return Found(version, names)


def check_config_size(model: ModelRequest, size: int) -> None:
    """Make sure that config.pbtxt is not something else.

    Args:
        model: the model.
        size: bytes of its config.pbtxt.

    Raises:
        PrepareError: BadConfig: it is too large.
    """
    if size > MAX_CONFIG_BYTES:
        raise PrepareError(
            Reason.BAD_CONFIG,
            f"{CONFIG} of {model.shown} is larger than {MAX_CONFIG_BYTES // 2**20} MiB: it must be a model's"
            " configuration in protobuf's text format.",
        )


async def check_program(model: ModelRequest, tree: Tree, *, version: int, config: bytes | None) -> None:
    """Make sure that a model of the Python backend has its program: without it that backend hangs instead of failing.

    Args:
        model: the model that is prepared.
        tree: its source.
        version: the version to serve.
        config: its config.pbtxt, if there is one.

    Raises:
        PrepareError: BadLayout, naming the file that is missing; BadConfig.
    """
    if config is None:
        return
    try:
        settings = parse_model_config(config.decode(errors="surrogateescape"))
    except ConfigSyntaxError as error:
        raise bad_config(model, error) from error
    if settings.backend != "python":
        return
    program = settings.default_model_filename or "model.py"
    directory = tree.path if model.layout is Layout.FLAT else joined(tree.path, str(version))
    above, _, name = joined(directory, posixpath.normpath(program)).rpartition("/")
    names = await tree.names(above)
    if names is None or name not in names.files:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f'{uri_of(tree, directory)} has no {quoted(program)}, which backend: "python" loads; it holds'
            f" {_shown(await tree.names(directory))}. Add it, or name another file by default_model_filename in"
            f" {CONFIG}.",
        )


def bad_config(model: ModelRequest, error: ConfigSyntaxError) -> PrepareError:
    """Say that a config.pbtxt cannot be read."""
    return PrepareError(
        Reason.BAD_CONFIG,
        f"{CONFIG} of {model.shown} cannot be read: {error}. Correct it; its fields are those of"
        " inference.ModelConfig in Triton's model_config.proto.",
    )


def versions_of(names: Names) -> list[int]:
    """The versions that Triton would see, in order."""
    return sorted(int(name) for name in names.directories if _is_version(name))


def _check_flat(model: ModelRequest, names: Names) -> None:
    for name in names.directories:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{model.uri} holds {quoted(name)}, which is not a file: only {CONFIG} and the files of one version can"
            " stand there.",
        )
    if not set(names.files) - {CONFIG}:
        what = f"only {CONFIG}" if names else "nothing"
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{model.uri} holds {what} and no file of the model. Add the model's files as further keys, for example:"
            " kubectl create configmap NAME --from-file=config.pbtxt --from-file=model.py",
        )


async def _wrong_directory(model: ModelRequest, tree: Tree, names: Names) -> PrepareError:
    if versions_of(names) or CONFIG in names.files:
        return _no_such_version(model, names)
    models = await _models_below(model, tree, names)
    above, _, last = tree.path.rpartition("/")
    if not models and await _is_version_directory(model, tree, names):
        return PrepareError(
            Reason.BAD_LAYOUT,
            f"{model.shown} is a version directory. {_RIGHT}: set spec.model.uri to {uri_of(tree, above)} and"
            f" spec.model.version to {last}.",
        )
    if models:
        shown = [uri_of(tree, path) for path in models[:_SHOWN]]
        more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
        sure = len(models) == 1 or posixpath.basename(models[0]) == model.name
        advice = f"set spec.model.uri to {shown[0]}" if sure else "set spec.model.uri to one of them"
        return PrepareError(
            Reason.BAD_LAYOUT,
            f"{model.shown} is a model repository, not a model directory; it holds {', '.join(shown)}{more}."
            f" {_RIGHT}: {advice}.",
        )
    return PrepareError(
        Reason.BAD_LAYOUT,
        f"{model.shown} holds neither {CONFIG} nor version directories; it holds {_shown(names)}. {_RIGHT}: put the"
        f" model's files into {uri_of(tree, joined(tree.path, str(model.version or 1)))}.",
    )


def _no_such_version(model: ModelRequest, names: Names) -> PrepareError:
    versions = versions_of(names)
    exist = f"there are {_numbers(versions)}" if versions else "there is no version directory"
    if model.version is None:
        return PrepareError(
            Reason.NO_VERSIONS,
            f"{model.shown} has no version: {exist}. Put the model's files into a directory named 1.",
        )
    name = str(model.version)
    remedy = f"Set spec.model.version to one that exists, or put the files of version {name} there."
    if name in names.files:
        exist, remedy = f"{name} is not a directory", f"Put the model's files into a directory named {name}."
    for other in names.directories:
        if other.lstrip("0") == name:
            exist = f"{other} is there, but Triton passes over version directories that begin with 0"
            remedy = f"Rename it to {name}."
    return PrepareError(Reason.NO_VERSIONS, f"{model.shown} has no version {name}: {exist}. {remedy}")


async def _not_found(model: ModelRequest, tree: Tree) -> PrepareError:
    missing, nearest, names = tree.path, tree.path, None
    while names is None and nearest:
        nearest, _, missing = nearest.rpartition("/")
        names = await _glance(tree, nearest)
    if not tree.path or names is None:
        if model.source is not None:
            return PrepareError(
                Reason.NOT_FOUND,
                f"{model.uri} does not exist: nothing is mounted at {model.volume}. Correct spec.model.uri.",
            )
        return PrepareError(
            Reason.NOT_FOUND, f"{model.shown} does not exist: {tree.root} holds nothing. Correct spec.model.uri."
        )
    if missing in names.files and joined(nearest, missing) == tree.path:
        return PrepareError(Reason.BAD_LAYOUT, f"{model.shown} is a file. {_RIGHT}: perhaps {uri_of(tree, nearest)}.")
    return PrepareError(
        Reason.NOT_FOUND,
        f"{model.shown} does not exist: {uri_of(tree, nearest)} has no {quoted(missing)}; it holds {_shown(names)}."
        " Correct spec.model.uri, or put the model there.",
    )


async def _is_version_directory(model: ModelRequest, tree: Tree, names: Names) -> bool:
    above, _, last = tree.path.rpartition("/")
    if not tree.path or not _is_version(last):
        return False
    if posixpath.basename(above) == model.name or names.files:
        return True
    beside = await _glance(tree, above)
    return beside is not None and CONFIG in beside.files


async def _models_below(model: ModelRequest, tree: Tree, names: Names) -> list[str]:
    models = []
    for name in sorted(names.directories, key=lambda name: (name != model.name, name)):
        path = joined(tree.path, name)
        found = await _glance(tree, path)
        if found is not None and (CONFIG in found.files or versions_of(found)):
            models.append(path)
    return models


async def _glance(tree: Tree, directory: str) -> Names | None:
    """Look at a directory that is not the one that was asked for; it may be hidden from us."""
    try:
        return await tree.names(directory)
    except PrepareError as error:
        if error.reason in _HIDDEN:
            return None
        raise


def _is_version(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None and int(name) < 2**63


def _numbers(versions: list[int]) -> str:
    shown = ", ".join(str(version) for version in versions[-2 * _SHOWN :])
    return shown if len(versions) <= 2 * _SHOWN else f"{len(versions)}, the highest of them {shown}"


def _shown(names: Names | None) -> str:
    if not names:
        return "nothing"
    everything: Iterable[str] = sorted((*names.directories, *names.files))
    shown = [quoted(name) for name in everything]
    listed = ", ".join(shown[:_SHOWN])
    return listed if len(shown) <= _SHOWN else f"{listed} and {len(shown) - _SHOWN} more"
