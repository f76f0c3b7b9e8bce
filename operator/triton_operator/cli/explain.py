"""Why a service is as it is: so many replicas, that verdict, this pause, and what to do about it.

From the service alone to text, so that what status says is all that there is to know.
Not for: pods one by one; that is `cli.tree`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from triton_operator.api.status import (
    ACCEPTED,
    AVAILABLE,
    CANARY_FAILED,
    CANARY_PAUSED,
    READY,
    SCALING_ACTIVE,
    SERVES_ON_CPU,
    TRAFFIC_VERIFIED,
)
from triton_operator.cli import evidence
from triton_operator.cli.advice import Advice, advice
from triton_operator.cli.service import Service
from triton_operator.cli.tree import waits
from triton_operator.cli.words import count, duration
from triton_operator.core.times import seconds

LIMITS = {
    "max": "spec.autoscaling.maxReplicas stands in the way of as many as are needed",
    "nodes": "no nodes have room for as many as are needed",
    "quota": "the namespace's quota stands in the way of as many as are needed",
    "metrics": "measurements cannot be had, and no replica is given up meanwhile",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its answer.

    Attributes:
        title: what is explained.
        lines: sentences.
    """

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it.

    Attributes:
        namespace: of the service.
        name: of the service.
        phase: in one word.
        sections: what is to be said.
        next: what a person can do.
    """

    namespace: str
    name: str
    phase: str
    sections: tuple[Section, ...]
    next: tuple[Advice, ...]


def explain(service: Service, *, now: float) -> Explanation:
    """Explain a service.

    Args:
        service: as it was read.
        now: in seconds since the epoch.
    """
    asked = [(title, tell(service, now)) for title, tell in SECTIONS]
    return Explanation(
        namespace=service.namespace,
        name=service.name,
        phase=service.phase,
        sections=tuple(Section(title, lines) for title, lines in asked if lines),
        next=advice(service),
    )


def _state(service: Service, now: float) -> tuple[str, ...]:
    """What it does."""
    told = waits(service) or service.message
    since = seconds((service.condition(READY) or {}).get("lastTransitionTime"))
    lines = [f"{service.phase}: {told}" + (f" (since {duration(now - since)})." if since else ".")]
    available = service.condition(AVAILABLE)
    if available and service.phase not in ("Ready", "Suspended"):
        lines.append(f"Requests: {available.get('message', '')}.")
    for role, what in (("stable", "serves"), ("canary", "is on its way in"), ("warm", "is kept for the way back")):
        if part := service.part(role):
            weight = f", {part['weight']} % of the requests" if part.get("weight") is not None else ""
            lines.append(
                f"{part.get('name')} (version {part.get('version')}) {what}: {part.get('ready', 0)} of"
                f" {count(int(part.get('replicas', 0)), 'pod')} ready{weight}."
            )
    return tuple(lines)


def _replicas(service: Service, now: float) -> tuple[str, ...]:
    """Why there are so many replicas."""
    if service.spec.get("suspend"):
        return ("None: spec.suspend is true.",)
    wish, scaling = service.part("autoscaling", of=service.spec), service.part("autoscaling")
    wanted = int(service.spec.get("replicas", 1))
    if not wish or wish.get("mode") == "Off" or not scaling:
        asked = f"{wanted}: spec.replicas says so."
        return (asked, *_more(service, wanted))
    desired, current = int(scaling.get("desired", 0)), int(scaling.get("current", 0))
    lines = [f"{current}: {scaling.get('because') or 'nothing was measured yet'}."]
    if wish.get("mode") == "Observe":
        lines = [
            f"{current}: spec.replicas says so, as spec.autoscaling.mode is Observe.",
            f"Recommended are {desired}: {scaling.get('because') or 'nothing was measured yet'}.",
        ]
    elif desired != current:
        least, most = int(wish.get("minReplicas", 1)), wish.get("maxReplicas", "?")
        lines.append(f"{desired} were decided, and {current} are what bounds and schedules allow ({least} to {most}).")
    if capacity := scaling.get("capacityPerReplica"):
        objective = wish.get("objective") or {}
        within = (
            f" within {objective.get('latencyMilliseconds')} ms (p{objective.get('percentile', 95)})"
            if objective
            else ""
        )
        lines.append(f"One replica carries {capacity} requests/s{within}.")
    if lead := scaling.get("leadTimeSeconds"):
        lines.append(f"A further replica takes about {duration(lead)} to get ready.")
    if hold := scaling.get("hold"):
        until = f" until {hold['until']}" if hold.get("until") else ""
        lines.append(f"Replicas that are not needed are kept{until}: {hold.get('reason', '')}.")
    if limit := scaling.get("limitedBy"):
        lines.append(f"Limited by {limit}: {LIMITS.get(str(limit), 'this program does not know that word')}.")
    if (measured := scaling.get("metricsAgeSeconds")) is not None:
        lines.append(f"The newest measurement was {duration(measured)} old when that was decided.")
    active = service.condition(SCALING_ACTIVE)
    if active and active.get("status") != "True":
        lines.append(f"ScalingActive is {active.get('status')} ({active.get('reason')}): {active.get('message')}.")
    return (*lines, *_more(service, current))


def _more(service: Service, wanted: int) -> tuple[str, ...]:
    """Why more pods exist than are wanted."""
    canary = service.part("canary")
    exist = sum(int(service.part(role).get("replicas", 0)) for role in ("stable", "canary", "warm"))
    if exist <= wanted or not service.part("stable"):
        return ()
    if service.part("rollout"):
        pods = count(int(canary.get("replicas", 0)), "pod")
        return (
            f"{exist} pods exist: stable keeps its own, and the canary has {pods} for its {canary.get('weight', 0)} %.",
        )
    if canary:
        return (f"{exist} pods exist: those of {canary.get('name')} come before the old ones go.",)
    return (
        (f"{exist} pods exist: {service.revision('warm')} is kept for the way back.",) if service.part("warm") else ()
    )


def _canary(service: Service, now: float) -> tuple[str, ...]:
    """What the verdict on the canary is, and why."""
    lines = list(evidence.full(service))
    if since := seconds(service.part("rollout").get("servingSince")):
        lines.append(f"It has had requests for {duration(now - since)}.")
    return tuple(lines)


def _pause(service: Service, now: float) -> tuple[str, ...]:
    """Why it is paused."""
    condition = service.condition(CANARY_PAUSED)
    if not condition or condition.get("status") != "True":
        return ()
    causes = {
        "CanaryPauseStep": "The step is a pause without a duration: a person decides.",
        "UserRequested": "A person has paused it.",
        "Inconclusive": "The time for a verdict is out, and none was certain.",
        "AnalysisFailed": "It was judged to fail, and spec.rollout.autoRollback is false.",
    }
    since = seconds(condition.get("lastTransitionTime"))
    reason = str(condition.get("reason", ""))
    return (f"{causes.get(reason, f'{reason}.')} It waits for a person since {duration(now - since)}.",)


def _troubles(service: Service, now: float) -> tuple[str, ...]:
    """What stands in the way."""
    lines: list[str] = []
    if failure := service.part("lastFailure"):
        where = f" ({failure['pod']})" if failure.get("pod") else ""
        since = seconds(failure.get("time"))
        first = f", first seen {duration(now - since)} ago" if since else ""
        said = str(failure.get("message", ""))
        lines.append(f"{failure.get('reason')}{where}{first}: {'see above' if said in service.message else said}.")
    if rejected := service.part("rejected"):
        by = "a person" if rejected.get("by") == "Person" else "the operator"
        ago = duration(now - seconds(rejected.get("time")))
        told = f"{rejected.get('name')} was rejected by {by} {ago} ago, {rejected.get('reason')}"
        said = str(rejected.get("message", ""))
        lines.append(f"{told}: {'see above' if said in service.message else said}.")
    for type_, good in (
        (ACCEPTED, "True"),
        (TRAFFIC_VERIFIED, "True"),
        (CANARY_FAILED, None),
        (SERVES_ON_CPU, "False"),
    ):
        condition = service.condition(type_)
        said_before = [service.message, *lines]
        is_new = condition is not None and not any(condition["message"] in line for line in said_before)
        if condition and condition.get("status") != good and is_new:
            lines.append(f"{type_} is {condition.get('status')} ({condition.get('reason')}): {condition['message']}.")
    return tuple(lines)


SECTIONS: tuple[tuple[str, Callable[[Service, float], tuple[str, ...]]], ...] = (
    ("What it does", _state),
    ("Why so many replicas", _replicas),
    ("The canary", _canary),
    ("Why it is paused", _pause),
    ("What stands in the way", _troubles),
)
