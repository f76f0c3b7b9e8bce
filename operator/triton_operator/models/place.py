"""Making the model repository from a mounted volume: one model with exactly one version, linked or copied.

It may be done again over what a former attempt left. Not for: what is fetched; that is `models.fetch`.
"""

import os
import shutil
from pathlib import Path

from triton_operator.models.config import merge_config
from triton_operator.models.model_config import ConfigSyntaxError
from triton_operator.models.request import Layout, ModelRequest
from triton_operator.models.source import CONFIG, Found, bad_config, check_program, find
from triton_operator.models.storage import storage_failures, within_volume
from triton_operator.models.survey import Survey, listed, surveyed
from triton_operator.models.volume import Volume


class MountedSource:
    """A model on a volume.

    A directory is linked: its version, its config.pbtxt unless that must change, and all else but other versions; the
    links name the source's mount path, where the Triton container must see the same volume. Flat files are copied.
    """

    def __init__(self, model: ModelRequest) -> None:
        self._model = model
        self._volume = Volume(model)

    async def survey(self) -> Survey:
        """Say what would be served, or why that cannot be."""
        found, files = await listed(self._model, self._volume)
        return surveyed(found.version, files, base=self._volume.path)

    def missing_bytes(self) -> int:
        """Disk space that `place` will take: next to nothing."""
        return 0

    async def place(self) -> None:
        """Make repository/<model>; see `sources.Source`."""
        model = self._model
        found = await find(model, self._volume)
        original = self._volume.config()
        config = merged(model, original, version=found.version)
        await check_program(model, self._volume, version=found.version, config=original)
        target = model.model_directory
        with storage_failures(model, target):
            remove(target)
            target.mkdir(parents=True)
            if model.layout is Layout.FLAT:
                self._copy_flat(found)
            else:
                self._link_directory(found)
            if config is not None:
                if config == original and model.layout is Layout.DIRECTORY:
                    (target / CONFIG).symlink_to(model.path / CONFIG)
                else:
                    (target / CONFIG).write_bytes(config)

    async def close(self) -> None:
        """Do nothing: nothing is open."""

    def _copy_flat(self, found: Found) -> None:
        version = self._model.model_directory / str(found.version)
        version.mkdir()
        for name in found.names.files:
            if name != CONFIG:
                shutil.copyfile(
                    within_volume(self._model, self._model.path / name), version / name, follow_symlinks=False
                )

    def _link_directory(self, found: Found) -> None:
        for name in (*found.names.directories, *found.names.files):
            if name == CONFIG or name in found.other_versions:
                continue
            within_volume(self._model, self._model.path / name)
            (self._model.model_directory / name).symlink_to(self._model.path / name)


def merged(model: ModelRequest, original: bytes | None, *, version: int) -> bytes | None:
    """Make a config.pbtxt fit for serving the model; see `config.merge_config`.

    Raises:
        PrepareError: BadConfig.
    """
    try:
        return merge_config(original, model=model.name, version=version, kind=model.kind)
    except ConfigSyntaxError as error:
        raise bad_config(model, error) from error


def remove(path: Path) -> None:
    """Remove what a former attempt left; links are removed, never followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
