"""The operator's own metrics, in a registry of their own, all named triton_operator_*.

Not for: metrics of Triton or of the services; they are scraped from the pods.
"""

import platform
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
from triton_operator.api.status import CANARY_PAUSED
from triton_operator.controller.queue import Key

Result = Literal["done", "again", "error"]
"""How a reconcile ended: nothing more to do; to be looked at again later; failed, tried again."""

_PREFIX = "triton_operator"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAIT_SECONDS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


_CANARY = {
    "weight_percent": ("Share of the requests through the Gateway that the canary gets.",),
    "step": ("Number of the step that it is at.",),
    "paused": ("1 while a person is waited for, else 0.",),
    "evidence_percent": ("Evidence so far, in percent of what each verdict takes.", "verdict"),
    "judged_requests": (
        "Requests judged so far, of the canary and of the stable revision beside it: all requests, those of them that"
        " failed, those whose duration was counted, and those of them that were slow.",
        "side",
        "kind",
    ),
}


_SCALING = {
    "desired_replicas": ("Replicas that the autoscaler asks for, or recommends.",),
    "ready_replicas": ("Replicas in service that are ready.",),
    "requests_per_second": ("Requests that arrive, smoothed.",),
    "trend": ("By how much they grow a second, each second; negative where they become fewer.",),
    "capacity_requests_per_second": ("Requests that one replica carries within the objective; 0 while not known.",),
    "batch_seconds": ("What a batch takes: of one request (first), and for each one more (further).", "part"),
    "tail_factor": ("What a request takes at the percentile of the objective, in batches' times; 0 if not measured.",),
    "latency_seconds": ("What a request takes at the percentile of the objective; 0 while nobody measures it.",),
    "lead_time_seconds": ("From the creation of a pod to its being ready.",),
    "hold_seconds": ("For how long replicas that are not needed are kept.",),
    "metrics_age_seconds": ("Age of the newest sample.",),
}


class Metrics:
    """Counts what the operator does; also the observer of the queue and of the API client."""

    def __init__(self) -> None:
        # A time stamp beside every counter, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        self.registry = registry = CollectorRegistry()
        self._depth = Gauge(f"{_PREFIX}_queue_depth", "Services that wait to be looked at.", registry=registry)
        self._oldest = Gauge(
            f"{_PREFIX}_queue_oldest_seconds", "How long the longest-waiting service has waited.", registry=registry
        )
        self._adds = Counter(f"{_PREFIX}_queue_adds", "Services queued.", registry=registry)
        self._retries = Counter(
            f"{_PREFIX}_queue_retries", "Reconciles tried again after a failure.", registry=registry
        )
        self._waits = Histogram(
            f"{_PREFIX}_queue_wait_seconds",
            "Time that services waited in the queue.",
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._reconciles = Histogram(
            f"{_PREFIX}_reconcile_duration_seconds",
            "Time of one reconcile, by its result: done, again or error.",
            ["result"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._applies = Counter(
            f"{_PREFIX}_applies",
            "Children looked at, by kind and whether they had to be written.",
            ["kind", "result"],
            registry=registry,
        )
        self._calls = Counter(
            f"{_PREFIX}_api_calls",
            "Requests to the Kubernetes API, by verb and HTTP status.",
            ["verb", "code"],
            registry=registry,
        )
        self._leader = Gauge(f"{_PREFIX}_leader", "1 in the replica that acts, else 0.", registry=registry)
        self._services = Gauge(f"{_PREFIX}_services", "InferenceServices known.", registry=registry)
        self._canaries = {
            name: Gauge(f"{_PREFIX}_canary_{name}", text, ["namespace", "name", *labels], registry=registry)
            for name, (text, *labels) in _CANARY.items()
        }
        self._shown: set[Key] = set()
        self._scalings = {
            name: Gauge(f"{_PREFIX}_autoscaling_{name}", text, ["namespace", "name", *labels], registry=registry)
            for name, (text, *labels) in _SCALING.items()
        }
        self._looks = Histogram(
            f"{_PREFIX}_signals_look_seconds",
            "Time of one look at what all services with autoscaling are asked for; one is begun every 5 s.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._series = Gauge(
            f"{_PREFIX}_signals_series", "Series that Prometheus has answered with at the last look.", registry=registry
        )
        self._scrapes = Counter(
            f"{_PREFIX}_signals_scrapes",
            "Pods that were asked for their counters directly, by whether they have told: ok or failed.",
            ["result"],
            registry=registry,
        )
        self._silent = Gauge(
            f"{_PREFIX}_signals_silent_pods",
            "Ready pods of services with autoscaling of which nothing is known that can be relied on.",
            registry=registry,
        )
        build = Gauge(f"{_PREFIX}_build_info", "Always 1.", ["version", "python"], registry=registry)
        build.labels(version(names.OPERATOR), platform.python_version()).set(1)
        ProcessCollector(namespace=_PREFIX, registry=registry)

    def watch(
        self, *, depth: Callable[[], float], oldest_seconds: Callable[[], float], services: Callable[[], float]
    ) -> None:
        """Read these numbers whenever the metrics are read."""
        self._depth.set_function(depth)
        self._oldest.set_function(oldest_seconds)
        self._services.set_function(services)

    def added(self) -> None:
        """See `QueueObserver`."""
        self._adds.inc()

    def retried(self) -> None:
        """See `QueueObserver`."""
        self._retries.inc()

    def waited(self, seconds: float) -> None:
        """See `QueueObserver`."""
        self._waits.observe(seconds)

    def called(self, *, verb: str, code: str) -> None:
        """See `edges.kubernetes.Observer`."""
        self._calls.labels(verb, code).inc()

    def reconciled(self, result: Result, *, seconds: float) -> None:
        """Count a reconcile."""
        self._reconciles.labels(result).observe(seconds)

    def applied(self, kind: Kind, *, changed: bool) -> None:
        """Count one child that was looked at: written, or found as it should be."""
        self._applies.labels(kind.kind, "changed" if changed else "unchanged").inc()

    def canary(self, key: Key, status: Mapping[str, Any]) -> None:
        """Show where the canary of a service is, or nothing where it has none.

        Args:
            key: namespace and name of the service.
            status: its status, {} if it is gone.
        """
        rollout = status.get("rollout")
        if rollout is None:
            if key in self._shown:
                self._shown.remove(key)
                for gauge in self._canaries.values():
                    gauge.remove_by_labels({"namespace": key[0], "name": key[1]})
            return
        self._shown.add(key)
        shown = self._canaries
        shown["weight_percent"].labels(*key).set((status.get("canary") or {}).get("weight", 0))
        shown["step"].labels(*key).set(rollout["step"])
        paused = [c for c in status.get("conditions") or () if c["type"] == CANARY_PAUSED and c["status"] == "True"]
        shown["paused"].labels(*key).set(len(paused))
        for verdict, part in (("FAIL", "towardsFail"), ("PASS", "towardsPass")):
            shown["evidence_percent"].labels(*key, verdict).set(rollout[part])
        for side in ("canary", "stable"):
            counts = rollout[side]
            for what in ("requests", "failed", "timed", "slow"):
                shown["judged_requests"].labels(*key, side, what).set(counts.get(what, 0))

    def scaled(self, key: Key, numbers: Mapping[str, float] | None) -> None:
        """Show what the autoscaler of a service makes of what it measures.

        Args:
            key: namespace and name of the service.
            numbers: by the names of the metrics, after `:` the value of its label; None where there is none any more.
        """
        if numbers is None:
            for gauge in self._scalings.values():
                gauge.remove_by_labels({"namespace": key[0], "name": key[1]})
            return
        for name, value in numbers.items():
            metric, _, label = name.partition(":")
            self._scalings[metric].labels(*key, *([label] if label else [])).set(value)

    def looked(self, *, seconds: float, series: int, silent: int) -> None:
        """See `controller.gauges.Observer`."""
        self._looks.observe(seconds)
        self._series.set(series)
        self._silent.set(silent)

    def scraped(self, *, told: bool) -> None:
        """See `controller.gauges.Observer`."""
        self._scrapes.labels("ok" if told else "failed").inc()

    def leads(self) -> None:
        """Say that this replica acts from now on."""
        self._leader.set(1)
