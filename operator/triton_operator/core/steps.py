"""The steps of a canary: which there are, what stands at each of them, and how many pods that takes.

Not for: when a step is over; that is `core.canary`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triton_operator.api.rollout import Rollout
from triton_operator.api.steps import Pause, Step
from triton_operator.core.traffic import carried, needed

FIRST_WEIGHT = 5
PAUSE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """What the steps up to one of them ask for, beside a weight.

    Attributes:
        scale: pods that the canary is to have at least.
        headers: requests with all of these go to the canary, whatever the weights.
        mirror: share of the requests that is sent to the canary too, and whose answers nobody gets, in percent.
    """

    scale: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    mirror: int = 0


def ladder(rollout: Rollout, *, desired: int, surge: int, by_pods: bool = False) -> tuple[Step, ...]:
    """List the steps of a rollout; promotion follows the last one.

    Args:
        rollout: what the spec says.
        desired: pods of the revision that serves, 1 or more.
        surge: pods that a canary may have beside them, 1 or more.
        by_pods: whether a weight is the share of the pods.

    Returns:
        Those of the spec, without a last `setWeight: 100`; or a small weight, unless it goes by pods, and then what
        each pod more carries.
    """
    if rollout.steps:
        return tuple(step for step in rollout.steps if step.set_weight != 100)
    first = set() if by_pods else {min(FIRST_WEIGHT, carried(1, desired)) or 1}
    weights = sorted(first | {carried(n, desired) for n in range(1, surge + 1)})
    pause = Step(pause=Pause(duration_seconds=PAUSE_SECONDS))
    return tuple(step for weight in weights if weight for step in (Step(set_weight=weight), pause))


def standing(steps: Sequence[Step], at: int) -> Standing:
    """Say what stands at a step: what it asks for itself, or else the last one before it that says so.

    Args:
        steps: those of the rollout.
        at: index of the step.
    """
    found = Standing()
    for step in steps[: at + 1]:
        if step.set_canary_scale:
            found = Standing(step.set_canary_scale.replicas or 0, found.headers, found.mirror)
        if step.set_header_route:
            headers = {header.name: header.value for header in step.set_header_route.headers or ()}
            found = Standing(found.scale, headers, found.mirror)
        if step.set_mirror_route:
            found = Standing(found.scale, found.headers, step.set_mirror_route.percent or 0)
    return found


def pods(weight: int, stands: Standing, *, desired: int, shrinking: bool = False) -> int:
    """Say how many pods a canary needs.

    Args:
        weight: its share of the requests, in percent, 0 to 99.
        stands: what else is asked for.
        desired: pods of the revision that serves.
        shrinking: whether that gives up the pods that the canary's replace.
    """
    by_requests = (needed(weight, desired, shrinking=shrinking) if weight else 0) + -(-stands.mirror * desired // 100)
    return max(by_requests, stands.scale, 1 if stands.headers else 0)


def surge_of(rollout: Rollout, *, desired: int, surge: int) -> int:
    """Say how many pods a canary may have beside those that serve.

    Args:
        rollout: what the spec says.
        desired: pods of the revision that serves.
        surge: what a RollingUpdate may have.

    Returns:
        As many as the spec says, or else as its steps need.
    """
    if rollout.max_surge_gpus is not None or not rollout.steps or rollout.dynamic_stable_scale:
        return max(1, surge)
    return max([1, *(need for _, need in _needs(rollout, desired))])


def unreachable(rollout: Rollout, *, desired: int, gpu_count: int) -> str | None:
    """Say which step the surge cannot carry and what to do; None if there is none."""
    if rollout.max_surge_gpus is None or not gpu_count or not desired or rollout.dynamic_stable_scale:
        return None
    surge = rollout.max_surge_gpus // gpu_count
    for number, need in _needs(rollout, desired):
        if need > surge:
            told = f"spec.rollout.steps[{number}]"
            weight = (rollout.steps or ())[number].set_weight
            remedy = ""
            if weight:
                told += f".setWeight {weight}"
                remedy = f", or the weight to at most {carried(surge, desired)}"
            return (
                f"{told} needs {need} pods beside the {desired} that serve, and rollout.maxSurgeGPUs has room for"
                f" {surge}: set it to {need * gpu_count}{remedy}"
            )
    return None


def _needs(rollout: Rollout, desired: int) -> list[tuple[int, int]]:
    """List how many pods each step needs, by its index."""
    found, weight = [], 0
    steps = rollout.steps or ()
    for number, step in enumerate(steps):
        if step.set_weight == 100:
            break
        weight = step.set_weight or weight
        found.append((number, pods(weight, standing(steps, number), desired=desired)))
    return found
