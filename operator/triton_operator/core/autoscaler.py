"""How many replicas a service needs: from what was measured to a number and the reason for it.

Each thing that is wanted makes a demand of its own; the largest wins. More replicas are asked for at once; fewer only
after a hold, which is longer where the last ones were missed soon after. What cannot be measured is in doubt, and in
doubt none is given up.
Pure: the operator and the simulator in `benchmarks/` run this very policy.
Not for: measuring (`core.signals`), what one replica carries (`core.capacity`), how replicas are shared out among
revisions (`core.shares`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.core import demand
from triton_operator.core.behavior import History, changed, held_until, limited, recommended
from triton_operator.core.capacity import Curve
from triton_operator.core.demand import Demand, Facts
from triton_operator.core.forecast import Forecast
from triton_operator.core.load import Load
from triton_operator.core.times import timestamp

LEAD_SECONDS = 120.0
"""How long a replica takes to get ready, before one was seen to."""
SHORTEST_HOLD_SECONDS = 120.0
LONGEST_HOLD_SECONDS = 900.0
LONGER, SHORTER = 1.5, 0.8
REGRET_SECONDS = 300.0
REGRET_SHARE, REGRET_REPLICAS = 0.25, 2
TOLD_SECONDS = 15.0
"""After this time a doubt is told."""
TOLD_AGAIN_SECONDS = 60.0
"""For this time after more than the most were needed it is told that they are limited."""
SHOWN_SECONDS = 30.0
"""After this time a hold is told: needs that go up and down are not worth a word."""
DOWN_SECONDS = 30.0
"""Between two steps downwards: requests have moved to the others by then."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows of a service.

    Attributes:
        wish: what the spec says.
        least: replicas that there must be, after schedules.
        most: replicas that there may be, after schedules.
        revision: the revision that serves, whose load this is.
        load: what was measured, or None.
        ready: replicas that are ready.
        starting: replicas that have been asked for and are not ready yet.
        trouble: why nothing, or not all, could be measured; "" where all was.
        bounded_by: which schedules set these bounds, in words; "" where none does.
        misfit: which schedules cannot be followed; "" where all are.
        values: of `wish.metrics` of type prometheus, by their place; one that is missing could not be had.
        troubles: why others cannot be had, by their place.
        leads: seconds from the creation of a pod to its being ready, of those that became ready last.
        stuck: why those that start do not get ready, in a sentence; "" while they may.
        stuck_by: what they lack: nodes or quota; "" for something else.
        judged: whether a canary is being judged.
        most_batch: the most requests in a batch; 0 or 1 where the model is not batched.
        instances: executions that one replica runs at a time.
    """

    wish: Autoscaling
    least: int
    most: int
    revision: str
    load: Load | None
    ready: int
    starting: int
    trouble: str = ""
    bounded_by: str = ""
    misfit: str = ""
    values: Mapping[int, float] = field(default_factory=dict)
    troubles: Mapping[int, str] = field(default_factory=dict)
    leads: tuple[float, ...] = ()
    stuck: str = ""
    stuck_by: str = ""
    judged: bool = False
    most_batch: int = 0
    instances: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there are to be, and why.

    Attributes:
        replicas: so many.
        because: one sentence with the numbers.
        capacity: requests per second that one replica carries within the objective; 0 while that is not known.
        lead_seconds: how long it takes from a decision to a replica that is ready.
        hold_until: until when replicas that are not needed are kept, in seconds since the epoch; 0 while none is, or
            where that is open.
        hold_reason: why they are kept; "" while none is.
        limited_by: what stands in the way of more: max, nodes, quota or metrics; "" where nothing does.
        measured_at: when the newest sample was taken, in seconds since the epoch; 0 before the first.
        age_seconds: how old that was.
        reason: one word for how scaling does.
        message: that in a sentence.
        basis: what the spec wanted.
    """

    replicas: int
    because: str = ""
    capacity: float = 0.0
    lead_seconds: float = 0.0
    hold_until: float = 0.0
    hold_reason: str = ""
    limited_by: str = ""
    measured_at: float = 0.0
    age_seconds: float = 0.0
    reason: str = "Starting"
    message: str = "nothing has been measured yet"
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the policy carries from look to look; opaque to its callers but for the decision.

    Attributes:
        decision: the last one.
        revision: the revision that the curve is of.
        curve: what its batches take.
        felt: requests per second that one replica carries, by how its requests did; 0 before. For what no curve fits.
        forecast: of the requests that arrive.
        needs: what was needed, and when, as far as it counts for the hold: each less than those before it.
        history: what was recommended and changed, for `behavior`.
        hold_seconds: for how long replicas that are not needed are kept.
        lowered: when there were fewer last, in seconds since the epoch, from how many and to how many.
        waiting: since when replicas start without any getting ready, in seconds since the epoch; 0 while none does.
        ready: how many were ready at the last look.
        measured_at: the time of the newest sample that was taken into account.
        doubted: since when not all was known, in seconds since the epoch; 0 while it is.
        beyond: when more than the most were needed last, in seconds since the epoch; 0 before.
    """

    decision: Decision
    revision: str = ""
    curve: Curve = field(default_factory=Curve)
    felt: float = 0.0
    forecast: Forecast = field(default_factory=Forecast)
    needs: tuple[tuple[float, int], ...] = ()
    history: History = field(default_factory=History)
    hold_seconds: float = SHORTEST_HOLD_SECONDS
    lowered: tuple[float, int, int] = (0.0, 0, 0)
    waiting: float = 0.0
    ready: int = 0
    measured_at: float = 0.0
    doubted: float = 0.0
    beyond: float = 0.0


def begin(replicas: int) -> Memory:
    """Begin with so many replicas, which are held as long as any that were needed."""
    return Memory(Decision(replicas))


def advance(memory: Memory, sight: Sight, now: float) -> Memory:
    """Look once.

    Args:
        memory: what the last look left, or `begin`.
        sight: what this look shows.
        now: seconds since the epoch; looks are about 5 s apart.
    """
    current = memory.decision.replicas
    lead = _lead(sight.leads, memory.decision.lead_seconds)
    learned = _learned(_patient(memory, sight, now), sight, now)
    facts = Facts(
        wish=sight.wish,
        load=sight.load,
        ready=sight.ready,
        wanted=max(1, current),
        values=sight.values,
        troubles=sight.troubles,
        curve=learned.curve,
        felt=learned.felt,
        forecast=learned.forecast,
        lead_seconds=lead,
        most_batch=sight.most_batch,
        instances=sight.instances,
    )
    demands = demand.demands(facts)
    known = [one for one in demands if one.replicas is not None]
    top = max(known, key=lambda one: one.replicas or 0, default=None)
    needed = (top.replicas if top else None) or (current if demands else sight.least)
    unknown = next((one.words for one in demands if one.replicas is None), "")
    doubt = (sight.trouble if demand.is_by_load(sight.wish) else "") or unknown
    if doubt:
        needed = max(needed, current)
    learned = replace(
        learned,
        doubted=(learned.doubted or now) if doubt else 0.0,
        beyond=now if needed > sight.most else learned.beyond,
    )
    bounded = min(max(needed, sight.least), sight.most)
    behavior = sight.wish.behavior
    history = recommended(learned.history, bounded, behavior, now)
    held = replace(learned, needs=_remembered(learned, bounded, current, now), history=history)
    stuck = sight.stuck or _slow(held, sight, lead, now)
    allowed, slowed = limited(history, current, bounded, behavior, now)
    if bounded > current:
        settled = _raised(held, allowed, now) if not stuck else held
    elif behavior and behavior.scale_down:
        settled = held if doubt or sight.judged else replace(held, decision=replace(held.decision, replicas=allowed))
    else:
        settled, slowed = _lowered(held, sight, doubt, lead, now), ""
    replicas = min(max(settled.decision.replicas, sight.least), sight.most)
    settled = replace(settled, history=changed(history, current, replicas, behavior, now))
    return replace(
        settled,
        decision=_explained(
            settled,
            sight,
            replicas=replicas,
            needed=needed,
            top=top,
            doubt=doubt,
            stuck=stuck,
            slowed=slowed,
            lead=lead,
            now=now,
        ),
    )


def _lead(leads: tuple[float, ...], before: float) -> float:
    """Take the ninth of ten lead times; they are few. Where none was seen yet, what was taken before."""
    return sorted(leads)[min(len(leads) - 1, int(0.9 * len(leads)))] if leads else before or LEAD_SECONDS


def _patient(memory: Memory, sight: Sight, now: float) -> Memory:
    """Note since when replicas start without any getting ready."""
    got_on = sight.ready > memory.ready or not sight.starting
    waiting = 0.0 if not sight.starting else now if got_on or not memory.waiting else memory.waiting
    return replace(memory, waiting=waiting, ready=sight.ready)


def _slow(memory: Memory, sight: Sight, lead: float, now: float) -> str:
    """Say that those that start should have been ready long ago."""
    if not memory.waiting or now - memory.waiting < max(2 * lead, 60.0):
        return ""
    return f"none of those that start has become ready since {timestamp(memory.waiting)}"


def _learned(memory: Memory, sight: Sight, now: float) -> Memory:
    """Take what is new into account."""
    if sight.revision != memory.revision:
        memory = replace(memory, revision=sight.revision, curve=memory.curve.seed())
    load = sight.load
    if load is None or load.at <= memory.measured_at:
        return memory
    curve = memory.curve
    if load.batch_seconds and load.executions:
        size = demand.batch_seen(load.batch, sight.most_batch)
        curve = curve.add(size, load.batch_seconds, load.executions * load.seconds, load.at)
    busy = demand.business(load, curve, sight.most_batch, sight.instances, sight.ready)
    percentile = sight.wish.objective.percentile if sight.wish.objective else None
    calm = busy < demand.CALM_ENOUGH and load.completions * load.seconds >= demand.ENOUGH_REQUESTS
    if percentile and load.tail_seconds and load.batch_seconds and calm:
        curve = curve.heard(load.tail_seconds, load.batch_seconds, percentile)
    return replace(
        memory,
        curve=curve,
        felt=demand.felt(memory.felt, load, sight.wish.objective),
        forecast=memory.forecast.add(load.arrivals, load.at),
        measured_at=load.at,
    )


def _remembered(memory: Memory, needed: int, current: int, now: float) -> tuple[tuple[float, int], ...]:
    """Keep what was needed within the hold; before the first look so many as there are."""
    before = memory.needs or ((now, current),)
    horizon = now - LONGEST_HOLD_SECONDS
    kept = [one for one in before if one[0] >= horizon and one[1] > needed]
    return (*kept, (now, needed))


def _raised(memory: Memory, needed: int, now: float) -> Memory:
    """Ask for more; what was given up shortly before and is missed makes the hold longer."""
    at, above, below = memory.lowered
    grown = needed - memory.decision.replicas
    missed = now - at < REGRET_SECONDS and below < above and grown >= max(REGRET_REPLICAS, REGRET_SHARE * below)
    hold = min(LONGEST_HOLD_SECONDS, memory.hold_seconds * LONGER) if missed else memory.hold_seconds
    lowered = (0.0, 0, 0) if missed else memory.lowered
    return replace(memory, hold_seconds=hold, lowered=lowered, decision=replace(memory.decision, replicas=needed))


def _lowered(memory: Memory, sight: Sight, doubt: str, lead: float, now: float) -> Memory:
    """Give up what was not needed within the hold, half of all at most."""
    current = memory.decision.replicas
    if doubt or sight.judged:
        return memory
    hold = hold_of(memory, lead)
    needed = max(need for at, need in memory.needs if at >= now - hold or need == memory.needs[-1][1])
    if needed >= current or now - memory.lowered[0] < DOWN_SECONDS:
        return memory
    fewer = max(needed, math.ceil(current / 2))
    quiet = memory.lowered[0] and now - memory.lowered[0] >= REGRET_SECONDS
    hold_seconds = max(SHORTEST_HOLD_SECONDS, memory.hold_seconds * SHORTER) if quiet else memory.hold_seconds
    return replace(
        memory,
        hold_seconds=hold_seconds,
        lowered=(now, current, fewer),
        decision=replace(memory.decision, replicas=fewer),
    )


def hold_of(memory: Memory, lead: float) -> float:
    """Say for how many seconds replicas that are not needed are kept: as long as it takes to have them again, twice."""
    return min(LONGEST_HOLD_SECONDS, max(memory.hold_seconds, 2 * lead))


def _explained(
    memory: Memory,
    sight: Sight,
    *,
    replicas: int,
    needed: int,
    top: Demand | None,
    doubt: str,
    stuck: str,
    slowed: str,
    lead: float,
    now: float,
) -> Decision:
    """Say why."""
    because = f"{top.words} need {top.replicas}" if top else ""
    told = bool(doubt) and bool(sight.ready) and now - memory.doubted >= TOLD_SECONDS
    if not demand.is_by_load(sight.wish) and not sight.wish.metrics:
        because = f"nothing but schedules is to go by: minReplicas is {sight.least}"
    if sight.bounded_by and replicas in (sight.least, sight.most):
        because = "; ".join(filter(None, (because, sight.bounded_by)))
    hold_until, hold_reason = 0.0, ""
    if replicas > max(needed, sight.least) or (doubt and replicas > sight.least):
        if doubt:
            hold_reason = "in doubt no replica is given up" if told else memory.decision.hold_reason
        elif sight.judged:
            hold_reason = "a canary is being judged"
        elif slowed:
            hold_until, hold_reason = held_until(memory.history, replicas, sight.wish.behavior), slowed
        else:
            hold = hold_of(memory, lead)
            at = max((at for at, need in memory.needs if need >= replicas), default=memory.lowered[0])
            if now - at >= SHOWN_SECONDS:
                hold_until, hold_reason = at + hold, f"more were needed within the last {hold:.0f} s"
    limited = ""
    if replicas >= sight.most and now - memory.beyond < TOLD_AGAIN_SECONDS:
        limited = "max"
    elif stuck and (sight.starting or needed > replicas):
        limited = sight.stuck_by
    elif told:
        limited = "metrics"
    reason, message = _condition(sight, top, doubt, stuck)
    if doubt and sight.ready and not told:
        reason, message = memory.decision.reason, memory.decision.message
    return Decision(
        replicas=replicas,
        because=because,
        capacity=top.capacity if top else 0.0,
        lead_seconds=lead,
        hold_until=hold_until,
        hold_reason=hold_reason,
        limited_by=limited,
        measured_at=memory.measured_at,
        age_seconds=max(0.0, now - memory.measured_at) if memory.measured_at else 0.0,
        reason=reason,
        message=message,
        basis=_basis(sight.wish),
    )


def _basis(wish: Autoscaling) -> str:
    objective = wish.objective
    return f"{wish.mode} p{objective.percentile} {objective.latency_milliseconds} ms" if objective else wish.mode


def _condition(sight: Sight, top: Demand | None, doubt: str, stuck: str) -> tuple[str, str]:
    if sight.misfit:
        return "InvalidSchedule", sight.misfit
    if not sight.ready:
        return "Starting", "no replica is ready yet"
    if doubt:
        return "MetricsUnavailable", doubt
    if stuck:
        return "ScaleUpStuck", f"no further replicas are asked for: {stuck}"
    if top and top.caveat:
        return top.caveat
    return "Measured", "replicas follow what is measured"
