"""InferenceServices as users write them, and what a kubelet would say of their pods, which no node runs.

Not for: what the operator should make of them; that is `invariants` and `reconcile`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.api import NAMESPACE, Api, Refused
from cluster.processes import ClusterError
from triton_operator.api import names
from triton_operator.api.names import Kind

Json = dict[str, Any]

MARK = "MARK"
"""An environment variable of the model server that tells which spec a Deployment was made for."""


NOWHERE = "nowhere"
"""The node that pods are given to; it exists as an object only, without which they would be in no EndpointSlice."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks for.

    Attributes:
        mark: tells this spec from others.
        version: of the model.
        replicas: pods.
        suspend: whether it is to have none for the time being.
        homeless: whether no node is to take the pods.
        steps: those of a canary; () for none.
        routes: types of the routes through a Gateway; () for none.
    """

    mark: str
    version: int = 1
    replicas: int = 1
    suspend: bool = False
    homeless: bool = True
    steps: tuple[Json, ...] = ()
    routes: tuple[Kind, ...] = ()

    def spec(self) -> Json:
        """Write it as `spec`; on the CPU: with GPUs the operator would ask a Triton in the pods, which is not there."""
        grpc = "GRPCRoute" if names.GRPC_ROUTE in self.routes else "SameRoute"
        gateway = {"parentRefs": [{"name": "inference"}], "grpc": grpc}
        return {
            "model": {"name": "m", "uri": "configmap://model", "version": self.version},
            "runtime": {
                "env": [{"name": MARK, "value": self.mark}],
                "nodeSelector": {"no": "node"} if self.homeless else {},
            },
            "gpu": {"count": 0},
            "replicas": self.replicas,
            "suspend": self.suspend,
            "rollout": {"strategy": "Canary", "steps": list(self.steps)}
            if self.steps
            else {"strategy": "RollingUpdate"},
            "routing": {"gateway": gateway} if self.routes else {},
        }

    def patch(self) -> Json:
        """Write it as a merge patch of an InferenceService that another wish made."""
        spec = self.spec()
        rollout = {"steps": None} | spec["rollout"]
        return {"spec": spec | {"rollout": rollout, "routing": {"gateway": None} | spec["routing"]}}


async def make_namespace(api: Api, name: str, *, labels: dict[str, str] | None = None) -> None:
    """Make a namespace, and in it the model that all services are of."""
    metadata = {"name": name, "labels": labels or {}}
    await api.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    model = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model", "namespace": name}}
    files = {"config.pbtxt": 'backend: "python"', "model.py": "pass"}
    await api.create(names.CONFIG_MAP, model | {"data": files})


def service(namespace: str, name: str, wish: Wish) -> Json:
    """Write an InferenceService."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICE.kind,
        "metadata": {"namespace": namespace, "name": name, "labels": {"team": "users"}},
        "spec": wish.spec(),
    }


def mark_of(deployment: Json) -> str:
    """Find out for which spec a Deployment was made; "" when it does not say."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env") or ():
            if variable["name"] == MARK:
                return str(variable.get("value", ""))
    return ""


class Arrivals:
    """When each Deployment was first seen, by the name of its service and its mark."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], asyncio.Future[float]] = {}

    async def at(self, name: str, mark: str) -> float:
        """Wait for a Deployment; returns the event loop's time at which it was first seen."""
        return await self._future(name, mark)

    @classmethod
    @asynccontextmanager
    async def watched(cls, api: Api, namespace: str) -> AsyncIterator["Arrivals"]:
        """Watch the Deployments of a namespace until the block ends."""
        arrivals = cls()
        watching = asyncio.create_task(arrivals._watch(api, namespace))
        try:
            yield arrivals
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, api: Api, namespace: str) -> None:
        loop = asyncio.get_running_loop()
        async for body in api.watch(names.DEPLOYMENT, namespace):
            future = self._future(body["metadata"]["labels"].get(names.LABEL_SERVICE, ""), mark_of(body))
            if not future.done():
                future.set_result(loop.time())

    def _future(self, name: str, mark: str) -> "asyncio.Future[float]":
        return self._seen.setdefault((name, mark), asyncio.get_running_loop().create_future())


class Kubelet:
    """Says of pods what the kubelet of a node would that ran them: that they are ready, later that they have ended."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._addresses = 0

    async def look(self) -> None:
        """Make all pods ready, and end those that are being deleted."""
        slots = asyncio.Semaphore(8)

        async def one(pod: Json) -> None:
            async with slots:
                await self._attend(pod)

        await asyncio.gather(*map(one, await self._api.list(names.POD, self._namespace)))

    async def work(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(0.3)

    async def _attend(self, pod: Json) -> None:
        name = pod["metadata"]["name"]
        try:
            if "deletionTimestamp" in pod["metadata"]:
                await self._api.delete(names.POD, self._namespace, name, grace_seconds=0)
                return
            if _is_ready(pod):
                return
            if not pod["spec"].get("nodeName"):
                await self._api.bind(self._namespace, name, NOWHERE)
            await self._api.merge(names.POD, self._namespace, name, {"status": self._ready()}, subresource="status")
        except Refused as error:
            if error.status not in (404, 409):  # deleted meanwhile
                raise ClusterError(f"a pod cannot be called ready: {error}") from error

    def _ready(self) -> Json:
        self._addresses += 1
        address = f"198.18.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"
        true = [{"type": type_, "status": "True"} for type_ in ("Initialized", "ContainersReady", "Ready")]
        return {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": true}


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
