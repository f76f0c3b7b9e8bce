"""Runs the autoscaler of each service that has one, after each look at what is measured, beside the reconciles.

What it has learned from look to look is kept here; a decision that differs from the one in the record queues the
service, whose reconcile writes it down and carries it out. After a restart it goes on from the record.
Not for: the policy (`core.autoscaler`), nor measuring (`controller.gauges`).
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from triton_operator.api import names
from triton_operator.controller.gauges import Gauges
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.controller.world import fleets_of, read_spec, record_of
from triton_operator.core.autoscaler import Memory, Sight, advance
from triton_operator.core.scaled import is_same, leads_of, resumed, sight_of, wish_of
from triton_operator.core.world import World

Json = dict[str, Any]

LEADS = 10
"""Lead times that are kept of a service."""

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Whoever shows numbers."""

    def scaled(self, key: Key, numbers: Mapping[str, float] | None) -> None:
        """Take in the numbers of a service; None where its replicas are as the spec says."""


class Scaler:
    """Knows what the autoscaler makes of each service."""

    def __init__(
        self,
        store: Store,
        gauges: Gauges,
        wake: Callable[[Key], None],
        *,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        """Make it.

        Args:
            store: what the watches have shown.
            gauges: what is measured.
            wake: queues a service whose number of replicas, or the reason for it, is another one now.
            observer: shows its numbers.
            clock: seconds since the epoch.
        """
        self._observer = observer
        self._store = store
        self._gauges = gauges
        self._wake = wake
        self._clock = clock
        self._memories: dict[Key, Memory] = {}
        self._leads: dict[Key, dict[str, float]] = {}

    def memory(self, key: Key) -> Memory | None:
        """Give what the last look came to; None before the first since this process leads."""
        return self._memories.get(key)

    def saw(self, key: Key, world: World) -> None:
        """Take notice of how long pods took to become ready, and of autoscaling that is not wanted any more."""
        if wish_of(world) is None:
            self.forget(key)
        elif world.pods and world.record and world.record.stable:
            known = self._leads.get(key, {}) | leads_of(world.pods, world.record.stable)
            self._leads[key] = dict(list(known.items())[-LEADS:])

    def forget(self, key: Key) -> None:
        """Forget a service that has gone, or whose replicas are as its spec says."""
        self._leads.pop(key, None)
        if self._memories.pop(key, None):
            self._observer.scaled(key, None)

    def look(self, key: Key) -> None:
        """Run the policy for a service on what was just measured."""
        try:
            self._look(key)
        except Exception:  # a defect of one service must not keep the others waiting
            _log.exception("the autoscaler of %s/%s failed; replicas stay as they are", *key)

    def _look(self, key: Key) -> None:
        service = self._store.get(names.INFERENCE_SERVICE, key)
        spec = read_spec(service)[0] if service else None
        record = record_of(self._store, service) if service else None
        wish = spec.autoscaling if spec else None
        if service is None or spec is None or wish is None or record is None or record.scale is None or spec.suspend:
            self.forget(key)
            return
        now = self._clock()
        before = self._memories.get(key) or resumed(record.scale)
        told = {name: self._gauges.load(key, name) for name in record.serving}
        sight = sight_of(
            wish,
            record,
            fleets_of(self._store, service),
            {name: load for name, (load, _) in told.items()},
            asked=before.decision.replicas if wish.mode == "Auto" else spec.replicas,
            trouble="; ".join(filter(None, dict.fromkeys(trouble for _, trouble in told.values()))),
            values=self._gauges.values(key),
            troubles=self._gauges.troubles(key),
            leads=self._leads.get(key, {}).values(),
            now=now,
        )
        memory = advance(before, sight, now)
        self._memories[key] = memory
        self._observer.scaled(key, numbers(memory, sight, now))
        if not is_same(record.scale.decision, memory.decision):
            self._wake(key)


def numbers(memory: Memory, sight: Sight, now: float) -> dict[str, float]:
    """List what the operator shows of an autoscaler as metrics, by their names."""
    alpha, beta = memory.curve.line() or (0.0, 0.0)
    decision, objective = memory.decision, sight.wish.objective
    return {
        "desired_replicas": decision.replicas,
        "ready_replicas": sight.ready,
        "requests_per_second": memory.forecast.level,
        "trend": memory.forecast.trend,
        "capacity_requests_per_second": decision.capacity,
        "batch_seconds:first": alpha + beta,
        "batch_seconds:further": beta,
        "tail_factor": memory.curve.tail,
        "latency_seconds": (sight.load.tail_seconds or 0.0) if sight.load else 0.0,
        "objective_seconds": objective.latency_milliseconds / 1000 if objective else 0.0,
        "lead_time_seconds": decision.lead_seconds,
        "hold_seconds": memory.hold_seconds,
        "metrics_age_seconds": max(0.0, now - memory.measured_at) if memory.measured_at else 0.0,
    }
