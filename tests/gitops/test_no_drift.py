"""Nothing that the operator writes makes a service differ from Git, nor takes what others have written on it."""

import asyncio
import time
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.test_written_specs import WRITTEN
from tests.core.simulator import OWNER, SERVICE, SETTINGS
from tests.core.test_histories import RELAXED, Step
from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.cli.breaches import breaches, schema
from triton_operator.controller.queue import Key
from triton_operator.controller.reconcile import Reconciler
from triton_operator.controller.store import Store
from triton_operator.core.world import Plan, World
from triton_operator.edges.kubernetes import Object

from .argo import acted, enabled
from .argo_diff import is_synced
from .histories import EVERY_ROLLOUT, WITH_LOSSES, annotated, begun, lived
from .objects import Watched, live, manifest

Json = dict[str, Any]

FOREIGN_LABELS = {"app.kubernetes.io/instance": "models", "team": "vision"}
FOREIGN_ANNOTATIONS = {"argocd.argoproj.io/tracking-id": "models:…", "argocd.argoproj.io/sync-wave": "5"}
FOREIGN = {"labels": FOREIGN_LABELS, "annotations": FOREIGN_ANNOTATIONS}
WRITABLE = {*names.CHILD_KINDS, *names.OPTIONAL_KINDS, names.POD, names.EVENT}


class Ledger:
    """An API server that takes everything and remembers what it was asked to write."""

    def __init__(self) -> None:
        self.written: list[tuple[Kind, str | None, Object]] = []

    async def apply(self, body: Object, *, kind: Kind, subresource: str | None = None) -> Object:
        self.written.append((kind, subresource, body))
        known = {"uid": "u", "resourceVersion": "1", "generation": 1, "managedFields": []}
        return body | {"metadata": known | body["metadata"]}

    async def create(self, body: Object, *, kind: Kind) -> Object:
        return await self.apply(body, kind=kind)

    async def create_applied(self, body: Object, *, kind: Kind) -> Object:
        return await self.apply(body, kind=kind)

    async def update(self, body: Object, *, kind: Kind) -> Object:
        return await self.apply(body, kind=kind)

    async def delete(self, kind: Kind, *, namespace: str, name: str, uid: str | None) -> None:
        assert kind in WRITABLE - {names.EVENT}
        assert namespace == OWNER.namespace
        assert name.startswith(SERVICE)


class Nobody:
    def applied(self, kind: Kind, *, changed: bool) -> None:
        pass

    def canary(self, key: Key, status: Json) -> None:
        pass


class Shell:
    """What carries plans out, before an API server that takes everything."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._ledger = Ledger()
        self._reconciler = runner.run(self._made())

    async def _made(self) -> Reconciler:
        return Reconciler(
            self._ledger,  # type: ignore[arg-type]  # all of it that is asked for here
            Store(),
            SETTINGS,
            Nobody(),
            wake=lambda key: None,
            pressed=lambda: False,
            clock=time.time,
            instance="test",
        )

    def written(self, service: Json, world: World, plan: Plan) -> list[tuple[Kind, str | None, Object]]:
        """Give each write that a plan comes to."""
        self._ledger.written.clear()
        self._runner.run(self._reconciler._carry_out(world, plan))
        self._runner.run(self._reconciler._tell(service, world, plan))
        return list(self._ledger.written)

    def close(self) -> None:
        self._runner.run(self._reconciler.close())


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with asyncio.Runner() as runner:
        made = Shell(runner)
        yield made
        made.close()


def assert_left_alone(shell: Shell, cluster: Watched, git: Json) -> None:
    """What is written leaves the service as Git has it, but for its status, and copies nothing of others."""
    before = live(git, generation=cluster.generation, status={"observedGeneration": -1})
    assert cluster.plan is not None
    after = deepcopy(before)
    for kind, subresource, body in shell.written(before, cluster.world(), cluster.plan):
        if kind == names.INFERENCE_SERVICE:
            assert subresource == "status"
            assert body.keys() == {"apiVersion", "kind", "metadata", "status"}
            assert body["metadata"] == {"name": SERVICE, "namespace": OWNER.namespace, "uid": OWNER.uid}
            after["status"] = body["status"]
            continue
        assert kind in WRITABLE
        assert subresource is None
        assert body["metadata"]["namespace"] == OWNER.namespace
        assert body["metadata"]["name"].startswith(SERVICE)
        for part, foreign in FOREIGN.items():
            assert not body["metadata"].get(part, {}).keys() & foreign.keys()
    assert after["status"] == cluster.plan.status
    assert after | {"status": before["status"]} == before
    assert is_synced(git, after, git)
    after["metadata"]["annotations"] = FOREIGN_ANNOTATIONS | annotated(cluster)  # those that people have asked by
    for action in set(enabled(after)) - {"undo"}:
        assert is_synced(git, acted(action, after), git)


@settings(RELAXED, max_examples=30)
@given(history=WITH_LOSSES, rollout=EVERY_ROLLOUT, scaled=st.booleans())
def test_a_service_is_as_git_has_it_at_every_look_of_every_history(
    shell: Shell, history: list[Step], rollout: Json, scaled: bool
) -> None:
    def look(cluster: Watched) -> None:
        git = manifest(cluster.spec, labels=FOREIGN_LABELS, annotations=FOREIGN_ANNOTATIONS)
        if scaled:
            del git["spec"]["replicas"]  # and somebody else sets them by /scale
        assert_left_alone(shell, cluster, git)

    lived(begun(rollout, look), history)


@pytest.mark.parametrize(
    "body",
    [pytest.param(body, id=place) for place, body in WRITTEN if body.get("kind") == names.INFERENCE_SERVICE.kind],
)
def test_every_written_service_is_synced_once_it_is_applied(body: Json) -> None:
    git = {"apiVersion": names.API_VERSION, "metadata": {"name": "a"}} | body
    assert not breaches(git["spec"], schema()["properties"]["spec"], "spec")  # nothing is dropped by the API server
    assert is_synced(git, live(git, generation=1, status={"observedGeneration": -1}), git)


GIT: Json = {"metadata": {"name": "a"}, "spec": {"replicas": 2, "env": [{"name": "A", "value": "1"}], "gpu": {}}}


def changed(**spec: Any) -> Json:
    return GIT | {"spec": GIT["spec"] | spec}


@pytest.mark.parametrize(
    ("found", "synced"),
    [
        pytest.param(GIT, True, id="as it was applied"),
        pytest.param(changed(suspend=False, gpu={"count": 0}), True, id="defaults"),
        pytest.param(changed(env=[{"name": "A", "value": "1", "kept": True}]), True, id="defaults in a list"),
        pytest.param(GIT | {"metadata": {"name": "a", "annotations": {"b": "c"}}}, True, id="an annotation"),
        pytest.param(GIT | {"status": {"phase": "Ready"}}, True, id="a status"),
        pytest.param(changed(replicas=3), False, id="a field that is in Git"),
        pytest.param(changed(env=[]), False, id="a list that lost an item"),
        pytest.param(changed(env=[{"name": "B"}, *GIT["spec"]["env"]]), False, id="a list in another order"),
        pytest.param(GIT | {"spec": {"replicas": 2}}, False, id="fields that are gone"),
    ],
)
def test_argo_cd_shows_as_out_of_sync_what_differs_from_git(found: Json, synced: bool) -> None:
    assert is_synced(GIT, found, GIT) is synced
