"""What the policies are put through: a load, a model, a lead time, and what goes wrong.

Those for tuning and those that are reported share no half of a trace, no shape, no model and no seed.
Not for: running them; see `play`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.autoscaling import inputs
from benchmarks.autoscaling.inputs import Rates
from benchmarks.autoscaling.models import Model, concave, linear, step
from benchmarks.autoscaling.scrapes import Outage
from benchmarks.autoscaling.servers import Balancing

LEADS = (30, 90, 180)
HALF = 1718  # seconds, of an hour of Azure's


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table.

    Attributes:
        name: of the load.
        rates: of the load, by second; the first ten minutes are not measured.
        factor: requests per second for each unit of the rates.
        model: who serves it.
        lead_seconds: from the creation of a replica to its being ready, the median.
        twist: what else there is; "" for nothing.
        balancing: how the gateway picks a replica.
        outages: of the scrapers.
        lost_share: of scrapes.
        tail: whether the gateway's histogram can be had.
        free_nodes: replicas that need no new node.
        node_seconds: what a new node takes.
        most: replicas.
    """

    name: str
    rates: Callable[[], Rates]
    factor: float
    model: Model
    lead_seconds: int
    twist: str = ""
    balancing: Balancing = Balancing.TWO_CHOICES
    outages: tuple[Outage, ...] = ()
    lost_share: float = 0.0
    tail: bool = False
    free_nodes: int = 1000
    node_seconds: float = 0.0
    most: int = 40

    @property
    def title(self) -> str:
        """Name it in one line."""
        return ", ".join([self.name, self.model.name, f"{self.lead_seconds} s", *([self.twist] if self.twist else [])])


def _twisted(calm: Scenario) -> tuple[Scenario, ...]:
    """The same load under what goes wrong."""
    return (
        replace(calm, twist="round robin", balancing=Balancing.ROUND_ROBIN),
        replace(calm, twist="a third of the scrapes lost", lost_share=1 / 3),
        replace(calm, twist="Prometheus down for 5 min", outages=(Outage(900, 1200, answers=False),)),
        replace(calm, twist="Prometheus empty for 5 min", outages=(Outage(900, 1200, answers=True),)),
        replace(calm, twist="with the gateway's histogram", tail=True),
        replace(calm, twist="a new node of 120 s for each beyond 8", free_nodes=8, node_seconds=120.0),
    )


def _each(name: str, rates: Callable[[], Rates], factor: float, model: Model) -> tuple[Scenario, ...]:
    return tuple(Scenario(name, rates, factor, model, lead) for lead in LEADS)


def _azure(name: str, begin: int) -> Callable[[], Rates]:
    return lambda: inputs.azure(name)[begin : begin + inputs.SECONDS]


def _mooncake() -> Rates:
    return inputs.mooncake()[: inputs.SECONDS]


_LINEAR = Model("linear, batch 8", linear(0.30, 0.08), 8, 1.5, noise=0.2)
_SINGLE = Model("no batches, 2 instances", linear(0.0, 0.7), 1, 2.5, instances=2, noise=0.3)
_CONCAVE = Model("concave, batch 16", concave(0.20, 0.15, 0.6), 16, 1.5)
_STEP = Model("step, batch 16", step(0.25, 0.06), 16, 2.0, noise=0.1)

REPORTED: tuple[Scenario, ...] = (
    *_each("Azure code", _azure("code", HALF - inputs.WARM_SECONDS), 6.0, _LINEAR),
    *_each("Azure conversation", _azure("conv", HALF - inputs.WARM_SECONDS), 2.0, _SINGLE),
    *_each("Mooncake", _mooncake, 12.0, _CONCAVE),
    *_each("step", lambda: inputs.steps(4.0), 12.0, _STEP),
    *_each("ramp", lambda: inputs.ramp(6.0), 10.0, _CONCAVE),
    *_each("sawtooth", lambda: inputs.sawtooth(4.0, 300), 12.0, _LINEAR),
    *_each("flash crowd", lambda: inputs.flash(6.0, 240.0), 8.0, _LINEAR),
    *_twisted(Scenario("ramp", lambda: inputs.ramp(6.0), 8.0, _LINEAR, 90)),
)
REPORTED_SEEDS = (1, 2, 3, 4, 5)

_TUNED_LINEAR = Model("linear, batch 8", linear(0.40, 0.10), 8, 2.0)
_TUNED_SINGLE = Model("no batches", linear(0.85, 0.05), 1, 3.0, noise=0.2)
_TUNED_LARGE = Model("linear, batch 32", linear(0.25, 0.02), 32, 1.0)
_TUNED_CONCAVE = Model("concave, batch 8", concave(0.30, 0.20, 0.7), 8, 2.5)
_TUNED_STEP = Model("step, batch 8", step(0.35, 0.09), 8, 2.5, noise=0.1)

TUNED: tuple[Scenario, ...] = (
    *_each("Azure code", _azure("code", 0), 5.0, _TUNED_CONCAVE),
    *_each("Azure conversation", _azure("conv", 0), 1.0, _TUNED_SINGLE),
    *_each("step", lambda: inputs.steps(3.0), 10.0, _TUNED_LINEAR),
    *_each("ramp", lambda: inputs.ramp(4.0), 8.0, _TUNED_STEP),
    *_each("sawtooth", lambda: inputs.sawtooth(3.0, 450), 40.0, _TUNED_LARGE),
    *_each("flash crowd", lambda: inputs.flash(4.0, 400.0), 10.0, _TUNED_LINEAR),
    *_twisted(Scenario("sawtooth", lambda: inputs.sawtooth(3.0, 600), 8.0, _TUNED_LINEAR, 90)),
)
TUNED_SEEDS = (101, 102)
