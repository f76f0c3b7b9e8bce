"""Build the images that run in the cluster: a base of Debian and Python, Triton for CPUs, and the operator.

Not for: loading them into nodes (`kind`).
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import debian
from cluster.cache import Cache, files_below, key
from cluster.engine import Engine
from cluster.processes import run
from cluster.progress import step

REPOSITORY = Path(__file__).parent.parent
TRITON = Path(__file__).parent / "images" / "triton"
TRITON_VERSION = "24.10"
# What the recipes start FROM unless they are told otherwise.
OFFICIAL_BASE = "docker.io/library/python:3.11-slim-bookworm"
S3_REPOSITORY = "localhost/versitygw"
OUR_REPOSITORIES = (
    *(f"localhost/triton-{name}" for name in ("operator", "operator-base", "operator-node", "cpu")),
    "localhost/envoy",
    "localhost/envoy-gateway",
    "localhost/prometheus",
    S3_REPOSITORY,
)
OPERATOR_INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
    "requirements-build.lock",
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image by its two names: one says the content, the other stays the same from build to build."""

    by_content: str
    stable: str


@dataclass(frozen=True, slots=True)
class Images:
    """The two images that demo and tests run."""

    operator: Image
    triton: Image


def build_base_image(cache: Cache, engine: Engine) -> str | None:
    """The image that the recipes start FROM; the lock must be held.

    Returns:
        The name of a base built here from Debian packages, or None where the official image can be had.
    """
    if engine.can_have(OFFICIAL_BASE):
        return None
    root = debian.root_folder(cache, "python", debian.BASE_PACKAGES, about_seconds=75)
    name = f"localhost/triton-operator-base:{root.name.rsplit('-', 1)[-1]}"
    if not engine.has_image(name):
        with step("making the base image", about_seconds=10):
            engine.import_folder(root, name)
        engine.remove_superseded(name.split(":")[0], keep=name)
    return name


def triton_image(base: str | None) -> Image:
    """The names of the Triton image for CPUs."""
    content = key(TRITON, files_below(TRITON), base or "")
    return Image(f"localhost/triton-cpu:{TRITON_VERSION}-{content}", f"localhost/triton-cpu:{TRITON_VERSION}")


def operator_image(base: str | None) -> Image:
    """The names of the operator's image as the checkout is now."""
    files = [REPOSITORY / name for name in OPERATOR_INPUTS]
    files += [path for path in files_below(REPOSITORY / "operator") if path.suffix != ".pyc"]
    content = key(REPOSITORY, [path for path in files if path.exists()], base or "")
    return Image(f"localhost/triton-operator:{content}", "localhost/triton-operator:dev")


def build_triton_image(engine: Engine, base: str | None) -> Image:
    """Build the Triton image when the engine has none of this content; the cache's lock must be held."""
    image = triton_image(base)
    if not engine.has_image(image.by_content):
        with step("building the Triton image", about_seconds=60):
            _build(engine, TRITON, TRITON / "Containerfile", image, base)
    return image


def build_operator_image(engine: Engine, base: str | None) -> Image:
    """Build the operator's image when the engine has none of this content; the cache's lock must be held."""
    image = operator_image(base)
    if not engine.has_image(image.by_content):
        with step("building the operator image", about_seconds=60):
            _build(engine, REPOSITORY, REPOSITORY / "Dockerfile", image, base)
    return image


def _build(engine: Engine, context: Path, recipe: Path, image: Image, base: str | None) -> None:
    with pip_secrets() as secrets:
        engine.build(
            context,
            containerfile=recipe,
            tags=[image.by_content, image.stable],
            arguments={"BASE": base} if base else {},
            secrets=secrets,
        )
    engine.remove_superseded(image.by_content.split(":")[0], keep=image.by_content)


@contextmanager
def pip_secrets() -> Iterator[dict[str, Path]]:
    """This machine's settings for pip, so that a build reaches what this machine reaches.

    Yields:
        Files by the id under which the recipes mount them: `pip` (a pip.conf) and perhaps `ca` (a CA bundle).
    """
    settings = pip_settings(run(["python3", "-m", "pip", "config", "list"]))
    folder = Path(tempfile.mkdtemp(prefix="triton-operator-"))
    try:
        secrets = {}
        if "cert" in settings:
            secrets["ca"] = Path(settings["cert"])
            settings["cert"] = "/run/ca.crt"
        conf = folder / "pip.conf"
        conf.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items())))
        yield {"pip": conf, **secrets}
    finally:
        shutil.rmtree(folder)


def pip_settings(listed: str) -> dict[str, str]:
    """Those of pip's settings that say how to reach packages, out of what `pip config list` prints.

    The environment (`:env:`) comes before files, as for pip. Folders of this machine are left out.
    """
    found: dict[str, str] = {}
    wanted = ("cert", "extra-index-url", "index-url", "proxy", "retries", "timeout", "default-timeout", "trusted-host")
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        match = re.match(r"(?::env:|global|install)\.([a-z-]+)='(.*)'$", line.strip())
        if match and match[1] in wanted:
            found[match[1]] = match[2].replace("\\n", " ")
    return found
