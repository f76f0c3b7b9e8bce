"""Write a `docker save` archive of images made of single files, without an engine.

Not for: images with a Containerfile; an engine builds those.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO


@dataclass(frozen=True, slots=True)
class FileImage:
    """One image: its name, the files in it (absolute path inside → source on this machine) and how it starts."""

    name: str
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    path: str = "/usr/local/bin"
    entrypoint: tuple[str, ...] = ()
    user: str = ""


def write_archive(target: Path, images: Iterable[FileImage]) -> None:
    """Write images into one archive that `docker load`, podman and `ctr images import` read."""
    manifest = []
    with tarfile.open(target, "w") as archive:
        for image in images:
            with tempfile.TemporaryFile(dir=target.parent) as layer:
                _write_layer(layer, image)
                layer_digest = _sha256(layer)
                config = json.dumps(_config(image, layer_digest), sort_keys=True).encode()
                config_name = f"{hashlib.sha256(config).hexdigest()}.json"
                _add(archive, f"{layer_digest}/layer.tar", layer)
                _add(archive, config_name, io.BytesIO(config))
            manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": [f"{layer_digest}/layer.tar"]})
        _add(archive, "manifest.json", io.BytesIO(json.dumps(manifest).encode()))


def _write_layer(layer: IO[bytes], image: FileImage) -> None:
    with tarfile.open(fileobj=layer, mode="w") as tar:
        parents = {parent for path in (*image.files, *image.links) for parent in PurePosixPath(path).parents}
        for parent in sorted(parents - {PurePosixPath("/")}):
            entry = tarfile.TarInfo(str(parent).lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, source in sorted(image.files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                tar.addfile(entry, content)
        for path, goal in sorted(image.links.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, goal, 0o777
            tar.addfile(entry)


def _config(image: FileImage, layer_digest: str) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": [f"PATH={image.path}"],
            "Entrypoint": list(image.entrypoint) or None,
            "User": image.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created_by": "triton-operator cluster tooling"}],
    }


def _sha256(stream: IO[bytes]) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    entry.mode = 0o644
    archive.addfile(entry, content)
