"""What would be served of a model: the version, its files and their digest, from a listing alone.

Not for: fetching or linking.
"""

import hashlib
from dataclasses import dataclass

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.remote import SourceFile, Tree
from triton_operator.models.request import ModelRequest
from triton_operator.models.source import Found, find


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source holds of a model that would be served.

    Attributes:
        version: the version to serve.
        digest: "sha256:" and 64 hexadecimal digits; another one means other bytes.
        size: bytes that would be served.
        files: how many files that is.
    """

    version: int
    digest: str
    size: int
    files: int


async def listed(model: ModelRequest, tree: Tree) -> tuple[Found, tuple[SourceFile, ...]]:
    """Find the model directory and what would be served of it.

    Args:
        model: what is wanted.
        tree: its source.

    Returns:
        The model directory, and the files of the version and of everything in the directory that is no other version.

    Raises:
        PrepareError: as `source.find`, or as the source does.
    """
    found = await find(model, tree)
    return found, await tree.files(tree.path, without=found.other_versions)


def surveyed(version: int, files: tuple[SourceFile, ...], *, base: str) -> Survey:
    """Sum up what would be served.

    Args:
        version: the version to serve.
        files: what would be served.
        base: the model directory; the digest has the paths below it.
    """
    start = len(base) + 1 if base else 0
    lines = sorted(f"{file.path[start:]}\0{file.size}\0{file.tag}\n" for file in files)
    digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape"))
    return Survey(version, f"sha256:{digest.hexdigest()}", sum(file.size for file in files), len(files))


def check_digest(model: ModelRequest, survey: Survey) -> None:
    """Make sure that a source still holds what its revision was made of.

    Args:
        model: the request, with the digest that was recorded.
        survey: what the source holds now.

    Raises:
        PrepareError: SourceChanged.
    """
    if model.digest is None or model.digest == survey.digest:
        return
    raise PrepareError(
        Reason.SOURCE_CHANGED,
        f"{model.shown} was overwritten: version {survey.version} and the files beside it are now {survey.files} files"
        f" of {survey.size} bytes with digest {survey.digest}, not {model.digest}, of which this revision was made."
        f" {REMEDY}",
    )


REMEDY = (
    "Put the former files back, or take the new ones by annotating the service with triton-operator.dev/refresh;"
    " a new version directory for new files avoids this."
)
