"""Who decides on the number of replicas, and from what: the operator's policy, the others at their settings, bounds.

Not for: how the others decide (`baselines`), nor when anybody is asked (`play`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.autoscaling.baselines import hpa, kpa
from benchmarks.autoscaling.loads import EPOCH, Looks
from benchmarks.autoscaling.models import Model
from benchmarks.autoscaling.scrapes import Rates, Scrapes
from benchmarks.autoscaling.servers import Fleet, Replica
from triton_operator.api.autoscaling import Autoscaling, Objective
from triton_operator.core import autoscaler

LEADS = 10
RATE_SECONDS = 60.0  # of rate() in the queries of the others: four scrapes of 15 s


@dataclass(frozen=True, slots=True)
class View:
    """What policies may look at.

    Attributes:
        model: what is served; only its objective, batch and instances are known to the operator's policy.
        fleet: the replicas.
        own: looks of the operator.
        prometheus: scrapes of Prometheus.
        concurrency: mean of each second, that of what is parked included, the newest last.
        tail: whether the gateway's histogram can be had.
        least: replicas.
        most: replicas.
    """

    model: Model
    fleet: Fleet
    own: Looks
    prometheus: Scrapes
    concurrency: list[float]
    tail: bool
    least: int
    most: int


class Policy(Protocol):
    """Decides on the number of replicas."""

    period_seconds: int

    def replicas(self, view: View) -> int:
        """Look once."""


Advance = Callable[[autoscaler.Memory, autoscaler.Sight, float], autoscaler.Memory]


@dataclass(slots=True)
class Ours:
    """The operator's policy, told of an objective, and of nothing else.

    Attributes:
        advance: the policy.
        spent: seconds of CPU of each look.
        memory: what it carries.
        period_seconds: between looks.
    """

    advance: Advance = autoscaler.advance
    spent: list[float] = field(default_factory=list)
    memory: autoscaler.Memory | None = None
    period_seconds: int = 5

    def replicas(self, view: View) -> int:
        """Look once."""
        model, fleet = view.model, view.fleet
        load, trouble = view.own.load(model.percentile, tail=view.tail)
        objective = Objective.model_validate(
            {"percentile": model.percentile, "latencyMilliseconds": round(1000 * model.objective_seconds)}
        )
        sight = autoscaler.Sight(
            wish=Autoscaling(min_replicas=view.least, max_replicas=view.most, objective=objective),
            least=view.least,
            most=view.most,
            revision="1",
            load=load,
            ready=len(fleet.ready),
            starting=len(fleet.starting),
            trouble=trouble,
            leads=tuple(fleet.leads[-LEADS:]),
            most_batch=model.most_batch,
            instances=model.instances,
        )
        memory = self.memory or autoscaler.begin(fleet.asked)
        began = time.thread_time()
        self.memory = self.advance(memory, sight, EPOCH + fleet.now)
        self.spent.append(time.thread_time() - began)
        return self.memory.decision.replicas


@dataclass(slots=True)
class ByPods:
    """An HPA on a Pods metric that Prometheus has; as long as it has none, nothing changes.

    Attributes:
        value: the metric of a replica.
        target: what a replica is to have of it.
        memory: what the HPA carries.
        period_seconds: between syncs.
    """

    value: Callable[[Rates], float]
    target: Callable[[Model], float]
    memory: hpa.Memory = field(default_factory=hpa.Memory)
    period_seconds: int = int(hpa.SYNC_SECONDS)

    def replicas(self, view: View) -> int:
        """Sync once."""
        fleet, current = view.fleet, view.fleet.asked
        found = [] if view.prometheus.down() else [self._rates(view, replica) for replica in fleet.ready]
        values = [self.value(rates) for rates in found if rates is not None]
        if not values:
            return current
        missing = current - len(values)
        wanted = hpa.by_pods(values, missing=missing, ignored=0, target=self.target(view.model), current=current)
        return _settle(self, wanted, view)

    def _rates(self, view: View, replica: Replica) -> Rates | None:
        return view.prometheus.rates(replica, RATE_SECONDS)


@dataclass(slots=True)
class Keda:
    """KEDA on the requests per second that the gateway counts.

    An empty answer is 0 to it (`ignoreNullValues`, the default); when the query fails, the HPA keeps what there is.

    Attributes:
        share: of what a replica can do at most with full batches, what it is to have.
        memory: what the HPA carries.
        period_seconds: between syncs.
    """

    share: float
    memory: hpa.Memory = field(default_factory=hpa.Memory)
    period_seconds: int = int(hpa.SYNC_SECONDS)

    def replicas(self, view: View) -> int:
        """Sync once."""
        if view.prometheus.down():
            return view.fleet.asked
        total = view.prometheus.arrivals(RATE_SECONDS) or 0.0
        return _settle(self, hpa.by_total(total, target=self.share * view.model.peak, current=view.fleet.asked), view)


@dataclass(slots=True)
class Knative:
    """Knative's pod autoscaler; containerConcurrency is a full batch of each instance. It scrapes for itself.

    Attributes:
        down_delay_seconds: of its configuration, 0 by default.
        memory: what it carries.
        period_seconds: between ticks.
    """

    down_delay_seconds: float
    memory: kpa.Memory | None = None
    period_seconds: int = int(kpa.TICK_SECONDS)

    def replicas(self, view: View) -> int:
        """Tick once."""
        now, fleet, model = view.fleet.now, view.fleet, view.model
        self.memory, replicas = kpa.advance(
            self.memory or kpa.begin(len(fleet.ready), now),
            stable=kpa.average(view.concurrency, kpa.STABLE_SECONDS),
            panic=kpa.average(view.concurrency, kpa.PANIC_SECONDS),
            target=kpa.UTILIZATION * model.most_batch * model.instances,
            ready=len(fleet.ready),
            now=now,
            least=view.least,
            most=view.most,
            down_delay_seconds=self.down_delay_seconds,
        )
        return replicas


@dataclass(slots=True)
class Planned:
    """As many replicas as somebody has said before.

    Attributes:
        plan: replicas, one number for each period; the last one stays.
        period_seconds: between them.
    """

    plan: Sequence[int]
    period_seconds: int

    def replicas(self, view: View) -> int:
        """Read the plan."""
        return self.plan[min(len(self.plan) - 1, int(view.fleet.now) // self.period_seconds)]


def _settle(policy: ByPods | Keda, wanted: int, view: View) -> int:
    policy.memory, replicas = hpa.settle(
        policy.memory,
        wanted,
        current=view.fleet.asked,
        now=view.fleet.now,
        least=view.least,
        most=view.most,
        behaviour=hpa.Behaviour(),
    )
    return replicas


def _slots(share: float) -> Callable[[Model], float]:
    return lambda model: share * model.most_batch * model.instances


def _in_triton(rates: Rates) -> float:
    return rates.queue_seconds + rates.compute_seconds


def _queue_microseconds(rates: Rates) -> float:
    return rates.queue_seconds * 30e6 / (1 + rates.success * 30)


def _queue_to_compute(rates: Rates) -> float:
    return rates.queue_seconds / rates.compute_seconds if rates.compute_seconds else 0.0


# One configuration for all scenarios. What an operator of the service would have to know for it stands in the name.
OURS = "triton-operator"
POLICIES: dict[str, Callable[[], Policy]] = {
    OURS: Ours,
    "HPA, concurrency 0.7 of a batch": lambda: ByPods(_in_triton, _slots(0.7)),
    "HPA, concurrency 0.4 of a batch": lambda: ByPods(_in_triton, _slots(0.4)),
    "HPA, queue to compute 1": lambda: ByPods(_queue_to_compute, lambda _: 1.0),
    "HPA, queue time 50 us (Triton's chart)": lambda: ByPods(_queue_microseconds, lambda _: 50.0),
    "KPA, a batch": lambda: Knative(0.0),
    "KPA, a batch, down after 300 s": lambda: Knative(300.0),
    "KEDA, rps at 0.7 of the peak": lambda: Keda(0.7),
    "KEDA, rps at 0.5 of the peak": lambda: Keda(0.5),
    "KEDA, rps at 0.4 of the peak": lambda: Keda(0.4),
    "KEDA, rps at 0.3 of the peak": lambda: Keda(0.3),
}
