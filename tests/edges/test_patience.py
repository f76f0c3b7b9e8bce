"""The client against answers that a healthy API server does not give on request: a small HTTP server gives them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from triton_operator.api import names
from triton_operator.edges import kubernetes
from triton_operator.edges.errors import ApiError, Forbidden
from triton_operator.edges.kubernetes import Kube

CONFIG_MAP: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "a"}}


class Script:
    """Answers requests one after the other as it was told, the last answer for ever."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.requests: list[web.Request] = []
        self.delay = 0.0
        self.in_flight = 0
        self.most_in_flight = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.in_flight -= 1
        told = self.answers[min(len(self.requests), len(self.answers)) - 1]
        return web.Response(body=told.body, status=told.status, headers=told.headers)


def refusal(code: int, reason: str, message: str = "no", **headers: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code, headers={key.replace("_", "-"): v for key, v in headers.items()})


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def port(script: Script) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def client(port: int, calls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    path = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with Kube.connect(concurrency=3, observer=calls) as connected:
        yield connected


async def test_a_busy_server_is_asked_again_when_it_says(client: Kube, script: Script, calls: Any) -> None:
    script.answers = [
        refusal(429, "TooManyRequests", Retry_After="1"),
        refusal(503, "ServiceUnavailable", Retry_After="1"),
        web.json_response(CONFIG_MAP),
    ]

    assert await client.apply(CONFIG_MAP, kind=names.CONFIG_MAP) == CONFIG_MAP
    assert calls.seen == [("patch", "429"), ("patch", "503"), ("patch", "200")]


async def test_patience_with_a_busy_server_ends(
    client: Kube, script: Script, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "PATIENCE_SECONDS", 1.5)
    script.answers = [refusal(429, "TooManyRequests", Retry_After="1")]

    with pytest.raises(ApiError) as caught:
        await client.get(names.CONFIG_MAP, namespace="ns", name="a")

    assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
    assert len(calls.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(429, "TooManyRequests", Retry_After="3600"), id="longer than our patience"),
        pytest.param(refusal(503, "ServiceUnavailable"), id="without a time"),
        pytest.param(refusal(500, "InternalError"), id="another trouble"),
    ],
)
async def test_other_trouble_is_the_callers(client: Kube, script: Script, calls: Any, answer: web.Response) -> None:
    script.answers = [answer]

    with pytest.raises(ApiError):
        await client.get(names.CONFIG_MAP, namespace="ns", name="a")

    assert len(calls.seen) == 1


async def test_a_list_whose_pages_expire_half_way_begins_again(client: Kube, script: Script) -> None:
    def page(name: str, more: str) -> web.Response:
        item = {"metadata": {"name": name}}
        return web.json_response({"metadata": {"resourceVersion": "7", "continue": more}, "items": [item]})

    script.answers = [page("old", "token"), refusal(410, "Expired"), page("new", "")]

    items = await client.list(names.CONFIG_MAP, namespace="ns")

    assert [item["metadata"]["name"] for item in items] == ["new"]
    assert [request.query.get("limit") for request in script.requests] == ["100", "100", None]


async def test_no_more_requests_are_in_flight_than_allowed(client: Kube, script: Script) -> None:
    script.answers = [web.json_response(CONFIG_MAP)]
    script.delay = 0.01

    await asyncio.gather(*(client.get(names.CONFIG_MAP, namespace="ns", name="a") for _ in range(20)))

    assert script.most_in_flight == 3


async def test_a_server_that_does_not_answer_in_time_is_an_error(
    client: Kube, script: Script, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "CALL_SECONDS", 0.1)
    script.answers = [web.json_response(CONFIG_MAP)]
    script.delay = 60

    with pytest.raises(ApiError, match=r"within 0\.1 s"):
        await client.get(names.CONFIG_MAP, namespace="ns", name="a")

    assert calls.seen == [("get", "timeout")]


async def test_a_server_that_is_away_is_an_error(calls: Any, client: Kube, script: Script) -> None:
    client._client.configuration.host = "http://127.0.0.1:1"

    with pytest.raises(ApiError, match="cannot be reached"):
        await client.get(names.CONFIG_MAP, namespace="ns", name="a")

    assert calls.seen == [("get", "unreachable")]


async def test_an_answer_that_is_no_status_object_is_still_told(client: Kube, script: Script) -> None:
    script.answers = [web.Response(text="<html>a proxy says no</html>", status=403)]

    with pytest.raises(Forbidden, match="a proxy says no"):
        await client.get(names.CONFIG_MAP, namespace="ns", name="a")


async def test_requests_carry_the_name_the_token_and_hostile_names_quoted(client: Kube, script: Script) -> None:
    script.answers = [web.json_response(CONFIG_MAP)]

    await client.get(names.CONFIG_MAP, namespace="ns", name="a/../../secrets?x#y")

    (request,) = script.requests
    assert request.headers["User-Agent"].startswith("triton-operator/")
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert request.raw_path == "/api/v1/namespaces/ns/configmaps/a%2F..%2F..%2Fsecrets%3Fx%23y"


async def test_the_end_of_a_log_is_what_is_returned(client: Kube, script: Script) -> None:
    script.answers = [web.Response(body="first\nlät".encode() + b"\xff\n")]

    text = await client.log("ns", "pod", "triton", previous=True, limit_bytes=6)

    assert text == "lät\ufffd\n"
    assert script.requests[0].query["previous"] == "true"


async def test_a_container_without_a_log_yet_has_an_empty_one(client: Kube, script: Script) -> None:
    script.answers = [refusal(400, "BadRequest", "container is waiting to start: ContainerCreating")]

    assert await client.log("ns", "pod", "triton", previous=False, limit_bytes=100) == ""


@pytest.mark.parametrize(
    ("type_", "changed"),
    [
        pytest.param("MODIFIED", True, id="changed"),
        pytest.param("DELETED", True, id="gone"),
        # Who took it for a change would look again at once, and be answered the same, without end.
        pytest.param("ERROR", False, id="too old to watch from"),
    ],
)
async def test_a_watch_that_cannot_tell_of_changes_tells_of_none(
    client: Kube, script: Script, type_: str, changed: bool
) -> None:
    expired = {"kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old resource version: 1 (9)"}
    line = {"type": type_, "object": expired if type_ == "ERROR" else CONFIG_MAP}
    script.answers = [web.Response(text=json.dumps(line) + "\n", content_type="application/json")]

    assert await client.changed(names.CONFIG_MAP, namespace="ns", name="a", since="1", within_seconds=30) == changed
