"""Whether a pod without a key is somebody at Google: what metadata servers answer, and where there is none."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from triton_operator.models import google
from triton_operator.models.credentials import Credentials
from triton_operator.models.google import why_nobody
from triton_operator.models.object_access import bucket_of
from triton_operator.models.request import Layout, ModelRequest


class Metadata(BaseHTTPRequestHandler):
    """Answers with the statuses of `answers`, the last one for ever."""

    answers: list[int]
    flavor: str
    asked: list[str]

    def do_GET(self) -> None:
        cls = type(self)
        cls.asked.append(f"{self.path} {self.headers['Metadata-Flavor']}")
        status = cls.answers.pop(0) if len(cls.answers) > 1 else cls.answers[0]
        self.send_response(status)
        self.send_header("Metadata-Flavor", cls.flavor)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[tuple[type[Metadata], str]]:
    """A metadata server and its host."""
    handler = type("Handler", (Metadata,), {"answers": [200], "flavor": "Google", "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Clock:
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def asked(host: str) -> str | None:
    clock = Clock()
    return why_nobody(host, seconds=10.0, clock=clock, sleep=clock.sleep)


def test_a_service_account_is_told(metadata: tuple[type[Metadata], str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, host = metadata
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert asked(host) is None
    assert server.asked == ["/computeMetadata/v1/instance/service-accounts/default/email Google"]


def test_a_machine_without_a_service_account_is_nobody(metadata: tuple[type[Metadata], str]) -> None:
    server, host = metadata
    server.answers = [404]
    assert "names no service account" in (asked(host) or "")


def test_a_server_that_is_not_googles_is_not_believed(metadata: tuple[type[Metadata], str]) -> None:
    server, host = metadata
    server.flavor = "Other"
    assert "names no service account" in (asked(host) or "")


def test_a_server_that_is_not_up_yet_is_asked_again(metadata: tuple[type[Metadata], str]) -> None:
    server, host = metadata
    server.answers = [503, 429, 200]
    assert asked(host) is None
    assert len(server.asked) == 3


def test_a_server_that_never_answers_is_given_up(metadata: tuple[type[Metadata], str]) -> None:
    server, host = metadata
    server.answers = [503]
    assert asked(host) == "no metadata server of Google answered within 10 s"
    assert asked("127.0.0.1:1") == "no metadata server of Google answered within 10 s"


def test_elsewhere_nobody_is_asked_twice() -> None:
    clock = Clock()
    # A name that no resolver may know (RFC 6761); without any resolver it is asked for until time is out.
    found = why_nobody("metadata.invalid", seconds=10.0, clock=clock, sleep=clock.sleep)
    assert found == "there is no metadata server of Google here" or clock.now >= 10.0


@pytest.mark.parametrize(("status", "access"), [(200, "with the workload identity"), (404, "without credentials")])
def test_a_bucket_without_a_key_is_opened_as_whom_the_metadata_server_names(
    metadata: tuple[type[Metadata], str], monkeypatch: pytest.MonkeyPatch, status: int, access: str
) -> None:
    server, host = metadata
    server.answers = [status]
    monkeypatch.setattr(google, "HOST", host)
    google.why_nobody_here.cache_clear()
    model = ModelRequest(
        name="m", version=1, uri="gs://b/m", source=None, repository="/models", layout=Layout.DIRECTORY
    )
    for endpoint in ({}, {"GOOGLE_ENDPOINT_URL": "https://storage-private.p.googleapis.com"}):
        assert access in bucket_of(model, Credentials(endpoint or None, {}))[0].access
    assert len(server.asked) == 1
    google.why_nobody_here.cache_clear()
