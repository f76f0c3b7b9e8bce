"""Models from the Hugging Face Hub, by its own client against a local server.

The Hub itself cannot be run here: a small server stands in for it, which answers the three calls as the Hub's API
documents them (list of a tree, resolve, and the errors with X-Error-Code), and leads LFS files on to another host.
"""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.prepare import prepare
from triton_operator.models.request import Layout, ModelRequest, PrepareRequest

pytestmark = pytest.mark.contract

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "acme/digits"
OLD = "digits"  # the Hub's first repositories belong to no organisation
TOKEN = "hf_s3cr3t"
BIG = bytes(range(256)) * 100_000
FILES = {
    "models/digits/config.pbtxt": b'backend: "onnxruntime"\n',
    "models/digits/6/model.onnx": b"six",
    "models/digits/7/model.onnx": BIG,
    "models/digits/labels.txt": b"cat\n",
    "README.md": b"# digits\n",
}
LFS = "models/digits/7/model.onnx"


def refused(status: int, code: str) -> web.Response:
    return web.json_response({"error": code}, status=status, headers={"X-Error-Code": code})


class FakeHub:
    """Answers as the Hub does; `sent` are the bytes that it gives for the file in LFS."""

    def __init__(self) -> None:
        self.sent = BIG
        self.elsewhere = ""
        self.tokens: list[tuple[str, str | None]] = []

    def check(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization")
        self.tokens.append((request.path.split("/")[1], token))
        name, commit = request.match_info["repository"], request.match_info["commit"]
        if name == "acme/gated" and token is not None:
            return refused(403, "GatedRepo")
        if name not in (REPOSITORY, OLD) or token != f"Bearer {TOKEN}":
            return refused(401 if token is None else 404, "RepoNotFound")
        return None if commit == COMMIT else refused(404, "RevisionNotFound")

    async def tree(self, request: web.Request) -> web.Response:
        if refusal := self.check(request):
            return refusal
        directory = request.match_info["path"].strip("/")
        below = f"{directory}/" if directory else ""
        recursive = request.query.get("recursive", "false").lower() == "true"
        entries: dict[str, dict[str, object]] = {}
        for path, content in FILES.items():
            if not path.startswith(below):
                continue
            inner = path[len(below) :].split("/")
            for depth in range(1, len(inner) if recursive else min(2, len(inner))):
                folder = below + "/".join(inner[:depth])
                entries[folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            if len(inner) == 1 or recursive:
                oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                entries[path] = {"type": "file", "oid": oid, "size": len(content), "path": path}
                if path == LFS:
                    entries[path]["lfs"] = {
                        "oid": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 134,
                    }
        return web.json_response(list(entries.values())) if entries else refused(404, "EntryNotFound")

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        if refusal := self.check(request):
            return refusal
        path = request.match_info["path"]
        if path == LFS:
            raise web.HTTPFound(f"{self.elsewhere}/cdn/{path}?Signature=s1gned")
        return web.Response(body=FILES[path], headers={"ETag": '"x"'})

    async def cdn(self, request: web.Request) -> web.Response:
        self.tokens.append(("cdn", request.headers.get("Authorization")))
        first = request.http_range.start or 0
        last = request.http_range.stop or len(self.sent)
        headers = {"Content-Range": f"bytes {first}-{last - 1}/{len(self.sent)}", "ETag": '"another"'}
        return web.Response(status=206, body=self.sent[first:last], headers=headers)


@pytest.fixture
async def hub() -> AsyncIterator[tuple[FakeHub, str]]:
    fake = FakeHub()
    application = web.Application()
    repository = r"{repository:[^/]+(?:/[^/]+)?}"
    application.router.add_get(f"/api/models/{repository}/tree/{{commit}}{{path:.*}}", fake.tree)
    application.router.add_get(f"/{repository}/resolve/{{commit}}/{{path:.*}}", fake.resolve)
    other = web.Application()
    other.router.add_get("/cdn/{path:.*}", fake.cdn)
    async with TestServer(application) as server, TestServer(other) as cdn:
        fake.elsewhere = str(cdn.make_url("")).rstrip("/")
        yield fake, str(server.make_url("")).rstrip("/")


async def fetch(uri: str, repository: Path, **secret: str) -> None:
    model = ModelRequest(
        name="digits", version=7, uri=uri, source=None, repository=str(repository), layout=Layout.DIRECTORY
    )
    request = PrepareRequest(repository=str(repository), models=(model,))
    await prepare(request, Credentials(secret, {}), volume_bytes=None)


@pytest.mark.parametrize("repository", [REPOSITORY, OLD])
async def test_a_model_at_a_commit_is_fetched_and_the_token_stays_with_the_hub(
    hub: tuple[FakeHub, str], tmp_path: Path, repository: str
) -> None:
    fake, endpoint = hub

    await fetch(f"hf://{repository}@{COMMIT}/models/digits", tmp_path, HF_TOKEN=TOKEN, HF_ENDPOINT=endpoint)

    found = {path.relative_to(tmp_path / "digits").as_posix() for path in (tmp_path / "digits").rglob("*.*")}
    assert found == {"config.pbtxt", "labels.txt", "7/model.onnx"}
    assert (tmp_path / "digits/7/model.onnx").read_bytes() == BIG
    assert {token for where, token in fake.tokens if where == "cdn"} == {None}
    assert {token for where, token in fake.tokens if where != "cdn"} == {f"Bearer {TOKEN}"}


async def test_other_bytes_than_the_checksum_of_lfs_says_are_refused(hub: tuple[FakeHub, str], tmp_path: Path) -> None:
    fake, endpoint = hub
    fake.sent = BIG[:-1] + b"\0"

    with pytest.raises(PrepareError, match="another SHA-256") as caught:
        await fetch(f"hf://{REPOSITORY}@{COMMIT}/models/digits", tmp_path, HF_TOKEN=TOKEN, HF_ENDPOINT=endpoint)
    assert caught.value.reason is Reason.SOURCE_CHANGED
    assert not (tmp_path / "digits").exists()


@pytest.mark.parametrize(
    ("uri", "token", "reason", "says"),
    [
        pytest.param(f"hf://{REPOSITORY}@{COMMIT}/x", None, Reason.NOT_FOUND, "HF_TOKEN", id="private, no token"),
        pytest.param(f"hf://acme/no@{COMMIT}/x", TOKEN, Reason.NOT_FOUND, "does not exist at", id="no repository"),
        pytest.param(f"hf://{REPOSITORY}@{'f' * 40}/x", TOKEN, Reason.NOT_FOUND, "has no commit", id="no commit"),
        pytest.param(f"hf://acme/gated@{COMMIT}/x", TOKEN, Reason.ACCESS_DENIED, "/acme/gated.", id="gated"),
        pytest.param(f"hf://{REPOSITORY}@{COMMIT}/models/x", TOKEN, Reason.NOT_FOUND, 'has no "x"', id="no path"),
        pytest.param(f"hf://{REPOSITORY}@{COMMIT}/models", TOKEN, Reason.BAD_LAYOUT, "model repository", id="above"),
        pytest.param(f"hf://{REPOSITORY}@main/models", TOKEN, Reason.BAD_LAYOUT, "branches and tags", id="branch"),
    ],
)
async def test_a_wrong_uri_is_told_with_the_remedy(
    hub: tuple[FakeHub, str], tmp_path: Path, uri: str, token: str | None, reason: Reason, says: str
) -> None:
    secret = {"HF_ENDPOINT": hub[1]} | ({"HF_TOKEN": token} if token else {})

    with pytest.raises(PrepareError) as caught:
        await fetch(uri, tmp_path, **secret)

    assert (caught.value.reason, says in caught.value.message) == (reason, True), caught.value.message
    assert TOKEN not in caught.value.message


def test_no_other_source_pays_for_the_clients_of_the_hub_and_of_the_web() -> None:
    program = (
        "import sys, triton_operator.models.prepare, triton_operator.models.resolve\n"
        "print([name for name in ('huggingface_hub', 'httpx2', 'aiohttp', 'obstore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_hub_that_is_not_there_is_worth_another_try(tmp_path: Path) -> None:
    from triton_operator.models.hub import hub as hub_of
    from triton_operator.models.remote import TransientError

    remote = hub_of(f"hf://{REPOSITORY}@{COMMIT}/x", Credentials({"HF_ENDPOINT": "http://127.0.0.1:1"}, {}))
    with pytest.raises(TransientError, match="cannot be reached"):
        await asyncio.wait_for(remote.names("x"), 60)
    await remote.close()
