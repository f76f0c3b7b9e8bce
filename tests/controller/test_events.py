import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest

from triton_operator.api import names
from triton_operator.api.settings import Watch
from triton_operator.controller.events import KopfEnded, listen
from triton_operator.controller.store import KINDS
from triton_operator.edges.kubernetes import Kube, Object

Event = tuple[str | None, str, str]


def service(namespace: str, name: str = "demo", **labels: str) -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"model": {"name": "m", "uri": "configmap://model", "version": 1}},
    }


def config_map(namespace: str, name: str, **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
    }


class Witness:
    """Notes events and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self, event_type: str | None, body: Object) -> None:
        self.events.append((event_type, body["kind"], body["metadata"]["name"]))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, event: Event) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: event in self.events)

    async def until_named(self, wanted: str) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: any(name == wanted for _, _, name in self.events))


@asynccontextmanager
async def listening(witness: Witness, watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(listen(witness.seen, watch=watch, kinds=KINDS))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.cluster
@pytest.mark.usefixtures("crds")
async def test_events_of_services_and_children_arrive_and_nothing_is_written(kube: Kube, namespace: str) -> None:
    managed = {names.LABEL_MANAGED_BY: names.OPERATOR}
    await kube.create(service(namespace, "old"), kind=names.INFERENCE_SERVICE)
    witness = Witness()
    async with listening(witness, Watch(namespaces=(namespace,))):
        await witness.until((None, "InferenceService", "old"))
        created = await kube.create(service(namespace), kind=names.INFERENCE_SERVICE)
        await kube.create(config_map(namespace, "child", **managed), kind=names.CONFIG_MAP)
        await witness.until(("ADDED", "InferenceService", "demo"))
        await witness.until(("ADDED", "ConfigMap", "child"))
        changed = await kube.update(created | {"spec": created["spec"] | {"replicas": 3}}, kind=names.INFERENCE_SERVICE)
        await witness.until(("MODIFIED", "InferenceService", "demo"))
        left = await kube.get(names.INFERENCE_SERVICE, namespace=namespace, name="demo")
        await kube.delete(names.INFERENCE_SERVICE, namespace=namespace, name="demo", uid=None)
        # No finalizer stands in the way: the object is gone at once.
        await witness.until(("DELETED", "InferenceService", "demo"))

    assert left == changed


@pytest.mark.cluster
@pytest.mark.usefixtures("crds")
async def test_the_api_server_sends_only_what_the_selectors_match(kube: Kube, namespace: str) -> None:
    managed = {names.LABEL_MANAGED_BY: names.OPERATOR}
    witness = Witness()
    async with listening(witness, Watch(namespaces=(namespace,), selector="team=blue")):
        await kube.create(service(namespace, "red", team="red"), kind=names.INFERENCE_SERVICE)
        await kube.create(config_map(namespace, "somebodys"), kind=names.CONFIG_MAP)
        await kube.create(service(namespace, "blue", team="blue"), kind=names.INFERENCE_SERVICE)
        await kube.create(config_map(namespace, "ours", **managed), kind=names.CONFIG_MAP)
        await witness.until_named("blue")
        await witness.until_named("ours")

    assert {name for _, _, name in witness.events} == {"blue", "ours"}


@pytest.mark.parametrize("error", [pytest.param(None, id="quietly"), pytest.param(OSError("watch"), id="failing")])
async def test_when_kopf_ends_it_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    # A real end takes an API server that breaks a watch, and Kopf five seconds to admit it.
    async def operator(**_: Any) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(kopf, "operator", operator)

    with pytest.raises(KopfEnded) as caught:
        await asyncio.wait_for(listen(lambda *_: None, watch=Watch(), kinds=KINDS), 60)

    assert caught.value.__cause__ is error
