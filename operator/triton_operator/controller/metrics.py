"""The operator's own metrics, in a registry of their own, all named triton_operator_*.

Which there are stands in `controller.exposed`. Not for: metrics of Triton or of the services; they are scraped from the
pods.
"""

import platform
import re
from collections import Counter as Count
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.status import (
    ACCEPTED,
    AVAILABLE,
    CANARY_PAUSED,
    READY,
    RECONCILING,
    SCALING_ACTIVE,
    TRAFFIC_VERIFIED,
)
from triton_operator.controller import exposed
from triton_operator.controller.exposed import PREFIX
from triton_operator.controller.queue import Key

Result = Literal["done", "again", "error"]
"""How a reconcile ended: nothing more to do; to be looked at again later; failed, tried again."""

_TRUE_IF_WELL = frozenset({READY, AVAILABLE, ACCEPTED, TRAFFIC_VERIFIED, SCALING_ACTIVE})
# Whoever may write a pod's status can have any words told as a reason.
_REASON = re.compile(r"[A-Za-z0-9]{1,64}")
_OF_AUTOSCALING = "autoscaling_"


class Metrics:
    """Counts what the operator does; also the observer of the queue and of the API client."""

    def __init__(self) -> None:
        # A time stamp beside every counter, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        self.registry = registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in exposed.MADE:
            short, name, text, labels = metric.name.removeprefix(PREFIX), metric.name, metric.text, metric.labels
            if metric.type == "gauge":
                self._gauges[short] = Gauge(name, text, labels, registry=registry)
            elif metric.type == "counter":
                self._counters[short] = Counter(name, text, labels, registry=registry)
            else:
                self._histograms[short] = Histogram(name, text, labels, buckets=metric.buckets, registry=registry)
        self._canaries = [gauge for name, gauge in self._gauges.items() if name.startswith("canary_")]
        self._scalings = [
            gauge
            for name, gauge in self._gauges.items()
            if name.startswith(_OF_AUTOSCALING) and name != "autoscaling_limited"  # which follows the status
        ]
        self._shown: set[Key] = set()
        self._amiss: dict[Key, frozenset[tuple[str, str, str]]] = {}
        self._limits: dict[Key, str] = {}
        self._phases: dict[Key, str] = {}
        self._in_phase: Count[str] = Count()
        self._gauges["build_info"].labels(version(names.OPERATOR), platform.python_version()).set(1)
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)

    def watch(
        self,
        *,
        depth: Callable[[], float],
        oldest_seconds: Callable[[], float],
        failing: Callable[[], float],
        services: Callable[[], float],
    ) -> None:
        """Read these numbers whenever the metrics are read."""
        self._gauges["queue_depth"].set_function(depth)
        self._gauges["queue_oldest_seconds"].set_function(oldest_seconds)
        self._gauges["queue_failing"].set_function(failing)
        self._gauges["services"].set_function(services)

    def added(self) -> None:
        """See `QueueObserver`."""
        self._counters["queue_adds_total"].inc()

    def retried(self) -> None:
        """See `QueueObserver`."""
        self._counters["queue_retries_total"].inc()

    def waited(self, seconds: float) -> None:
        """See `QueueObserver`."""
        self._histograms["queue_wait_seconds"].observe(seconds)

    def called(self, *, verb: str, code: str) -> None:
        """See `edges.kubernetes.Observer`."""
        self._counters["api_calls_total"].labels(verb, code).inc()

    def reconciled(self, result: Result, *, seconds: float) -> None:
        """Count a reconcile."""
        self._histograms["reconcile_duration_seconds"].labels(result).observe(seconds)

    def applied(self, kind: Kind, *, changed: bool) -> None:
        """Count one child that was looked at: written, or found as it should be."""
        self._counters["applies_total"].labels(kind.kind, "changed" if changed else "unchanged").inc()

    def told(self, key: Key, status: Mapping[str, Any]) -> None:
        """Show the state of a service: its phase, what is amiss, and where its canary is.

        Of a service of which all is well nothing is shown but that there is one more in its phase; the cost of a look
        that has found nothing new does not depend on how many services there are.

        Args:
            key: namespace and name of the service.
            status: its status, {} if it is gone.
        """
        self._told_phase(key, status.get("phase"))
        self._told_amiss(key, frozenset(filter(None, map(_amiss, status.get("conditions") or ()))))
        self._told_limit(key, (status.get("autoscaling") or {}).get("limitedBy"))
        self._told_canary(key, status)

    def _told_phase(self, key: Key, phase: str | None) -> None:
        before = self._phases.pop(key, None)
        if phase is not None:
            self._phases[key] = phase
        if phase == before:
            return
        for changed, by in ((before, -1), (phase, 1)):
            if changed is not None:
                self._in_phase[changed] += by
                self._gauges["services_in_phase"].labels(changed).set(self._in_phase[changed])

    def _told_amiss(self, key: Key, amiss: frozenset[tuple[str, str, str]]) -> None:
        before = self._amiss.pop(key, frozenset())
        if amiss:
            self._amiss[key] = amiss
        gauge = self._gauges["service_condition"]
        for gone in before - amiss:
            gauge.remove(*key, *gone)
        for new in amiss - before:
            gauge.labels(*key, *new).set(1)

    def _told_limit(self, key: Key, limit: str | None) -> None:
        before = self._limits.pop(key, None)
        if limit is not None:
            self._limits[key] = limit
        if limit == before:
            return
        if before is not None:
            self._gauges["autoscaling_limited"].remove(*key, before)
        if limit is not None:
            self._gauges["autoscaling_limited"].labels(*key, limit).set(1)

    def _told_canary(self, key: Key, status: Mapping[str, Any]) -> None:
        rollout = status.get("rollout")
        if rollout is None:
            if key in self._shown:
                self._shown.remove(key)
                for gauge in self._canaries:
                    gauge.remove_by_labels({"namespace": key[0], "name": key[1]})
            return
        self._shown.add(key)
        shown = self._gauges
        shown["canary_weight_percent"].labels(*key).set((status.get("canary") or {}).get("weight", 0))
        shown["canary_step"].labels(*key).set(rollout["step"])
        paused = [c for c in status.get("conditions") or () if c["type"] == CANARY_PAUSED and c["status"] == "True"]
        shown["canary_paused"].labels(*key).set(len(paused))
        for verdict, part in (("FAIL", "towardsFail"), ("PASS", "towardsPass")):
            shown["canary_evidence_percent"].labels(*key, verdict).set(rollout[part])
        for side in ("canary", "stable"):
            counts = rollout[side]
            for what in ("requests", "failed", "timed", "slow"):
                shown["canary_judged_requests"].labels(*key, side, what).set(counts.get(what, 0))

    def scaled(self, key: Key, numbers: Mapping[str, float] | None) -> None:
        """Show what the autoscaler of a service makes of what it measures.

        Args:
            key: namespace and name of the service.
            numbers: by the names of the metrics, after `:` the value of its label; None where there is none any more.
        """
        if numbers is None:
            for gauge in self._scalings:
                gauge.remove_by_labels({"namespace": key[0], "name": key[1]})
            return
        for name, value in numbers.items():
            metric, _, label = name.partition(":")
            self._gauges[_OF_AUTOSCALING + metric].labels(*key, *([label] if label else [])).set(value)

    def looked(self, *, seconds: float, series: int, silent: int) -> None:
        """See `controller.gauges.Observer`."""
        self._histograms["signals_look_seconds"].observe(seconds)
        self._gauges["signals_series"].set(series)
        self._gauges["signals_silent_pods"].set(silent)

    def scraped(self, *, told: bool) -> None:
        """See `controller.gauges.Observer`."""
        self._counters["signals_scrapes_total"].labels("ok" if told else "failed").inc()

    def leads(self) -> None:
        """Say that this replica acts from now on."""
        self._gauges["leader"].set(1)


def _amiss(condition: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Give type, status and reason of a condition that is not as it is where all is well; else None."""
    type_, status = condition["type"], condition["status"]
    well = "True" if type_ in _TRUE_IF_WELL else "False"
    if type_ == RECONCILING or status == well:
        return None
    return type_, status, condition["reason"] if _REASON.fullmatch(condition["reason"]) else "Other"
