"""How fast the number of replicas may change: spec.autoscaling.behavior, as autoscaling/v2 has it.

A direction that the spec says nothing of is free here. Bounds go before and after: from outside of them there is one
step to the nearest, whatever this says.
Not for: how many are needed, and the hold where the spec leaves it to the operator; that is `core.autoscaler`.
Source: kubernetes, pkg/controller/podautoscaler/horizontal.go, stabilizeRecommendationWithBehaviors and
convertDesiredReplicasWithBehaviorRate.
"""

from dataclasses import dataclass, replace
from math import inf

from triton_operator.api.autoscaling import Behavior, ScalingPolicy, ScalingRules, SelectPolicy

TOLERANCE = 0.1

_UP, _DOWN = "behavior.scaleUp", "behavior.scaleDown"
_WINDOW_SECONDS = {_UP: 0, _DOWN: 300}
_POLICIES = {
    _UP: (
        ScalingPolicy(type="Pods", value=4, period_seconds=15),
        ScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
    _DOWN: (ScalingPolicy(type="Percent", value=100, period_seconds=15),),
}
_UNITS = {"": 1.0, "m": 0.001} | {
    unit: float(base**power)
    for base, units in ((1000, "k M G T P E"), (1024, "Ki Mi Gi Ti Pi Ei"))
    for power, unit in enumerate(units.split(), start=1)
}


@dataclass(frozen=True, slots=True)
class History:
    """What is still to be known of the past, oldest first.

    Attributes:
        recommendations: when how many replicas were recommended.
        changes: when the number of replicas changed, and by how many.
    """

    recommendations: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Rules:
    """What holds in one direction, with what the spec leaves out."""

    place: str
    window_seconds: int
    select: SelectPolicy
    policies: tuple[ScalingPolicy, ...]
    tolerance: float


def begin(replicas: int, now: float) -> History:
    """Begin with so many replicas, as if they had been recommended."""
    return History(recommendations=((now, replicas),))


def recommended(history: History, replicas: int, behavior: Behavior | None, now: float) -> History:
    """Remember a recommendation, and of the former ones those that may still count.

    Args:
        history: what is known so far.
        replicas: so many were recommended, before any limit.
        behavior: what the spec says.
        now: seconds since the epoch.
    """
    window = max((rules.window_seconds for rules in _given(behavior)), default=0)
    recent = [*(one for one in history.recommendations if one[0] > now - window), (now, replicas)]
    return replace(history, recommendations=_that_count(recent))


def changed(history: History, before: int, after: int, behavior: Behavior | None, now: float) -> History:
    """Remember a change, and forget those that no policy asks about any more.

    Args:
        history: what is known so far.
        before: replicas that there were.
        after: replicas that there are.
        behavior: what the spec says.
        now: seconds since the epoch.
    """
    period = max((policy.period_seconds for rules in _given(behavior) for policy in rules.policies), default=0)
    recent = [one for one in history.changes if one[0] > now - period]
    return replace(history, changes=(*recent, *([(now, after - before)] if after != before else [])))


def limited(history: History, current: int, wanted: int, behavior: Behavior | None, now: float) -> tuple[int, str]:
    """Say how far the number of replicas may go now towards what is wanted.

    Args:
        history: what is known of the past.
        current: replicas that there are to be now.
        wanted: replicas that are recommended.
        behavior: what the spec says.
        now: seconds since the epoch.

    Returns:
        Replicas between `current` and `wanted`, and which field keeps them from being `wanted`, in words; "" where
        none does.
    """
    rules = _rules(behavior, _UP if wanted > current else _DOWN)
    if rules is None or wanted == current:
        return wanted, ""
    within = [replicas for at, replicas in history.recommendations if at > now - rules.window_seconds]
    if wanted > current:
        steady = max(current, min([wanted, *within]))
        limit, why = _limit(history, current, rules, now)
        allowed = min(steady, max(current, limit))
    else:
        steady = min(current, max([wanted, *within]))
        limit, why = _limit(history, current, rules, now)
        allowed = max(steady, min(current, limit))
    if allowed != steady:
        return allowed, why
    if steady != wanted:
        field = f"{rules.place}.stabilizationWindowSeconds"
        return steady, f"{steady} were recommended within the {rules.window_seconds} s of {field}"
    return wanted, ""


def held_until(history: History, replicas: int, behavior: Behavior | None) -> float:
    """Say until when so many replicas are kept at least by the window of scaleDown.

    Args:
        history: what is known of the past.
        replicas: so many.
        behavior: what the spec says.

    Returns:
        Seconds since the epoch; 0 where no recommendation is known that keeps them.
    """
    rules = _rules(behavior, _DOWN)
    times = [at for at, recommended_ in history.recommendations if recommended_ >= replicas]
    return max(times) + rules.window_seconds if rules and times else 0.0


def tolerated(ratio: float, behavior: Behavior | None) -> bool:
    """Say whether what is measured is so near to its target that nothing is to change.

    Args:
        ratio: what is measured, divided by its target.
        behavior: what the spec says.
    """
    up, down = _rules(behavior, _UP), _rules(behavior, _DOWN)
    return 1 - (down.tolerance if down else TOLERANCE) <= ratio <= 1 + (up.tolerance if up else TOLERANCE)


def _given(behavior: Behavior | None) -> tuple[_Rules, ...]:
    return tuple(rules for rules in (_rules(behavior, _UP), _rules(behavior, _DOWN)) if rules)


def _rules(behavior: Behavior | None, place: str) -> _Rules | None:
    """Fill in what the spec leaves out; None where it says nothing of the direction."""
    given: ScalingRules | None = None
    if behavior is not None:
        given = behavior.scale_up if place == _UP else behavior.scale_down
    if given is None:
        return None
    window = given.stabilization_window_seconds
    return _Rules(
        place=place,
        window_seconds=_WINDOW_SECONDS[place] if window is None else window,
        select=given.select_policy or "Max",
        policies=tuple(given.policies or _POLICIES[place]),
        tolerance=TOLERANCE if given.tolerance is None else _number(given.tolerance),
    )


def _number(quantity: int | str) -> float:
    text = str(quantity)
    number = text.rstrip("kKmMGTPEi")
    return float(number) * _UNITS[text.removeprefix(number)]


def _limit(history: History, current: int, rules: _Rules, now: float) -> tuple[int, str]:
    """Say how far policies permit to go, and which of them that is."""
    if rules.select == "Disabled":
        return current, f"{rules.place}.selectPolicy is Disabled"
    grows = rules.place == _UP
    reached = [(_reached(history, current, policy, now, grows=grows), policy) for policy in rules.policies]
    furthest = max if grows == (rules.select == "Max") else min
    limit, policy = furthest(reached, key=lambda one: one[0])
    return limit, f"{rules.place} permits {policy.value} {policy.type} in {policy.period_seconds} s"


def _reached(history: History, current: int, policy: ScalingPolicy, now: float, *, grows: bool) -> int:
    """Say how many replicas a policy permits: counted from those there were at the beginning of its period."""
    start = current - sum(change for at, change in history.changes if at > now - policy.period_seconds)
    sign = 1 if grows else -1
    if policy.type == "Pods":
        return max(0, start + sign * policy.value)
    # In whole numbers, away from the start: so some change is always possible. With floats 100 and 10 % were 111.
    return max(0, (start * (100 + sign * policy.value) + (99 if grows else 0)) // 100)


def _that_count(recommendations: list[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    """Leave those out between which and now there are both as many and as few: no window has them as its extreme."""
    kept: list[tuple[float, int]] = []
    most, least = -inf, inf
    for at, replicas in reversed(recommendations):
        if replicas > most or replicas < least:
            kept.append((at, replicas))
        most, least = max(most, replicas), min(least, replicas)
    return tuple(reversed(kept))
