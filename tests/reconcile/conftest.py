"""The operator as a process of its own against a real API server; its pods fit no node, so that nothing runs."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from cluster.processes import bound_to_us
from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.edges.kubernetes import Kube, Object

SECONDS = 30
ASKS_OFTEN = """
import sys
from triton_operator.__main__ import main
sys.exit(main(sys.argv[2:], kinds_seconds=float(sys.argv[1])))
"""
_NUMBER = re.compile(r'^triton_operator_api_calls_total\{code="(\d+)",verb="(\w+)"\} (\S+)$', re.MULTILINE)


class Operator:
    """A process of the operator that watches one namespace; with `kinds_seconds` it asks as often what is served."""

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        namespace: str,
        *,
        selector: str = "",
        name: str = "one",
        provider: str = "gpu-operator",
        image: str = "localhost/triton:test",
        kinds_seconds: float | None = None,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        settings = {
            "prepareImage": "localhost/triton-operator:test",
            "tritonImage": image,
            "watch": {"namespaces": [namespace], "selector": selector},
            "leaderElection": {
                "name": name,
                "namespace": namespace,
                "leaseDurationSeconds": 3,
                "renewSeconds": 2,
                "retrySeconds": 1,
            },
            "gpu": {"provider": provider},
            "log": {"format": "text", "level": "info"},
            "port": self.port,
        }
        self._file = folder / f"{name}.yaml"
        self._file.write_text(yaml.safe_dump(settings))
        self._log = folder / f"{name}.log"
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
        program = ["-m", "triton_operator"] if kinds_seconds is None else ["-c", ASKS_OFTEN, str(kinds_seconds)]
        self._words = [sys.executable, *program, "--config", str(self._file)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *bound_to_us(self._words), env=self._environment, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        assert await self._end(signal.SIGTERM) == 0, self.log()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def leads(self) -> None:
        await until(self._is_leader, self.log)

    async def writes(self) -> int:
        """Count what it has written, its Lease excepted (which is updated, never patched)."""
        text = await self._get("/metrics")
        return sum(int(float(n)) for _, verb, n in _NUMBER.findall(text) if verb in {"patch", "delete"})

    async def settles(self) -> None:
        """Wait until it has looked at what it knows and the queue is empty."""
        await self.leads()
        await until(self._is_idle, self.log)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until a condition holds, and return what it gave; the log explains why it did not."""
        return await until(condition, self.log)

    def log(self) -> str:
        return self._log.read_text()

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self._process.wait()

    async def _get(self, path: str) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return await answer.text()

    async def _is_leader(self) -> bool:
        with suppress(aiohttp.ClientError):
            return "triton_operator_leader 1.0" in await self._get("/metrics")
        return False

    async def _is_idle(self) -> bool:
        text = await self._get("/metrics")
        looked = re.search(r'^triton_operator_applies_total\{kind="Deployment",result="unchanged"\} [1-9]', text, re.M)
        return "triton_operator_queue_depth 0.0" in text and looked is not None


async def until(condition: Callable[[], Awaitable[Any]], explain: Callable[[], str] = str) -> Any:
    """Wait until a condition holds, and return what it gave."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SECONDS
    while not (held := await condition()):
        if loop.time() > deadline:
            pytest.fail(f"not so within {SECONDS} s\n{explain()[-4000:]}")
        await asyncio.sleep(0.05)
    return held


class Services:
    """The InferenceServices of a namespace and their children."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def apply(self, name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
        """Apply a service whose pods no node takes."""
        model = {"name": "m", "uri": "configmap://model", "version": spec.pop("version", 1)}
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE.kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels or {}},
            "spec": {"model": model, "runtime": {"nodeSelector": {"no": "node"}}} | spec,
        }
        applied: Object = json.loads(await _kubectl("apply", "-f", "-", "-o", "json", stdin=json.dumps(body)))
        return applied

    async def patch(self, kind: Kind, name: str, operations: list[Object]) -> None:
        """Change an object as a user might."""
        place = f"--namespace={self.namespace}"
        await _kubectl("patch", kind.plural, name, place, "--type=json", "-p", json.dumps(operations))

    async def patch_status(self, body: Object, status: Object) -> None:
        """Say what a kubelet would say of a pod."""
        place = f"--namespace={self.namespace}"
        words = ("patch", "pods", body["metadata"]["name"], place, "--subresource=status", "--type=merge", "-p")
        await _kubectl(*words, json.dumps({"status": status}))

    async def get(self, name: str, kind: Kind = names.INFERENCE_SERVICE) -> Object | None:
        return await self.kube.get(kind, namespace=self.namespace, name=name)

    async def children(self, service: str) -> dict[str, list[Object]]:
        """List what exists for a service, by kind."""
        selector = f"{names.LABEL_SERVICE}={service}"
        return {
            kind.kind: await self.kube.list(kind, namespace=self.namespace, label_selector=selector)
            for kind in names.CHILD_KINDS
        }

    async def condition(self, name: str, type_: str) -> Object:
        """Read a condition that describes the present generation; {} if there is none."""
        body = await self.get(name)
        if body is None or body["status"]["observedGeneration"] != body["metadata"]["generation"]:
            return {}
        return next((c for c in body["status"]["conditions"] if c["type"] == type_), {})

    async def complete(self, name: str, *, revisions: int = 1) -> dict[str, list[Object]]:
        """Wait until a service has all its children, and so many revisions kept; return the children."""

        async def all_there() -> dict[str, list[Object]] | None:
            found = await self.children(name)
            counts = {kind: len(bodies) for kind, bodies in found.items()}
            wanted = {
                "ConfigMap": 2,  # the record, and the copy of the model
                "ControllerRevision": revisions,
                "Deployment": 1,
                "Service": 3,
                "PodDisruptionBudget": 1,
            }
            reason = (await self.condition(name, "Ready")).get("reason")
            return found if counts == wanted and reason in {"Loading", "PodsNotReady"} else None

        return await until(all_there)


async def _kubectl(*words: str, stdin: str = "") -> str:
    """Act as a user does, under a field manager that is not the operator's."""
    process = await asyncio.create_subprocess_exec(
        "kubectl", *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate(stdin.encode())
    assert process.returncode == 0
    return told.decode()


@pytest.fixture
async def services(kube: Kube, namespace: str, crds: None) -> Services:
    files = {"config.pbtxt": 'backend: "python"', "model.py": "pass"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model", "namespace": namespace}}
    await kube.create(body | {"data": files}, kind=names.CONFIG_MAP)
    return Services(kube, namespace)


@pytest.fixture
async def make_operator(
    kubeconfig: Path, tmp_path: Path, namespace: str, crds: None
) -> AsyncIterator[Callable[..., Operator]]:
    made: list[Operator] = []

    def make(**options: Any) -> Operator:
        made.append(Operator(kubeconfig, tmp_path, namespace, **options))
        return made[-1]

    yield make
    for operator in made:
        await operator.kill()


@pytest.fixture
async def operator(make_operator: Callable[..., Operator]) -> Operator:
    made = make_operator()
    await made.start()
    return made
