"""Models in Google Cloud Storage and Azure Blob Storage, as far as their emulators go."""

import threading
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.sources.conftest import Server, free_port
from tests.contract.sources.emulators import ACCOUNT, KEY, Azure, Gcs, azurite

pytestmark = pytest.mark.contract

BIG = bytes(range(256)) * 100_000
MODEL = {
    "vision/resnet50/config.pbtxt": b'backend: "onnxruntime"\n',
    "vision/resnet50/labels.txt": b"cat\n",
    "vision/resnet50/6/model.onnx": b"six",
    "vision/resnet50/7/model.onnx": BIG,
    "vision/resnet50/7/shards/a b+ü.bin": b"shard",
}
FETCHED = {
    "resnet50/config.pbtxt": b'backend: "onnxruntime"\n',
    "resnet50/labels.txt": b"cat\n",
    "resnet50/7/model.onnx": BIG,
    "resnet50/7/shards/a b+ü.bin": b"shard",
}


@pytest.fixture(scope="module")
def gcs(programs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gcs]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    options = ("-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port))
    program = str(programs["fake-gcs-server"])
    server = Server((program, *options, "-public-host", address), address, tmp_path_factory.mktemp("gcs") / "log")
    server.start()
    store = Gcs(f"http://{address}")
    for bucket in ("models", "changing"):
        store.create(bucket)
    store.put(MODEL, bucket="models")
    yield store
    server.kill()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    port = free_port()
    options = ("--silent", "--inMemoryPersistence", "--disableTelemetry", "--blobHost", "127.0.0.1")
    command = (str(azurite()), *options, "--blobPort", str(port))
    server = Server(command, f"127.0.0.1:{port}", tmp_path_factory.mktemp("azure") / "log")
    server.start()
    store = Azure(f"http://127.0.0.1:{port}")
    for container in ("models", "changing", "open"):
        store.create(container, public=container == "open")
    for container in ("models", "open"):
        store.put(MODEL, container=container)
    yield store
    server.kill()


def secret_of(store: Azure) -> dict[str, str]:
    return {"AZURE_STORAGE_KEY": KEY, "AZURE_ENDPOINT_URL": f"{store.url}/{ACCOUNT}"}


def test_a_model_in_a_bucket_of_google_is_fetched(gcs: Gcs, pod: object) -> None:
    secret = {"GOOGLE_ENDPOINT_URL": gcs.url}
    found = pod.run("resolve", "gs://models/vision/resnet50", secret=secret, version=None)
    (model,) = found.answer["models"]

    done = pod.run("prepare", "gs://models/vision/resnet50", secret=secret, digest=model["digest"])

    assert model["version"] == 7
    assert done.code == 0, done.log
    assert pod.tree() == FETCHED


class Identified(BaseHTTPRequestHandler):
    """The metadata server of Google, and a bucket's server behind that keeps who asked it."""

    behind: str
    asked: list[str | None]

    def do_GET(self) -> None:
        if self.path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            assert self.headers["Metadata-Flavor"] == "Google"
            status, content = 200, b'{"access_token": "of-the-pod", "expires_in": 3600, "token_type": "Bearer"}'
            headers = {"Content-Type": "application/json"}
        else:
            self.asked.append(self.headers["Authorization"])
            sent = {name: value for name, value in self.headers.items() if name.lower() in ("range", "if-match")}
            with urllib.request.urlopen(urllib.request.Request(f"{self.behind}{self.path}", headers=sent)) as answer:
                status, content, headers = answer.status, answer.read(), dict(answer.headers)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_the_service_account_of_the_pod_opens_a_bucket_of_google(gcs: Gcs, pod: object) -> None:
    handler = type("Handler", (Identified,), {"behind": gcs.url, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"

    done = pod.run(
        "prepare",
        "gs://models/vision/resnet50",
        secret={"GOOGLE_ENDPOINT_URL": f"http://{address}"},
        environment={"GCE_METADATA_HOST": address},
    )

    server.shutdown()
    server.server_close()
    assert done.code == 0, done.log
    assert pod.tree() == FETCHED
    assert set(handler.asked) == {"Bearer of-the-pod"}


def test_a_model_in_a_container_of_azure_is_fetched(azure: Azure, pod: object) -> None:
    uri, secret = f"az://{ACCOUNT}/models/vision/resnet50", secret_of(azure)
    found = pod.run("resolve", uri, secret=secret, version=None)
    (model,) = found.answer["models"]

    done = pod.run("prepare", uri, secret=secret, digest=model["digest"])

    assert model["version"] == 7
    assert done.code == 0, done.log
    assert pod.tree() == FETCHED


def test_an_open_container_needs_no_credentials(azure: Azure, pod: object) -> None:
    secret = {"AZURE_ENDPOINT_URL": f"{azure.url}/{ACCOUNT}"}

    assert pod.run("prepare", f"az://{ACCOUNT}/open/vision/resnet50", secret=secret).code == 0


@pytest.mark.parametrize(
    ("uri", "changes", "reason", "words"),
    [
        pytest.param("nothing/a", {}, "NotFound", "has no container nothing", id="no container"),
        pytest.param("models/vision/a", {}, "NotFound", '/models/vision has no "a"', id="no prefix"),
        pytest.param("models/a", {"AZURE_STORAGE_KEY": ""}, "AccessDenied", "without credentials", id="anonymous"),
        pytest.param("models/a", {"AZURE_STORAGE_KEY": "a2V5"}, "AccessDenied", "AZURE_STORAGE_KEY", id="wrong key"),
    ],
)
def test_what_azure_refuses_is_said(
    azure: Azure, pod: object, uri: str, changes: dict[str, str], reason: str, words: str
) -> None:
    done = pod.run("prepare", f"az://{ACCOUNT}/{uri}", secret=secret_of(azure) | changes)

    assert done.reason == reason
    assert words in done.message
    assert KEY not in done.log


def test_an_object_that_was_overwritten_is_not_served(gcs: Gcs, azure: Azure, pod: object) -> None:
    before, behind = {"m/1/model.onnx": b"before"}, {"m/1/model.onnx": b"behind"}
    google = ("gs://changing/m", {"GOOGLE_ENDPOINT_URL": gcs.url})
    microsoft = (f"az://{ACCOUNT}/changing/m", secret_of(azure))
    gcs.put(before, bucket="changing")
    azure.put(before, container="changing")
    digests = [
        pod.run("resolve", uri, secret=secret, version=1).answer["models"][0]["digest"]
        for uri, secret in (google, microsoft)
    ]
    gcs.put(behind, bucket="changing")
    azure.put(behind, container="changing")

    for (uri, secret), digest in zip((google, microsoft), digests, strict=True):
        assert pod.run("prepare", uri, secret=secret, version=1, digest=digest).reason == "SourceChanged"
    assert pod.tree() == {}
