"""How many replicas each thing that is wanted takes: the objective, and each metric of the spec.

Not for: which of them counts, and when; that is `core.autoscaler`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from triton_operator.api.autoscaling import Autoscaling, Objective, ScalingMetric
from triton_operator.core.behavior import TOLERANCE, tolerated
from triton_operator.core.capacity import MOST_MISFIT, TAILS, Capacity, Curve, capacity, single_capacity
from triton_operator.core.forecast import Forecast
from triton_operator.core.load import Load

HEADROOM = 2.0
"""So many times the scatter of the arrivals is planned for beside their level."""
LEAST_BACKLOG_SECONDS = 30.0
CALM_ENOUGH = 0.9
"""Share of what replicas carry at all below which the tail is that of batches, not of a queue that grows."""
ENOUGH_REQUESTS = 50
"""Of fewer a percentile says nothing."""
FELT_GAIN = 0.2
LEAST_STEP, MOST_STEP = 0.5, 1.25
MEAN_TAIL = 1.6
"""The mean of a request's time is about so many times that of its batch."""
IDLE = 1e-9


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules below are asked about; the attributes are those of `core.autoscaler.Sight` and `Memory`.

    `wanted` are the replicas that were asked for last, at least 1.
    """

    wish: Autoscaling
    load: Load | None
    ready: int
    wanted: int
    curve: Curve
    felt: float
    forecast: Forecast
    lead_seconds: float
    most_batch: int
    instances: int
    values: Mapping[int, float] = field(default_factory=dict)
    troubles: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demand:
    """Replicas that something takes.

    Attributes:
        replicas: so many; None where it cannot be told.
        words: why, as the subject of "need so many"; where it cannot be told, why not.
        capacity: requests per second that one replica carries within the objective; 0 where that is not asked.
        caveat: what the user should know, as reason and message, or None.
    """

    replicas: int | None
    words: str
    capacity: float = 0.0
    caveat: tuple[str, str] | None = None


def demands(facts: Facts) -> tuple[Demand, ...]:
    """List what each thing that the spec wants takes."""
    metrics = facts.wish.metrics or ()
    found = [of_objective(facts, facts.wish.objective)] if facts.wish.objective else []
    return (*found, *(of_metric(facts, metric, place) for place, metric in enumerate(metrics)))


def of_objective(facts: Facts, objective: Objective) -> Demand:
    """Say what it takes to answer what is to come within the objective."""
    load = facts.load
    if load is None:
        return Demand(None, "nothing is known of what is asked of its pods")
    level, ahead = facts.forecast.level, facts.forecast.ahead(facts.lead_seconds)
    headroom = HEADROOM * facts.forecast.scatter
    plan = ahead + headroom
    words = _plan_words(plan, level, ahead - level, headroom)
    within = f"within {objective.latency_milliseconds} ms (p{objective.percentile})"
    if plan <= IDLE:
        return Demand(1, "no requests", _rate(facts, objective))
    single = facts.most_batch <= 1
    carried = None if single else _carried(facts, objective)
    if carried is None and (facts.curve.weight == 0 or facts.curve.misfit() > MOST_MISFIT):
        return _by_feel(facts, plan, words, within)
    if carried is None:
        return _single(facts, objective, plan, words, within)
    backlog = max(0.0, load.pending - facts.most_batch / 2 * facts.instances * facts.ready)
    patience = max(LEAST_BACKLOG_SECONDS, facts.lead_seconds / 2)
    needed = max(plan / carried.rate, (level + backlog / patience) / carried.most)
    if backlog > 0:
        words += f", while {load.pending:.0f} wait,"
    return Demand(
        max(1, math.ceil(needed - 1e-6)),
        f"{words} at {carried.rate:.3g} per replica {within}",
        carried.rate,
        _caveat(facts, carried, objective),
    )


def _plan_words(plan: float, level: float, trend: float, headroom: float) -> str:
    return f"{plan:.3g} requests/s planned ({level:.3g} now, {trend:.2g} trend, {headroom:.2g} headroom)"


def _carried(facts: Facts, objective: Objective) -> Capacity | None:
    return capacity(
        facts.curve,
        percentile=objective.percentile,
        objective_seconds=objective.latency_milliseconds / 1000,
        most_batch=facts.most_batch,
        instances=facts.instances,
    )


def _rate(facts: Facts, objective: Objective) -> float:
    carried = _carried(facts, objective) if facts.most_batch > 1 else None
    return carried.rate if carried else facts.felt


def _caveat(facts: Facts, carried: Capacity, objective: Objective) -> tuple[str, str] | None:
    if carried.infeasible:
        return "ObjectiveInfeasible", (
            f"a request takes {carried.fastest_seconds * 1000:.0f} ms (p{objective.percentile}) even where there is"
            f" hardly any other, so no number of replicas answers within {objective.latency_milliseconds} ms; replicas"
            " are as many as the load takes. Raise autoscaling.objective.latencyMilliseconds, or serve smaller batches"
        )
    return _unmeasured(facts)


def _unmeasured(facts: Facts) -> tuple[str, str] | None:
    if facts.curve.tail:
        return None
    percentile = facts.wish.objective.percentile if facts.wish.objective else 95
    return "ObjectiveUnmeasured", (
        f"nobody measures the latency of p{percentile}: it is taken to be {TAILS[percentile]:g} times as long as a"
        " batch. With spec.routing.gateway and the operator's setting prometheus.url it is measured"
    )


def _single(facts: Facts, objective: Objective, plan: float, words: str, within: str) -> Demand:
    """Ask how many replicas it takes where requests are executed one by one."""
    seconds = facts.curve.s / facts.curve.weight
    limit = objective.latency_milliseconds / 1000

    def rate(replicas: int) -> float:
        return single_capacity(
            seconds,
            percentile=objective.percentile,
            objective_seconds=limit,
            servers=replicas * facts.instances,
            arrival_scatter=1.0,
        )

    least = max(1, math.ceil(plan * seconds / facts.instances - 1e-6))
    if limit <= seconds:
        carried = Capacity(0.7 / seconds * facts.instances, 1 / seconds * facts.instances, True, seconds)
        needed = max(1, math.ceil(plan / carried.rate))
        caveat = _caveat(facts, carried, objective)
        return Demand(needed, f"{words} at {carried.rate:.3g} per replica", carried.rate, caveat)
    most = 2 * least + 2  # more are not bought: at half the load hardly any request waits
    low, high = least, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if rate(middle) >= plan else (middle + 1, high)
    carries = max(rate(low) / low, plan / low)
    return Demand(low, f"{words} at {carries:.3g} per replica {within}", carries, _unmeasured(facts))


def _by_feel(facts: Facts, plan: float, words: str, within: str) -> Demand:
    """Ask how many it takes where no curve fits, from how requests did at the load that there was."""
    if facts.felt <= 0:
        return Demand(max(1, facts.ready), f"{words}, of which nobody knows yet what they take,")
    needed = max(1, math.ceil(plan / facts.felt - TOLERANCE))
    return Demand(needed, f"{words} at about {facts.felt:.3g} per replica {within}", facts.felt, _unmeasured(facts))


def felt(before: float, load: Load, objective: Objective | None) -> float:
    """Say what one replica carries by how its requests did: more than now where they were quick, less where not.

    Args:
        before: what was said before; 0 for nothing.
        load: what was measured.
        objective: what requests are to keep.
    """
    if objective is None or load.pods == 0 or not load.latency_seconds:
        return before
    now = load.completions / (load.pods + load.silent)
    if now <= 0:
        return before
    tail = load.tail_seconds or load.latency_seconds * TAILS[objective.percentile] / MEAN_TAIL
    step = min(MOST_STEP, max(LEAST_STEP, objective.latency_milliseconds / 1000 / tail))
    found = now * step
    if not before:
        return found
    if step > 1 and found < before:  # a light load says nothing about a heavy one
        return before
    return before + FELT_GAIN * (found - before)


def batch_seen(mean: float, most: int) -> float:
    """Say of how many requests the batch is, on average, that a request is part of.

    The time of a batch is measured by requests, so that large batches count more often than small ones. Where requests
    that come while one batch runs are the next one, sizes are one and a Poisson number: E[b²]/E[b] = b + (b - 1) / b.

    Args:
        mean: requests in a batch, on average over batches.
        most: the most that there may be; 0 or 1 for no batching.
    """
    if mean <= 1:
        return mean
    return (
        min(
            mean + (mean - 1) / mean,
            float(max(most, 1)),
        )
        if most > 1
        else mean
    )


def business(load: Load, curve: Curve, most_batch: int, instances: int, ready: int) -> float:
    """Say how busy replicas are, as a share of what they carry at all; 1 where that is not known."""
    line = curve.line()
    if line is None or not ready:
        return 1.0
    size = max(1, most_batch)
    most = size / (line[0] + line[1] * size) * instances * ready
    return max(load.arrivals, load.completions) / most


def is_by_load(wish: Autoscaling) -> bool:
    """Say whether anything that the spec wants is seen from what Triton or a Gateway counts."""
    return wish.objective is not None or any(metric.type != "prometheus" for metric in wish.metrics or ())


def of_metric(facts: Facts, metric: ScalingMetric, place: int) -> Demand:
    """Say what it takes to keep a metric at its target, as autoscaling/v2 works it out.

    Args:
        facts: what is known.
        metric: the metric.
        place: its place in the spec.
    """
    measured, unit, shared = _measured(facts, metric, place)
    target = float(metric.target)
    if measured is None or not math.isfinite(measured):
        why = f": {facts.troubles[place]}" if place in facts.troubles else ""
        return Demand(None, f"{metric.label} (spec.autoscaling.metrics[{place}]) cannot be had{why}")
    now = facts.wanted
    per_replica = measured / now if shared else measured
    words = f"{metric.label} of {per_replica:.3g}{unit} per replica, for which {target:.3g} is the target,"
    if not shared:
        words = f"{metric.label} of {measured:.3g}{unit}, for which {target:.3g} is the target,"
    if facts.ready == 0 and not shared:
        return Demand(max(1, now), words)  # what none shows says nothing about more or fewer
    if tolerated(per_replica / target, facts.wish.behavior):
        return Demand(max(1, now), words)
    replicas = measured / target if shared else facts.ready * measured / target
    return Demand(max(1, math.ceil(replicas - IDLE)), words)


def _measured(facts: Facts, metric: ScalingMetric, place: int) -> tuple[float | None, str, bool]:
    """Give the value of a metric, its unit, and whether it is shared out among the replicas."""
    load = facts.load
    if metric.type == "prometheus":
        return facts.values.get(place), "", metric.metric_type != "Value"
    if load is None:
        return None, "", True
    idle = load.completions <= IDLE and load.pending <= IDLE
    if metric.type == "latency":
        return 0.0 if idle else _milliseconds(load.latency_seconds), " ms", False
    if metric.type == "queueTime":
        return 0.0 if idle else _milliseconds(load.queue_seconds), " ms", False
    if metric.type == "throughput":
        return facts.forecast.level, " requests/s", True
    if metric.type == "concurrency":
        executing = load.completions * (load.batch_seconds or 0.0)
        return max(load.concurrency, load.pending + executing), " requests", True
    return None if load.gpu_utilization is None else 100 * load.gpu_utilization, " %", False


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
