"""Which source a uri means, and what each can do for the programs: say what it holds, and place it in the repository.

Not for: how a source is read; that is `models.place` for volumes, `models.fetched` for what is fetched file by file.
"""

from typing import Protocol

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.fetched import FetchedSource
from triton_operator.models.place import MountedSource
from triton_operator.models.remote import Remote
from triton_operator.models.request import ModelRequest
from triton_operator.models.survey import Survey

_WEB = ("http", "https")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


class Source(Protocol):
    """One model at its source. Every method may raise PrepareError, saying what to do.

    `survey` comes first, then `missing_bytes` and `place`; at last `close`.
    """

    async def survey(self) -> Survey:
        """List what would be served, without fetching it; of a request without a version the highest one."""

    def missing_bytes(self) -> int:
        """How many bytes of the repository's disk `place` will take."""

    async def place(self) -> None:
        """Make repository/<model> with exactly the files of the survey; it appears whole or not at all."""

    async def close(self) -> None:
        """Let go of what is open."""


def source_of(model: ModelRequest, credentials: Credentials, *, volume_bytes: int | None) -> Source:
    """Choose the source of a model by the scheme of its uri.

    Args:
        model: the model.
        credentials: what the user gave for it.
        volume_bytes: size limit of the repository's volume; None if it has none but the disk's.

    Returns:
        The source; nothing has been asked of it yet.

    Raises:
        PrepareError: BadRequest for a scheme that is not known, BadCredentials.
    """
    if model.source is not None:
        return MountedSource(model)
    if model.scheme in _WEB and model.shown.endswith(ARCHIVES):
        from triton_operator.models.archived import ArchivedSource

        return ArchivedSource(model, credentials, volume_bytes=volume_bytes)
    return FetchedSource(model, remote_of(model, credentials))


def remote_of(model: ModelRequest, credentials: Credentials) -> Remote:
    """Choose how a model is fetched by the scheme of its uri; what the scheme needs is imported only here."""
    if model.scheme in ("s3", "gs", "az"):
        from triton_operator.models.objects import object_store

        return object_store(model, credentials)
    if model.scheme in _WEB:
        from triton_operator.models.index import web_index

        return web_index(model.uri, credentials)
    if model.scheme == "hf":
        from triton_operator.models.hub import hub

        return hub(model.uri, credentials)
    raise PrepareError(
        Reason.BAD_REQUEST,
        f"{model.shown} cannot be fetched: {model.scheme}:// is not known to this version. Known are s3://, gs://,"
        " az://, https://, http://, hf://, pvc:// and configmap://.",
    )
