import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from triton_operator.__main__ import main
from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.settings import LeaderElection, Settings, Watch
from triton_operator.controller import probes, process
from triton_operator.controller.metrics import Metrics
from triton_operator.controller.process import Deposed, Parts, Process, Unfit
from triton_operator.controller.queue import Key, WorkQueue
from triton_operator.controller.resync import Resync
from triton_operator.controller.store import Store
from triton_operator.edges.errors import Conflict
from triton_operator.edges.kubernetes import Kube, Object
from triton_operator.edges.lease import Lease

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("crds")]


def service(namespace: str, name: str) -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"model": {"name": "m", "uri": "configmap://model", "version": 1}},
    }


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("what was waited for did not happen within half a minute")


class Replica:
    """One operator process as far as it can be had in one test process, with a reconciler that only takes notes."""

    def __init__(self, name: str, settings: Settings, kube: Kube) -> None:
        self.looked_at: list[str] = []
        self.closed = False
        self.stopped = asyncio.Event()
        election = settings.leaderElection
        lease = Lease(
            kube,
            namespace=election.namespace or "",
            name=election.name,
            identity=name,
            duration_seconds=election.leaseDurationSeconds,
            renew_seconds=election.renewSeconds,
            retry_seconds=election.retrySeconds,
        )
        self.metrics = Metrics()
        self.process = Process(settings, kube, lease, self.metrics, instance=name, kinds_seconds=process.KINDS_SECONDS)
        self.task = asyncio.create_task(self.process.run(self._make, self.stopped))

    def _make(self, parts: Parts) -> "Replica":
        return self

    async def reconcile(self, key: Key) -> float | None:
        self.looked_at.append(key[1])
        return None

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(
        prepareImage="unused",
        watch=Watch(namespaces=(namespace,)),
        leaderElection=LeaderElection(namespace=namespace, retrySeconds=1),
        workers=4,
    )


@pytest.fixture
async def replica(kube: Kube, settings: Settings) -> AsyncIterator[Callable[[str], Replica]]:
    started: list[Replica] = []

    def start(name: str) -> Replica:
        started.append(Replica(name, settings, kube))
        return started[-1]

    yield start
    for each in started:
        each.stopped.set()
    await asyncio.wait([each.task for each in started])


async def test_a_leader_looks_at_what_is_there_and_at_what_comes(
    kube: Kube, namespace: str, replica: Callable[[str], Replica]
) -> None:
    await kube.create(service(namespace, "old"), kind=names.INFERENCE_SERVICE)
    leader = replica("a")
    await until(lambda: leader.looked_at == ["old"])

    await kube.create(service(namespace, "new"), kind=names.INFERENCE_SERVICE)

    await until(lambda: "new" in leader.looked_at)
    assert not probes.obstacles(leader.process.pulse())
    assert leader.metrics.registry.get_sample_value("triton_operator_leader") == 1


async def test_a_spec_that_changed_while_nobody_led_is_looked_at_first(
    kube: Kube, namespace: str, replica: Callable[[str], Replica]
) -> None:
    bodies = [await kube.create(service(namespace, name), kind=names.INFERENCE_SERVICE) for name in ("a", "b", "c")]
    for body in (bodies[0], bodies[2]):
        told = {key: body[key] for key in ("apiVersion", "kind")}
        told |= {"metadata": {"namespace": namespace, "name": body["metadata"]["name"]}}
        await kube.apply(
            told | {"status": {"observedGeneration": 1}}, kind=names.INFERENCE_SERVICE, subresource="status"
        )

    leader = replica("a")

    await until(lambda: len(leader.looked_at) >= 3)
    assert leader.looked_at[0] == "b"


async def test_at_a_stop_the_standby_leads_and_looks_at_everything(
    kube: Kube, namespace: str, replica: Callable[[str], Replica]
) -> None:
    await kube.create(service(namespace, "demo"), kind=names.INFERENCE_SERVICE)
    leader = replica("a")
    await until(lambda: leader.looked_at == ["demo"])
    standby = replica("b")
    await until(lambda: not probes.obstacles(standby.process.pulse()))
    assert standby.looked_at == []

    leader.stopped.set()

    await until(lambda: standby.looked_at == ["demo"])
    await leader.task
    assert leader.closed
    assert leader.looked_at == ["demo"]


async def test_a_standby_stops_when_it_is_told(replica: Callable[[str], Replica]) -> None:
    leader = replica("a")
    await until(lambda: not probes.obstacles(leader.process.pulse()))
    standby = replica("b")

    standby.stopped.set()

    await standby.task
    assert not leader.task.done()


async def test_a_leader_that_is_deposed_ends_at_once(
    kube: Kube, namespace: str, replica: Callable[[str], Replica]
) -> None:
    leader = replica("a")
    await until(lambda: not probes.obstacles(leader.process.pulse()))
    await until(lambda: leader.process.pulse().workers == 4)
    async with asyncio.timeout(30):
        while True:
            held = await kube.get(names.LEASE, namespace=namespace, name="triton-operator")
            assert held is not None
            stolen = held | {"spec": held["spec"] | {"holderIdentity": "b"}}
            try:
                await kube.update(stolen, kind=names.LEASE)
                break
            except Conflict:  # the leader renewed in between
                continue

    with pytest.raises(Deposed):
        await leader.task

    assert leader.closed
    assert leader.process.pulse().workers_alive == 0


async def test_a_leader_that_cannot_begin_gives_the_lease_back(
    kube: Kube, namespace: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Replica, parts: Parts) -> Replica:
        raise RuntimeError("it cannot begin")

    monkeypatch.setattr(Replica, "_make", refuse)
    leader = Replica("a", settings, kube)

    with pytest.raises(RuntimeError, match="it cannot begin"):
        await leader.task

    held = await kube.get(names.LEASE, namespace=namespace, name="triton-operator")
    assert held is not None
    assert not held["spec"].get("holderIdentity")


async def test_without_the_crd_the_operator_says_what_to_do(
    kube: Kube, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Kind("absent.example.com", "v1", "InferenceService", "inferenceservices")
    monkeypatch.setattr(process.names, "INFERENCE_SERVICE", absent)
    lease: Any = None

    with pytest.raises(Unfit, match=r"kubectl apply -f crds/"):
        await Process(settings, kube, lease, Metrics(), instance="a", kinds_seconds=1).check()


async def test_the_periodic_look_finds_what_was_deleted_unseen(kube: Kube, namespace: str, settings: Settings) -> None:
    metrics, store = Metrics(), Store()
    queue = WorkQueue(jitter=lambda: 0.5, observer=metrics)
    resync = Resync(kube, store, queue, settings, jitter=lambda: 0.5)
    for name in ("gone", "stays"):
        await kube.create(service(namespace, name), kind=names.INFERENCE_SERVICE)
    await resync.fill()
    for _ in range(2):
        queue.done(await queue.get())
    await kube.delete(names.INFERENCE_SERVICE, namespace=namespace, name="gone", uid=None)

    await resync.fill()

    assert store.services() == [(namespace, "stays")]
    assert await queue.get() == (namespace, "gone")
    assert await queue.get() == (namespace, "stays")


async def test_the_program_serves_its_probes_and_ends_with_zero_at_sigterm(
    kube: Kube, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "settings.yaml"
    settings = {
        "prepareImage": "unused",
        "port": port,
        "watch": {"namespaces": [namespace]},
        "leaderElection": {"namespace": namespace},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "triton_operator",
            "--config",
            str(config),
            env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        )
        stack.callback(lambda: program.returncode is None and program.kill())

        async def status(path: str) -> int:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status
            except aiohttp.ClientConnectorError:
                return 0

        await eventually(lambda: status("/readyz"), 200)
        assert await status("/healthz") == await status("/metrics") == 200
        await eventually(lambda: holder(kube, namespace), True)

        program.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(program.wait(), 30) == 0
    assert not await holder(kube, namespace)


async def holder(kube: Kube, namespace: str) -> bool:
    lease = await kube.get(names.LEASE, namespace=namespace, name="triton-operator")
    return bool(lease and lease["spec"].get("holderIdentity"))


async def eventually(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    for _ in range(1500):
        if await ask() == wanted:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"not {wanted!r} within half a minute")


def test_settings_that_cannot_be_used_end_the_program_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("prepareImage: x\nreplicas: 2\n", encoding="utf-8")

    assert main(["--config", str(path)]) == 2
    assert "replicas" in capsys.readouterr().err
