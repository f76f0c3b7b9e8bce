"""One reconcile: gather the world, decide, carry the plan out in its order.

Not for: decisions (`core.decide`), nor when to reconcile (`controller.queue`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from triton_operator.api import names
from triton_operator.api.settings import Settings
from triton_operator.controller import logs
from triton_operator.controller.checks import Checker
from triton_operator.controller.children import Observer, Waits, Writer, refused
from triton_operator.controller.gauges import Gauges
from triton_operator.controller.meter import Meter
from triton_operator.controller.queue import Key
from triton_operator.controller.scaler import Scaler
from triton_operator.controller.store import Store
from triton_operator.controller.vitals import Vitals
from triton_operator.controller.words import Words
from triton_operator.controller.world import gather
from triton_operator.core.decide import decide
from triton_operator.core.record_text import KEY, encode
from triton_operator.core.victims import FIRST
from triton_operator.core.world import Announcement, Mark, Plan, Problem, Removal, World
from triton_operator.edges.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from triton_operator.edges.kubernetes import Kube
from triton_operator.resources import children
from triton_operator.resources.children import Owner

Json = dict[str, Any]

NOTE_BYTES = 1024
NOTHING_AMISS = ((), ())

_log = logging.getLogger(__name__)


class Onlooker(Observer, Protocol):
    """Whoever counts what is applied, and shows how services do."""

    def looked(self, *, seconds: float, series: int, silent: int) -> None:
        """Take in a look at what is asked of services, see `controller.gauges.Observer`."""

    def scraped(self, *, told: bool) -> None:
        """Count a pod that was asked directly."""

    def told(self, key: Key, status: Json) -> None:
        """Take in the status of a service, {} for one that is gone."""

    def scaled(self, key: Key, numbers: Mapping[str, float] | None) -> None:
        """Take in what the autoscaler of a service makes of what it measures; None where there is none."""


class Reconciler:
    """Brings services into the state that their specs ask for, one look at a time."""

    def __init__(
        self,
        kube: Kube,
        store: Store,
        settings: Settings,
        observer: Onlooker,
        *,
        wake: Callable[[Key], None],
        pressed: Callable[[], bool],
        clock: Callable[[], float],
        instance: str,
    ) -> None:
        """Make a reconciler.

        Args:
            kube: the API server.
            store: what the watches have shown.
            settings: the operator's settings.
            observer: counts what is applied, and shows how services do.
            wake: queues a service.
            pressed: tells whether other users wait for their new specs to be looked at.
            clock: seconds since the epoch.
            instance: this process, as events name it.
        """
        self._kube = kube
        self._store = store
        self._settings = settings
        self._observer = observer
        self._writer = Writer(kube, store, observer)
        self._words = Words(kube)
        self._meter = Meter(settings)
        self._checker = Checker(wake)
        self._vitals = Vitals(kube, store, settings.watch, wake)
        self._gauges = Gauges(kube, store, settings, lambda key: self._scaler.look(key), observer=observer, clock=clock)
        self._scaler = Scaler(store, self._gauges, wake, observer=observer, clock=clock)
        self._background = [
            asyncio.create_task(self._vitals.run(), name="vitals"),
            asyncio.create_task(self._gauges.run(), name="gauges"),
        ]
        self._wake = wake
        self._pressed = pressed
        self._clock = clock
        self._instance = instance

    async def reconcile(self, key: Key) -> float | None:
        """Look at one service and do what is to be done now.

        Args:
            key: its namespace and name.

        Returns:
            Seconds until the next look, or None to wait for an event.

        Raises:
            ApiError: something could not be read or written and is to be tried again.
        """
        service = self._store.get(names.INFERENCE_SERVICE, key)
        if service is None or "deletionTimestamp" in service["metadata"]:
            self._checker.forget(key)
            self._scaler.forget(key)
            self._observer.told(key, {})
            return None
        logs.bind(generation=service["metadata"]["generation"])
        world = await gather(
            self._kube,
            self._store,
            self._settings,
            self._words,
            self._meter,
            service,
            dead=self._vitals.dead(key),
            scaling=self._scaler.memory(key),
            in_flight=self._gauges.in_flight(key),
            now=self._clock(),
        )
        self._scaler.saw(key, world)
        world = replace(world, answers=self._checker.answers(key))
        plan = decide(world)
        if plan.pressing and self._pressed() and await self._has_its_name(world):
            # Pods take long to start: first everybody's are on their way, then comes what they need when they are.
            brief = replace(plan, children=plan.pressing, surplus=(), removals=(), resolver=None)
            if await self._carry_out(world, brief) == NOTHING_AMISS:
                return 0.0
        problems, waits = await self._carry_out(world, plan)
        if problems or waits:
            plan = decide(replace(world, problems=problems, waits=waits))
        await self._tell(service, world, plan)
        self._observer.told(key, plan.status)
        self._checker.ask(key, plan.questions, seen=world.answers)
        return plan.look_again

    async def _has_its_name(self, world: World) -> bool:
        """Say whether the Service is there, or may be made: without it nothing of the service should run."""
        known = world.name in world.listed[names.SERVICE]
        return known or await self._kube.get(names.SERVICE, namespace=world.namespace, name=world.name) is None

    async def close(self) -> None:
        """End what runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.wait(self._background)
        self._gauges.close()
        await self._checker.close()
        self._meter.close()

    async def _carry_out(self, world: World, plan: Plan) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """Do what is planned; tell what only the user can mend, and whose end is waited for."""
        owner = Owner(world.name, world.namespace, world.uid)
        if world.spec is None:
            return (), ()
        problems: list[Problem] = []
        waits: list[str] = []
        try:
            # The record comes first: a step is remembered before it is taken.
            if problem := await self._writer.remember(children.record(owner, encode(plan.record), KEY)):
                return (problem,), ()
        except Waits as error:
            return (), (str(error),)
        await self._mark(world.namespace, plan.marks)
        for kind, body in plan.children:
            whole = len(problems) + len(waits)
            try:
                if problem := await self._writer.write(kind, body):
                    problems.append(problem)
            except Waits as error:
                waits.append(str(error))
            if len(problems) + len(waits) > whole and names.LABEL_REVISION not in body["metadata"]["labels"]:
                break  # without its Service, or a copy of a ConfigMap, nothing of the service should run
        if plan.resolver and (problem := await self._look_up(plan.resolver)):
            problems.append(problem)
        if not problems and not waits:
            for kind, name in plan.surplus:
                if problem := await self._remove(kind, (world.namespace, name)):
                    problems.append(problem)
        await self._end(world.namespace, plan.removals)
        return tuple(problems), tuple(waits)

    async def _mark(self, namespace: str, pods: Iterable[Mark]) -> None:
        """Say of pods that they go first; without that others do."""
        for pod in pods:
            metadata = {"name": pod.name, "namespace": namespace, "uid": pod.uid}
            annotations = {names.ANNOTATION_DELETION_COST: FIRST}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"annotations": annotations}}
            try:
                await self._kube.apply(body, kind=names.POD)
            except (NotFound, Conflict, Forbidden, Invalid) as error:
                _log.warning("pod %s cannot be marked as one that goes first: %s", pod.name, error)

    async def _look_up(self, pod: Json) -> Problem | None:
        """Make the pod that looks at the sources."""
        name = pod["metadata"]["name"]
        try:
            await self._kube.create(pod, kind=names.POD)
        except AlreadyExists:
            return None
        except (Forbidden, Invalid) as error:
            return refused(names.POD, name, error)
        _log.info("made pod %s, which looks at the model's source", name)
        return None

    async def _end(self, namespace: str, removals: Iterable[Removal]) -> None:
        for pod in removals:
            try:
                await self._kube.delete(names.POD, namespace=namespace, name=pod.name, uid=pod.uid)
            except (Conflict, Forbidden, Invalid) as error:
                _log.warning("pod %s cannot be deleted, though %s: %s", pod.name, pod.why, error)
            else:
                _log.info("deleted pod %s: %s", pod.name, pod.why)

    async def _remove(self, kind: names.Kind, key: Key) -> Problem | None:
        live = self._store.get(kind, key)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return None
        uid = live["metadata"]["uid"]
        try:
            await self._kube.delete(kind, namespace=key[0], name=key[1], uid=uid)
        except Conflict:
            return None  # another object has the name by now
        except (Forbidden, Invalid) as error:
            return refused(kind, key[1], error)
        self._store.lost(kind, key, uid)
        _log.info("removed %s %s, which is no longer needed", kind.kind, key[1])
        return None

    async def _tell(self, service: Json, world: World, plan: Plan) -> None:
        if plan.status != service.get("status") and not await self._write_status(world, plan.status):
            return
        for announcement in plan.announcements:
            await self._announce(world, announcement)

    async def _write_status(self, world: World, status: Json) -> bool:
        """Write the status; return whether the service is still there."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE.kind,
            "metadata": {"name": world.name, "namespace": world.namespace, "uid": world.uid},
            "status": status,
        }
        try:
            written = await self._kube.apply(body, kind=names.INFERENCE_SERVICE, subresource="status")
        except (NotFound, Conflict) as error:
            _log.debug("the service has gone meanwhile: %s", error)
            return False
        self._store.saw(written)
        if written["metadata"]["generation"] != world.generation:
            # The event of that change is older than this answer, and will be passed over as known.
            self._wake((world.namespace, world.name))
        return True

    async def _announce(self, world: World, announcement: Announcement) -> None:
        now = datetime.now(UTC)
        body = {
            "apiVersion": names.EVENT.api_version,
            "kind": names.EVENT.kind,
            "metadata": {"name": f"{world.name}.{int(now.timestamp() * 1e6):x}", "namespace": world.namespace},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": announcement.type,
            "reason": announcement.reason,
            "action": "Reconcile",
            "note": announcement.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
            "reportingController": f"{names.GROUP}/{names.OPERATOR}",
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.INFERENCE_SERVICE.kind,
                "namespace": world.namespace,
                "name": world.name,
                "uid": world.uid,
            },
        }
        log = _log.warning if announcement.type == "Warning" else _log.info
        log("%s: %s", announcement.reason, announcement.message)
        try:
            await self._kube.create(body, kind=names.EVENT)
        except ApiError as error:
            _log.warning("the event %s could not be written: %s", announcement.reason, error)
