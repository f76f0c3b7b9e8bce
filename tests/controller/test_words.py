"""What is taken from a pod's log when it can be had, and when it cannot; a small HTTP server is the API server."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from triton_operator.api import names
from triton_operator.controller.words import Words
from triton_operator.edges.kubernetes import Kube

CAUSE = "failed to load 'adder' version 1: Internal: RuntimeError: the weights are missing"
POD: dict[str, Any] = {
    "metadata": {
        "namespace": "models",
        "name": "adder-1",
        "uid": "u",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {names.LABEL_REVISION: "adder-a"},
    },
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": names.CONTAINER_TRITON,
                "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "message": "what the kubelet kept"}},
            }
        ],
    },
}


class Nobody:
    def called(self, *, verb: str, code: str) -> None:
        pass


@pytest.fixture
def logs() -> list[str]:
    return []


@pytest.fixture
async def words(logs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Words]:
    async def answer(request: web.Request) -> web.Response:
        assert request.path == "/api/v1/namespaces/models/pods/adder-1/log"
        return web.Response(text=logs.pop(0))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with Kube.connect(concurrency=2, observer=Nobody()) as kube:
        yield Words(kube)
    await runner.cleanup()


async def told(words: Words) -> str:
    (pod,) = await words.add((copy.deepcopy(POD),))
    return str(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"])


async def test_the_cause_is_taken_from_the_log_which_is_read_once(words: Words, logs: list[str]) -> None:
    logs.append(f'2026-01-01T00:00:00Z E 18 model_lifecycle.cc:642] "{CAUSE}"\nerror: creating server\n')
    assert await told(words) == CAUSE
    assert await told(words) == CAUSE


async def test_a_log_that_has_just_gone_is_asked_for_again(words: Words, logs: list[str]) -> None:
    logs.append("unable to retrieve container logs for containerd://cd26c9e2")
    assert await told(words) == "what the kubelet kept"
    logs.append(f'2026-01-01T00:00:00Z E 18 model_lifecycle.cc:642] "{CAUSE}"\n')
    assert await told(words) == CAUSE
