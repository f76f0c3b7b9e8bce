"""How many replicas the autoscaler has asked for, as far as that counts: what is remembered of it, and when it changes.

What it learns from look to look stays in the operator's memory; the record has it as of the last decision that differs
from the one before, so that numbers alone write nothing, and a restart goes on from there.
Not for: deciding; that is `core.autoscaler`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.autoscaler import Decision, Memory, Sight, begin
from triton_operator.core.health import is_ready
from triton_operator.core.load import Load
from triton_operator.core.record import Record, Scale
from triton_operator.core.rollout import NOTHING
from triton_operator.core.schedules import bounds
from triton_operator.core.times import seconds
from triton_operator.core.world import Fleet, World

Json = dict[str, Any]

PUT_RIGHT = 2
"""How often replicas that somebody else has changed are put right."""
LACKING = {"InsufficientGPU": "nodes", "Unschedulable": "nodes", "PodsRefused": "quota"}
"""What is lacking where replicas do not start, by the reason of the failure."""


def wish_of(world: World) -> Autoscaling | None:
    """Give what the spec says about autoscaling; None where replicas are as it says itself."""
    wish = world.spec.autoscaling if world.spec else None
    return wish if wish and wish.mode != "Off" else None


def scale_of(world: World) -> Scale | None:
    """Say what the autoscaler asks for now; None where there is none.

    The same as before as long as only numbers differ.
    """
    wish = wish_of(world)
    if wish is None:
        return None
    before = world.record.scale if world.record else None
    if before is None:
        return Scale(begin(starting_count(world)).decision)
    if _is_contested(world, before):
        times = before.contested if before.generation == world.generation else 0
        return replace(before, contested=times + 1, generation=world.generation)
    memory = world.scaling
    if memory is None or is_same(before.decision, memory.decision) or is_left(world, before):
        return before
    return replace(
        before,
        decision=memory.decision,
        revision=memory.revision,
        curve=memory.curve,
        felt=memory.felt,
        hold_seconds=memory.hold_seconds,
    )


def is_left(world: World, scale: Scale) -> bool:
    """Say whether the replicas are left to somebody else, who has changed them again and again under this spec."""
    return scale.contested > PUT_RIGHT and scale.generation == world.generation


def _is_contested(world: World, scale: Scale) -> bool:
    """Say whether the Deployment that serves has other replicas than this operator has given it."""
    record, wish = world.record, wish_of(world)
    if record is None or wish is None or wish.mode != "Auto" or is_left(world, scale):
        return False
    if record.suspended or record.serving != (record.stable,) or record.target != record.stable:
        return False
    given = (world.status.get("autoscaling") or {}).get("current")
    there = world.fleets.get(record.stable or "")
    return there is not None and given == scale.decision.replicas != there.wanted


def replicas_of(world: World) -> int:
    """Say how many pods are asked for, by the autoscaler or by the spec."""
    wish, scale = wish_of(world), scale_of(world)
    if world.spec is None:
        return 0
    if wish is None or scale is None or wish.mode == "Observe":
        return world.spec.replicas
    if is_left(world, scale) and world.record and (there := world.fleets.get(world.record.stable or "")):
        return there.wanted
    limits = bounds(wish, world.now)
    return min(max(scale.decision.replicas, limits.least), limits.most)


def starting_count(world: World) -> int:
    """Say with how many replicas the autoscaler begins: as many as there are, or else as the spec says."""
    stable = world.record.stable if world.record else world.routed
    there = world.fleets.get(stable or "", NOTHING).wanted
    return max(1, there or (world.spec.replicas if world.spec else 1))


def is_same(one: Decision, other: Decision) -> bool:
    """Say whether two decisions differ in numbers alone."""
    return _kind(one) == _kind(other)


def _kind(decision: Decision) -> tuple[object, ...]:
    return decision.replicas, decision.limited_by, decision.reason, decision.hold_reason, decision.basis


def resumed(scale: Scale) -> Memory:
    """Go on from what is remembered: what was asked for then is held as if it had been needed until now."""
    memory = begin(scale.decision.replicas)
    return replace(
        memory,
        decision=replace(memory.decision, lead_seconds=scale.decision.lead_seconds),
        revision=scale.revision,
        curve=scale.curve,
        felt=scale.felt,
        hold_seconds=max(memory.hold_seconds, scale.hold_seconds),
    )


def sight_of(
    wish: Autoscaling,
    record: Record,
    fleets: Mapping[str, Fleet],
    loads: Mapping[str, Load | None],
    *,
    asked: int,
    trouble: str,
    values: Mapping[int, float],
    troubles: Mapping[int, str],
    leads: Iterable[float],
    now: float,
) -> Sight:
    """Put together what one look shows of a service.

    Args:
        wish: what the spec says.
        record: the record of the service.
        fleets: its Deployments by revision.
        loads: what was measured of each revision.
        asked: replicas that were asked for last.
        trouble: why nothing, or not all, could be measured; "" where all was.
        values: of metrics of type prometheus, by their place.
        troubles: why others of them cannot be had, by their place.
        leads: seconds from the creation of a pod to its being ready.
        now: seconds since the epoch.
    """
    revision = record.stable or record.target or ""
    about = record.about.get(revision)
    ready = sum(fleets.get(name, NOTHING).ready for name in record.serving)
    limits = bounds(wish, now)
    failure = record.failure or {}
    reason = str(failure.get("reason", ""))
    trial = record.trial
    return Sight(
        wish=wish,
        least=limits.least,
        most=limits.most,
        bounded_by=limits.why,
        misfit=limits.trouble,
        revision=revision,
        load=_together(revision, loads),
        ready=ready,
        starting=max(0, asked - ready),
        trouble=trouble,
        values=values,
        troubles=troubles,
        leads=tuple(leads),
        stuck=f"{reason}: {failure.get('message', '')}" if reason and ready < asked else "",
        stuck_by=LACKING.get(reason, ""),
        judged=trial is not None and bool(trial.weight) and not trial.promoted,
        most_batch=about.signature.most_batch if about and about.batches else 0,
        instances=about.instances if about else 1,
    )


def _together(revision: str, loads: Mapping[str, Load | None]) -> Load | None:
    """Add what is asked of the other revisions to the load of the one that serves."""
    own = loads.get(revision)
    others = [load for name, load in loads.items() if name != revision and load]
    if own is None or not others:
        return own
    return replace(
        own,
        arrivals=own.arrivals + sum(load.arrivals for load in others),
        pending=own.pending + sum(load.pending for load in others),
    )


def leads_of(pods: Iterable[Json], revision: str) -> dict[str, float]:
    """Read how many seconds each ready pod of a revision took from its creation until it was ready, by its uid."""
    found: dict[str, float] = {}
    for pod in pods:
        metadata = pod["metadata"]
        if (metadata.get("labels") or {}).get(LABEL_REVISION) != revision or not is_ready(pod):
            continue
        restarts = [c.get("restartCount", 0) for c in pod["status"].get("containerStatuses") or ()]
        turned = [c["lastTransitionTime"] for c in pod["status"].get("conditions") or () if c["type"] == "Ready"]
        if any(restarts) or not turned:
            continue  # it became ready again
        took = seconds(turned[0]) - seconds(metadata["creationTimestamp"])
        if took >= 0:
            found[metadata["uid"]] = took
    return found
