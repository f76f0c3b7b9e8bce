"""The Hugging Face Hub or a mirror: hf://ORG/REPO@COMMIT/PATH, listed by huggingface_hub, read by our own client.

A commit never changes, so that its files need no comparison with what was listed; those in LFS have a checksum.
Not for: branches and tags, which move.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from yarl import URL

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, escaped
from triton_operator.models.index import origin_of
from triton_operator.models.remote import Names, SourceFile, TransientError, joined
from triton_operator.models.web import Web

KEYS = ("HF_TOKEN", "HF_ENDPOINT")

_ENDPOINT = "https://huggingface.co"
_URI = re.compile(r"hf://((?:[A-Za-z0-9._-]+/)?[A-Za-z0-9._-]+)@([0-9a-f]{40})(?:/(.*))?")
_TRANSIENT = {408, 425, 429}


def hub(uri: str, credentials: Credentials) -> "Hub":
    """Make the remote of a model on the Hub.

    Args:
        uri: hf://ORG/REPO@COMMIT/PATH; the Hub's first repositories have no ORG.
        credentials: what the user gave for it.

    Raises:
        PrepareError: BadLayout for another uri, BadCredentials.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{escaped(uri)} is not hf://ORG/REPO@COMMIT/PATH with a commit of 40 hexadecimal digits: branches and tags"
            " move. The commit stands on the repository's page under Files, History.",
        )
    credentials.check(uri=uri, keys=KEYS)
    origin, prefix = origin_of(credentials.get("HF_ENDPOINT") or _ENDPOINT)
    token = credentials.get("HF_TOKEN")
    web = Web(authorization=f"Bearer {token}" if token else None, certificates=credentials.certificates)
    endpoint = f"{origin}/{prefix}".rstrip("/")
    path = (parts[3] or "").strip("/")
    return Hub(web, endpoint=endpoint, token=token, repository=parts[1], commit=parts[2], path=path)


class Hub:
    """The `Remote` of a repository at a commit.

    Args:
        web: the client for files.
        endpoint: of the Hub or its mirror.
        token: of a user; None for none.
        repository: ORG/REPO, or REPO.
        commit: 40 hexadecimal digits.
        path: the model directory in it.
    """

    def __init__(self, web: Web, *, endpoint: str, token: str | None, repository: str, commit: str, path: str) -> None:
        self._web = web
        self._endpoint = endpoint
        self._has_token = token is not None
        self._api = HfApi(endpoint=endpoint, token=token or False)
        self._repository = repository
        self._commit = commit
        self.root = f"hf://{repository}@{commit}"
        self.path = path

    async def names(self, directory: str) -> Names | None:
        """List what lies directly in a directory; None if there is none."""
        found = await self._tree(directory, recursive=False)
        if found is None:
            return None
        names = {entry.path.rpartition("/")[2]: isinstance(entry, RepoFolder) for entry in found}
        return Names(
            tuple(sorted(name for name, is_directory in names.items() if is_directory)),
            tuple(sorted(name for name, is_directory in names.items() if not is_directory)),
        )

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all files below a directory."""
        found = list(await self._tree(directory, recursive=False) or ())
        hidden = {joined(directory, name) for name in without}
        for entry in list(found):
            if isinstance(entry, RepoFolder) and entry.path not in hidden:
                found += await self._tree(entry.path, recursive=True) or ()
        return tuple(
            sorted((_file(entry) for entry in found if isinstance(entry, RepoFile)), key=lambda file: file.path)
        )

    def read(self, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """Read a range of a file; the Hub leads on to where the bytes are."""
        url = hf_hub_url(self._repository, file.path, revision=self._commit, endpoint=self._endpoint)
        return self._web.read(URL(url, encoded=True), file, start=start, end=end, tag=None)

    async def close(self) -> None:
        """Close all connections."""
        await self._web.close()

    async def _tree(self, directory: str, *, recursive: bool) -> Sequence[RepoFile | RepoFolder] | None:
        def listed() -> list[RepoFile | RepoFolder]:
            return list(
                self._api.list_repo_tree(
                    self._repository, directory or None, recursive=recursive, revision=self._commit, repo_type="model"
                )
            )

        try:
            return await asyncio.to_thread(listed)
        except EntryNotFoundError:
            return None
        except GatedRepoError as error:
            remedy = (
                "Accept its conditions"
                if self._has_token
                else "Put a token as HF_TOKEN into the Secret of spec.model.credentials, and accept the conditions"
            )
            raise PrepareError(
                Reason.ACCESS_DENIED,
                f"{self.root} is gated. {remedy} as that user at {self._endpoint}/{self._repository}.",
            ) from error
        except RepositoryNotFoundError as error:
            hint = (
                "" if self._has_token else " If it is private, name a Secret with HF_TOKEN in spec.model.credentials."
            )
            raise PrepareError(
                Reason.NOT_FOUND,
                f"{self.root} does not exist at {self._endpoint}, or the token may not see it. Correct"
                f" spec.model.uri.{hint}",
            ) from error
        except RevisionNotFoundError as error:
            raise PrepareError(
                Reason.NOT_FOUND,
                f"{self._repository} has no commit {self._commit}. Correct spec.model.uri; the commits are at"
                f" {self._endpoint}/{self._repository}/commits/main.",
            ) from error
        except HfHubHTTPError as error:
            raise self._refusal(error.response.status_code) from error
        except httpx2.HTTPError as error:
            raise TransientError(
                f"{self._endpoint} cannot be reached for {self.root} ({type(error).__name__}): see HF_ENDPOINT, the"
                " proxies and ca.crt in the Secret of spec.model.credentials."
            ) from error

    def _refusal(self, status: int) -> Exception:
        where = f"{self._endpoint} answers {status} for {self.root}"
        if status >= 500 or status in _TRANSIENT:
            return TransientError(f"{where}: see whether the Hub is well.")
        if status in (401, 403):
            return PrepareError(
                Reason.ACCESS_DENIED,
                f"{where}. Put a token that may read it as HF_TOKEN into the Secret of spec.model.credentials.",
            )
        return PrepareError(Reason.STORAGE_ERROR, f"{where}. Correct spec.model.uri or HF_ENDPOINT.")


def _file(entry: RepoFile) -> SourceFile:
    if entry.lfs is not None:
        return SourceFile(entry.path, entry.lfs.size, entry.lfs.sha256, entry.lfs.sha256)
    return SourceFile(entry.path, entry.size, entry.blob_id)
