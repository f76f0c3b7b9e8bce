"""What people read about autoscaling: its part of the status, its condition, and why there are so many replicas.

Not for: deciding; that is `core.autoscaler`.
"""

from typing import Any

from triton_operator.core.autoscaler import Decision
from triton_operator.core.scaled import is_left, wish_of
from triton_operator.core.schedules import bounds
from triton_operator.core.situation import Situation, Verdict
from triton_operator.core.times import timestamp

Json = dict[str, Any]

MOST_TEXT = 1024


def scaling_active(s: Situation) -> Verdict | None:
    """Say whether replicas follow what is measured; None where they are as the spec says."""
    wish, scale = wish_of(s.world), s.record.scale
    if wish is None or scale is None:
        return None
    decision = scale.decision
    if is_left(s.world, scale):
        return (
            "False",
            "Conflict",
            (
                f"somebody else has changed the replicas of Deployment {s.record.stable} {scale.contested} times, and"
                " they are left as they are: take the autoscaler away that does so, and change the spec, or set"
                " autoscaling.mode to Off"
            ),
        )
    if s.record.suspended:
        return "False", "Suspended", "suspended on request: no pods"
    if decision.reason == "Starting":
        return "Unknown", decision.reason, decision.message
    if decision.reason == "MetricsUnavailable":
        since = f"; the newest sample is of {timestamp(decision.measured_at)}" if decision.measured_at else ""
        return "False", decision.reason, f"no replica is given up: {decision.message}{since}"
    if wish.mode == "Observe":
        return "False", "Observing", f"autoscaling.mode is Observe: {_recommended(s, decision)}"
    return "True", decision.reason, decision.message


def is_growing(s: Situation) -> bool:
    """Say whether the revision that serves has all the pods that it must have, and waits for those it could do with."""
    wish = wish_of(s.world)
    if wish is None or wish.mode != "Auto" or s.record.stable != s.target.name:
        return False
    return s.fleet.ready >= bounds(wish, s.world.now).least


def _recommended(s: Situation, decision: Decision) -> str:
    asked = s.world.spec.replicas if s.world.spec else 0
    same = "as spec.replicas asks for" if asked == decision.replicas else f"spec.replicas asks for {asked}"
    return f"{decision.replicas} replicas are recommended, {same}"


def scaling_status(s: Situation) -> Json | None:
    """Build `status.autoscaling`; None where replicas are as the spec says."""
    wish, scale = wish_of(s.world), s.record.scale
    if wish is None or scale is None:
        return None
    decision = scale.decision
    built: Json = {"desired": decision.replicas, "current": s.desired}
    if decision.because:
        built["because"] = decision.because[:MOST_TEXT]
    if decision.capacity:
        built["capacityPerReplica"] = f"{decision.capacity:.3g}"
    if decision.lead_seconds:
        built["leadTimeSeconds"] = round(decision.lead_seconds)
    if decision.hold_reason:
        until = {"until": timestamp(decision.hold_until)} if decision.hold_until else {}
        built["hold"] = until | {"reason": decision.hold_reason[:MOST_TEXT]}
    if decision.limited_by:
        built["limitedBy"] = decision.limited_by
    if decision.measured_at:
        built["metricsAgeSeconds"] = round(decision.age_seconds)
    return built
