"""How many pods are wanted: those that are asked for, but none is given up that could not be had again.

Not for: how they are shared out among revisions; that is `core.rollout`.
"""

from triton_operator.api.names import GROUP, LABEL_REVISION
from triton_operator.core import traffic
from triton_operator.core.health import is_ready, preparation
from triton_operator.core.record import Record
from triton_operator.core.rollout import NOTHING
from triton_operator.core.scaled import replicas_of, wish_of
from triton_operator.core.world import World

SOURCE_CHANGED = "SourceChanged"


def asked(world: World) -> int:
    """Say how many pods the spec asks for, or the autoscaler on its behalf."""
    return 0 if world.spec is None or world.spec.suspend else replicas_of(world)


def asked_told(world: World) -> str:
    """Tell how many pods are asked for, and by whom."""
    wish = wish_of(world)
    who = "the autoscaler asks for" if wish and wish.mode == "Auto" else "spec.replicas is"
    return f"{who} {asked(world)}"


def wanted(world: World, record: Record, target: str) -> int:
    """Say how many pods the target is to have.

    While its source holds other files than those it was made from, none of its pods that ends can be replaced. So all
    stay, those that fail among them: they show when the files are back.

    Args:
        world: the world.
        record: the record so far, with what failed last.
        target: the revision to get to.

    Returns:
        What the spec asks for; as many as there are, where fewer would end pods of the revision that serves for ever,
        or give a canary in the Service beside them a greater share.
    """
    count, fleet = asked(world), world.fleets.get(target, NOTHING)
    if count and _is_beside(world, record, target):
        return max(count, world.fleets.get(record.stable or "", NOTHING).wanted)
    suspended = world.spec is None or world.spec.suspend
    serves = record.stable == target or (record.stable is None and fleet.ready > 0)
    whole = fleet.ready >= fleet.wanted
    if suspended or whole or not serves or count >= fleet.wanted or not _has_changed(world, record, target):
        return count
    return fleet.wanted


def why_kept(world: World, record: Record, target: str, count: int) -> str:
    """Say why more pods are kept than the spec asks for, and what to do.

    Args:
        world: the world.
        record: the record after this look.
        target: the revision that has them.
        count: what `wanted` gave.

    Returns:
        One or two sentences without a full stop at their end; "" where it asks for as many.
    """
    if asked(world) >= count or _is_beside(world, record, target):
        return ""
    last = record.failure or {}
    why = f": {last['message'].rstrip('. ')}" if last.get("reason") == SOURCE_CHANGED else ""
    return (
        f"{asked_told(world)}, but revision {target} stays at {count}, as no pod of it that ends could be"
        f" replaced{why}. Put the former files back, or annotate the service with {GROUP}/refresh={target}/ID to take"
        " the new ones"
    )


def _is_beside(world: World, record: Record, target: str) -> bool:
    """Say whether the target is on trial in the Service, beside the revision that serves."""
    trial = record.trial
    if trial is None or trial.revision != target or trial.promoted or not trial.weight:
        return False
    return traffic.is_widened(world) and record.stable != target


def _has_changed(world: World, record: Record, target: str) -> bool:
    """Say whether a pod says so, or one has said so and no other reason is known why the rest is not ready."""
    last = record.failure or {}
    if (last.get("reason"), last.get("revision")) == (SOURCE_CHANGED, target):
        return True
    own = [p for p in world.pods or () if (p["metadata"].get("labels") or {}).get(LABEL_REVISION) == target]
    failed = [preparation(p) for p in own if "deletionTimestamp" not in p["metadata"] and not is_ready(p)]
    return any(failure and failure.reason == SOURCE_CHANGED for failure in failed)
