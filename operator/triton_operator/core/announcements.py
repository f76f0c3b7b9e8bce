"""What is told as an event: the changes between two statuses, once each.

Not for: the status itself; that is `core.conditions`.
"""

from typing import Any, Literal

from triton_operator.api.status import ACCEPTED, CANARY_PAUSED, POD_UNREACHABLE, READY, SCALING_ACTIVE, SERVES_ON_CPU
from triton_operator.core.canary import FAILED, INCONCLUSIVE
from triton_operator.core.world import Announcement

Json = dict[str, Any]

SCALING_TROUBLES = (
    "Conflict",
    "MetricsUnavailable",
    "ScaleUpStuck",
    "ObjectiveInfeasible",
    "InvalidSchedule",
)


def announcements(before: Json, after: Json) -> tuple[Announcement, ...]:
    """Tell what changed between two statuses, once.

    Args:
        before: the status as last written.
        after: the status to write.

    Returns:
        Events for changes of state; none when only numbers changed.
    """
    old = {c["type"]: c for c in before.get("conditions") or []}
    new = {c["type"]: c for c in after["conditions"]}
    told: list[Announcement] = []
    failure, last = after.get("lastFailure"), before.get("lastFailure")
    if failure and _identity(failure) != _identity(last or {}):
        told.append(Announcement("Warning", failure["reason"], failure["message"]))
    rejected = after.get("rejected")
    if rejected and rejected != before.get("rejected") and rejected["by"] == "Operator":
        words = f"revision {rejected['name']} is not tried again until the spec changes: {rejected['message']}"
        told.append(Announcement("Warning", "Rejected", words))
    for type_ in (ACCEPTED, SERVES_ON_CPU):
        condition, was = new.get(type_), old.get(type_)
        bad = "False" if type_ == ACCEPTED else "True"
        if condition and condition["status"] == bad and _changed(was, condition):
            told.append(Announcement("Warning", condition["reason"], condition["message"]))
    if (stable := after.get("stable")) and stable["name"] != (before.get("stable") or {}).get("name"):
        told.append(Announcement("Normal", "Promoted", f"revision {stable['name']} serves version {stable['version']}"))
    canary, accepted = after.get("canary"), new[ACCEPTED]["status"] == "True"
    was_accepted = old.get(ACCEPTED, {}).get("status") == "True"
    if canary and accepted and (not was_accepted or canary["name"] != (before.get("canary") or {}).get("name")):
        words = f"revision {canary['name']} loads version {canary['version']}"
        if stable and stable["version"] != canary["version"]:
            words += f"; requests that name version {stable['version']} find it until that has taken over"
        told.append(Announcement("Normal", "Loading", words))
    told += _of_canary(before, after)
    told += _of_scaling(before, after)
    is_ready, was_ready = new[READY], old.get(READY)
    if is_ready["reason"] == POD_UNREACHABLE and (was_ready or {}).get("reason") != POD_UNREACHABLE:
        told.append(Announcement("Warning", POD_UNREACHABLE, is_ready["message"]))
    if is_ready["status"] == "True" and _changed(was_ready, is_ready):
        told.append(Announcement("Normal", is_ready["reason"], is_ready["message"]))
    return tuple(told)


def _of_canary(before: Json, after: Json) -> list[Announcement]:
    """Tell of the weights of a canary, and that it waits for a person."""
    told: list[Announcement] = []
    canary, was = after.get("canary") or {}, before.get("canary") or {}
    same = canary.get("name") == was.get("name")
    if "rollout" in after and canary.get("weight", 0) != (was.get("weight", 0) if same else 0):
        told.append(Announcement("Normal", "CanaryWeight", f"{canary['weight']} % of requests go to {canary['name']}"))
    paused = _condition(after, CANARY_PAUSED)
    if paused and paused["status"] == "True" and _changed(_condition(before, CANARY_PAUSED), paused):
        kind: Literal["Normal", "Warning"] = "Warning" if paused["reason"] in (INCONCLUSIVE, FAILED) else "Normal"
        told.append(Announcement(kind, CANARY_PAUSED, paused["message"]))
    return told


def _of_scaling(before: Json, after: Json) -> list[Announcement]:
    """Tell of another number of replicas, and of what the autoscaler lacks."""
    told: list[Announcement] = []
    now, was = after.get("autoscaling") or {}, before.get("autoscaling") or {}
    active = _condition(after, SCALING_ACTIVE)
    if was and now and now["desired"] != was["desired"]:
        recommended = bool(active and active["reason"] == "Observing")
        reason = "ScaleRecommended" if recommended else "Rescaled"
        words = f"{was['desired']} to {now['desired']} replicas: {now.get('because', '')}"
        told.append(Announcement("Normal", reason, words))
    if now.get("limitedBy") == "max" != was.get("limitedBy"):
        words = f"more replicas than autoscaling.maxReplicas are needed: {now.get('because', '')}"
        told.append(Announcement("Warning", "ScalingLimited", words))
    if active and active["reason"] in SCALING_TROUBLES and _changed(_condition(before, SCALING_ACTIVE), active):
        told.append(Announcement("Warning", active["reason"], active["message"]))
    return told


def _condition(status: Json, type_: str) -> Json | None:
    return next((c for c in status.get("conditions") or () if c["type"] == type_), None)


def _identity(failure: Json) -> tuple[Any, ...]:
    return failure.get("reason"), failure.get("revision")


def _changed(before: Json | None, after: Json) -> bool:
    return before is None or (before["status"], before["reason"]) != (after["status"], after["reason"])
