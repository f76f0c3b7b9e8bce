"""BlueGreen: all pods of the new revision beside the old one's, one switch, and the old one kept warm for a while.

Never three revisions have pods: what is neither stable nor the target ends before the target begins.
Not for: updates pod by pod; that is `core.rollout`.
"""

from dataclasses import replace

from triton_operator.api.rollout import Rollout
from triton_operator.core.record import Held, Record, Warm
from triton_operator.core.revision import spec_hash
from triton_operator.core.rollout import NOTHING, carrier
from triton_operator.core.times import timestamp
from triton_operator.core.world import Failure, World

SCALE_DOWN_DELAY_SECONDS = 30
"""As Argo Rollouts: long enough to see the first errors, short enough for GPUs held twice."""


def is_blue_green(world: World) -> bool:
    """Say whether the spec asks for BlueGreen."""
    return world.spec is not None and world.spec.rollout.strategy == "BlueGreen"


def cooled(world: World, record: Record, target: str) -> Record:
    """Forget the warm revision once its pods have gone, or the spec asks for something else.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
    """
    warm = record.warm
    if warm is None:
        return record
    fleet = world.fleets.get(warm.revision, NOTHING)
    gone = not (fleet.pods or fleet.ending)
    kept = is_blue_green(world) and target == record.stable and not record.suspended
    return record if kept and not gone else replace(record, warm=None)


def shares(world: World, record: Record, target: str, *, desired: int, arrived: int) -> dict[str, int]:
    """Share the pods out: both revisions whole until the switch, the warm one after it.

    Args:
        world: the world.
        record: the record, neither suspended nor resuming.
        target: the revision to get to.
        desired: pods wanted of one revision, 0 or more.
        arrived: pods of the target that are ready and verified in the Service.

    Returns:
        The replicas of every revision that has a Deployment, and of the target.
    """
    fleets = world.fleets
    others = {name: fleet for name, fleet in fleets.items() if name != target}
    found = dict.fromkeys(others, 0)
    stable, rest, before = record.stable, max(0, desired - arrived), (carrier(world, record, target) or record.stable)
    if before in others and before == stable:
        # Once the target serves too, stable gives nothing up and takes nothing back.
        found[before] = min(others[before].wanted, desired) if target in record.serving else desired
        rest = max(0, rest - others[before].ready)
    # Pods of stable that fail or find no node are not waited for: the target must begin all the same.
    growing = before in others and not (others[before].failing or others[before].homeless or others[before].refused)
    for name, fleet in others.items():
        if record.warm and name == record.warm.revision:
            warm = min(fleet.wanted, desired) if world.now < record.warm.until else 0
            found[name] = warm  # it never grows: it costs GPUs and serves nothing
        elif name != stable and name in record.serving and (name == before or target == stable or growing):
            # one that was given up fills in as long as it carries load
            found[name] = min(fleet.ready, rest)
            rest -= found[name]
    beside = {before, record.warm.revision if record.warm else None}
    third = any(fleet.pods + fleet.ending for name, fleet in others.items() if name not in beside)
    occupied = sum(max(found[name], fleet.pods) + fleet.ending for name, fleet in others.items())
    free = 0 if third and target != stable else 2 * desired - occupied
    found[target] = min(desired, max(fleets.get(target, NOTHING).ready, free))
    return found


def may_serve(world: World, record: Record, target: str, *, desired: int) -> bool:
    """Say whether the target may join the Service: whole, or better than nothing, and no third revision is there.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        desired: pods wanted of it.
    """
    beside = (carrier(world, record, target) or record.stable), target
    third = any(f.pods or f.ending for name, f in world.fleets.items() if name not in beside)
    ready = world.fleets.get(target, NOTHING).ready
    dark = not any(world.fleets.get(name, NOTHING).ready for name in record.serving)
    return not third and ready > 0 and (ready >= desired or dark)


def moves_at_once(world: World, record: Record, target: str) -> bool:
    """Say whether all requests are to move to the target in one switch, from pods that answer them until then.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
    """
    return is_blue_green(world) and any(world.fleets.get(n, NOTHING).ready for n in record.serving if n != target)


def switched(world: World, record: Record, target: str, *, desired: int, arrived: int) -> Record:
    """Narrow the Service to the target once all its pods are verified in it; the revision before becomes warm.

    One that has failed does not: there is no way back to it, and its GPUs are free at once.

    Args:
        world: the world.
        record: the record, with the target perhaps in service.
        target: the revision to get to.
        desired: pods wanted of it.
        arrived: pods of the target that are ready and verified in the Service.
    """
    before = record.stable
    if record.suspended or record.resuming or before in (None, target) or not 0 < desired <= arrived:
        return record
    rollout = world.spec.rollout if world.spec else Rollout()
    delay = rollout.scale_down_delay_seconds
    delay = SCALE_DOWN_DELAY_SECONDS if delay is None else delay
    failed = record.held is not None and record.held.by == "operator" and record.held.revision == before
    warm = Warm(before, world.now + delay) if delay and not failed and before in world.revisions else None
    return replace(record, stable=target, serving=(target,), warm=warm)


def fallen(world: World, record: Record, failure: Failure | None, *, desired: int) -> Record | None:
    """Go back to the warm revision when none of the pods that replaced it is left to answer.

    Args:
        world: the world.
        record: the record, whose target has been promoted.
        failure: what is wrong with the target, or None.
        desired: pods wanted of it.

    Returns:
        The record with the spec held, or None where that is not so.
    """
    warm, target = record.warm, record.target
    if (
        warm is None
        or world.now >= warm.until
        or world.spec is None
        or target is None
        or record.held
        or failure is None
        or not desired
    ):
        return None
    if world.fleets.get(target, NOTHING).ready or not world.fleets.get(warm.revision, NOTHING).ready:
        return None
    return replace(
        record,
        held=Held(
            spec=spec_hash(world.spec, "operator"),
            revision=target,
            goal=warm.revision,
            by="operator",
            reason=failure.reason,
            message=f"no pod of it was ready any more after the switch: {failure.message}",
            time=timestamp(world.now),
        ),
    )
