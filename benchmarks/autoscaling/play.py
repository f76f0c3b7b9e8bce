"""Let a policy scale simulated servers through a scenario, and count what becomes of the requests.

Not for: the scenarios, nor telling of the results; see `report`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from random import Random

import numpy as np

from benchmarks.autoscaling.baselines import kpa, oracle
from benchmarks.autoscaling.inputs import WARM_SECONDS, Rates, arrivals
from benchmarks.autoscaling.loads import Looks
from benchmarks.autoscaling.policies import Ours, Planned, Policy, View
from benchmarks.autoscaling.scenarios import Scenario
from benchmarks.autoscaling.scrapes import Scrapes
from benchmarks.autoscaling.servers import NEVER, Fleet, Starts, gpu_seconds

LEAST = 1
OWN_SCRAPE_SECONDS = 5
PROMETHEUS_SCRAPE_SECONDS = 15
FLIP_SECONDS = 600.0
BEGIN_SHARE = 0.5  # of the peak that a replica carries at the begin, the same for all
DRAWN = 0x7A1  # sets the draw of the requests apart from that of times and choices


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a scenario under a policy.

    Attributes:
        requests: that were measured.
        over: share of them that were not answered within the objective; those that still wait too long among them.
        p50: latency in seconds of those that were answered.
        p95: the same.
        p99: the same.
        gpu_hours: from creation to removal, starting and draining included.
        minutes_over: minutes in which the objective was not kept.
        changes: of the number of replicas.
        flips: changes against the direction of one within the ten minutes before.
        spent: milliseconds of CPU of each decision, where that is measured.
        replicas: that were asked for, by second from the begin of the measurement on.
    """

    requests: int
    over: float
    p50: float
    p95: float
    p99: float
    gpu_hours: float
    minutes_over: int
    changes: int
    flips: int
    spent: tuple[float, ...] = field(repr=False)
    replicas: tuple[int, ...] = field(repr=False)


def load_of(scenario: Scenario, seed: int) -> tuple[Rates, list[float]]:
    """The rates of a scenario, and the requests that a seed draws from them."""
    rates = scenario.rates()
    return rates, arrivals(rates, scenario.factor, np.random.default_rng([DRAWN, seed]))


def play(scenario: Scenario, requests: Sequence[float], end: int, policy: Policy, seed: int) -> Outcome:
    """Play a scenario through.

    Args:
        scenario: what is played.
        requests: when they come.
        end: in seconds.
        policy: who scales.
        seed: of times and choices.
    """
    random = Random(seed)
    warm = sum(at < 60 for at in requests) / 60
    begin = max(LEAST, round(warm / (BEGIN_SHARE * scenario.model.peak) + 0.5))
    starts = Starts(scenario.lead_seconds, free_nodes=scenario.free_nodes, node_seconds=scenario.node_seconds)
    fleet = Fleet(scenario.model, requests, starts, scenario.balancing, random, begin)
    view = View(
        scenario.model,
        fleet,
        own=Looks(fleet, _scrapes(scenario, fleet, OWN_SCRAPE_SECONDS, seed)),
        prometheus=_scrapes(scenario, fleet, PROMETHEUS_SCRAPE_SECONDS, seed),
        concurrency=[],
        tail=scenario.tail,
        least=LEAST,
        most=scenario.most,
    )
    phase = random.randrange(policy.period_seconds)
    replicas: list[int] = []
    for second in range(1, end + 1):
        busy = fleet.busy
        fleet.advance(second)
        view.concurrency.append(fleet.busy - busy)
        del view.concurrency[: -kpa.STABLE_SECONDS]
        if second % OWN_SCRAPE_SECONDS == 0:
            view.own.scrape()
        if second % PROMETHEUS_SCRAPE_SECONDS == 0:
            view.prometheus.scrape()
        if second % policy.period_seconds == phase:
            fleet.scale(max(LEAST, min(scenario.most, policy.replicas(view))))
        replicas.append(fleet.asked)
    spent = tuple(1000 * each for each in policy.spent) if isinstance(policy, Ours) else ()
    return _outcome(scenario, requests, fleet, replicas[WARM_SECONDS:], end, spent)


def foresee(scenario: Scenario, requests: Sequence[float], end: int, seed: int) -> Outcome:
    """Play the plan of the fewest GPU-hours that keeps the objective over the whole of a scenario."""
    lead = 1.4 * (scenario.lead_seconds + scenario.node_seconds)
    peak = scenario.model.peak
    found: list[Outcome] = []

    def over(slot: int, capacity: float) -> float:
        plan = oracle.plan(
            requests, capacity=capacity, slot_seconds=slot, lead_seconds=lead, end=end, most=scenario.most
        )
        found.append(play(scenario, requests, end, Planned(plan, slot), seed))
        return found[-1].over

    allowed = 1 - scenario.model.percentile / 100
    for slot in oracle.SLOTS:
        oracle.largest(partial(over, slot), allowed=allowed, low=oracle.LOW * peak, high=oracle.HIGH * peak)
    kept = [outcome for outcome in found if outcome.over <= allowed]
    return min(kept, key=lambda each: each.gpu_hours) if kept else min(found, key=lambda each: each.over)


def peak_replicas(scenario: Scenario, rates: Rates) -> int:
    """Replicas for the busiest minute of a scenario at 0.7 of their peak."""
    minutes = np.convolve(rates[WARM_SECONDS:], np.ones(60) / 60, "valid")
    return min(scenario.most, int(np.ceil(float(minutes.max()) * scenario.factor / (0.7 * scenario.model.peak))))


def _scrapes(scenario: Scenario, fleet: Fleet, every_seconds: int, seed: int) -> Scrapes:
    return Scrapes(
        fleet,
        every_seconds=every_seconds,
        outages=scenario.outages,
        lost_share=scenario.lost_share,
        random=Random(seed + every_seconds),
    )


def _outcome(
    scenario: Scenario,
    requests: Sequence[float],
    fleet: Fleet,
    replicas: list[int],
    end: int,
    spent: tuple[float, ...],
) -> Outcome:
    objective = scenario.model.objective_seconds
    came, took = np.asarray(requests), np.asarray(fleet.took[: len(requests)])
    # What came last and has no answer yet may still get it in time.
    counted = (came >= WARM_SECONDS) & (came < end) & ((took < NEVER) | (end - came > objective))
    came, took = came[counted], took[counted]
    over = took > objective
    minutes = (came // 60).astype(int)
    by_minute = np.bincount(minutes, weights=over) / np.maximum(1, np.bincount(minutes))
    answered = took[took < NEVER]
    quantiles = np.quantile(answered, [0.5, 0.95, 0.99]) if len(answered) else [NEVER] * 3
    p50, p95, p99 = (float(value) for value in quantiles)
    changes, flips = count_changes(replicas)
    return Outcome(
        requests=len(came),
        over=float(over.mean()),
        p50=p50,
        p95=p95,
        p99=p99,
        gpu_hours=gpu_seconds(fleet.replicas, WARM_SECONDS, end) / 3600,
        minutes_over=int((by_minute > 1 - scenario.model.percentile / 100).sum()),
        changes=changes,
        flips=flips,
        spent=spent,
        replicas=tuple(replicas),
    )


def count_changes(replicas: Sequence[int]) -> tuple[int, int]:
    """Count the changes, and those against the direction of one within the ten minutes before.

    Args:
        replicas: by second.
    """
    changes = [(second, 1 if new > old else -1) for second, (old, new) in enumerate(pairwise(replicas)) if new != old]
    flips = sum(
        any(other != way and at - before <= FLIP_SECONDS for before, other in changes[:number])
        for number, (at, way) in enumerate(changes)
    )
    return len(changes), flips
