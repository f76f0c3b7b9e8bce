"""Making the model repository: one model with exactly one version, linked to its volume or copied from it.

It may be done again over what a former attempt left. Not for: judging the source; that is `models.source`.
"""

import os
import shutil
from pathlib import Path

from triton_operator.models.config import merge_config
from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.model_config import ConfigSyntaxError
from triton_operator.models.request import Layout, PrepareRequest
from triton_operator.models.source import CONFIG, check_program, entries, read_config
from triton_operator.models.storage import storage_failures, within_volume


def place(request: PrepareRequest) -> None:
    """Make repository/<model> from the source.

    A directory is linked: its version, its config.pbtxt unless that must change, and all else but other versions. The
    links name the source's mount path, where the Triton container must see the same volume. Flat files are copied.

    Args:
        request: the model to prepare.

    Raises:
        PrepareError: the source is not fit, or reading or writing failed.
    """
    found = entries(request)
    original = read_config(request)
    config = _merged(request, original)
    if original is not None:
        check_program(request, original)
    target = request.model_directory
    with storage_failures(request, target):
        _remove(target)
        target.mkdir(parents=True)
        if request.layout is Layout.FLAT:
            _copy_flat(request, found)
        else:
            _link_directory(request, found)
        if config is not None:
            if config == original and request.layout is Layout.DIRECTORY:
                (target / CONFIG).symlink_to(request.path / CONFIG)
            else:
                (target / CONFIG).write_bytes(config)


def _merged(request: PrepareRequest, original: bytes | None) -> bytes | None:
    try:
        return merge_config(original, model=request.model, version=request.version, gpu=request.gpu)
    except ConfigSyntaxError as error:
        raise PrepareError(
            Reason.BAD_CONFIG,
            f"{CONFIG} of {request.uri} cannot be read: {error}. Correct it; its fields are those of"
            " inference.ModelConfig in Triton's model_config.proto.",
        ) from error


def _copy_flat(request: PrepareRequest, found: tuple[Path, ...]) -> None:
    version = request.model_directory / str(request.version)
    version.mkdir()
    for path in found:
        if path.name != CONFIG:
            shutil.copyfile(within_volume(request, path), version / path.name, follow_symlinks=False)


def _link_directory(request: PrepareRequest, found: tuple[Path, ...]) -> None:
    for path in found:
        other_version = path.name.isascii() and path.name.isdigit() and path.name != str(request.version)
        if path.name == CONFIG or other_version:
            continue
        within_volume(request, path)
        (request.model_directory / path.name).symlink_to(path)


def _remove(path: Path) -> None:
    """Remove what a former attempt left; links are removed, never followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
