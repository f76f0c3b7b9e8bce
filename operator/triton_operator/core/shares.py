"""How many pods each revision has while one takes over from another.

Ready pods never fall below what the room of the rollout asks for unless the pods themselves fail, and at most its surge
of pods more than wanted exist, pods of the target that are on their way out not counted. Without a surge room comes
first from the revision that serves.
Not for: which of them serve; that is `core.rollout`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from triton_operator.api.rollout import Rollout
from triton_operator.core import blue_green, canary, traffic
from triton_operator.core.health import is_ready, living, ready_since
from triton_operator.core.record import Record
from triton_operator.core.rollout import NOTHING, unchecked
from triton_operator.core.steps import surge_of
from triton_operator.core.world import Fleet, World

SETTLE_SECONDS = 10.0
"""How long pods of a new revision are ready before the last of the old one go, like minReadySeconds of a Deployment.

What crashes on its first requests has done so by then, and somebody is left to answer the next ones.
"""


@dataclass(frozen=True, slots=True)
class Room:
    """The room in which a rollout moves.

    Attributes:
        surge: pods more than wanted that may exist.
        keep: ready pods that must stay in service.
        apart: whether all other pods must have ended before one of the target begins.
    """

    surge: int
    keep: int
    apart: bool = False

    def is_shut(self, desired: int) -> bool:
        """Say whether no pod may come before one has left, and none may leave."""
        return not self.surge and 0 < desired <= self.keep


def room_of(rollout: Rollout, *, desired: int, gpu_count: int) -> Room:
    """Work out the room of a rollout.

    Args:
        rollout: what the spec says.
        desired: pods wanted in all, 0 or more.
        gpu_count: GPUs of one pod of the target; 0 for the CPU.

    Returns:
        The room: by default a surge of a quarter of the pods, at least one, and no pod less than wanted; without a
        surge one pod less, but at least one.
    """
    if rollout.strategy == "Recreate":
        return Room(surge=0, keep=0, apart=True)
    if rollout.strategy == "BlueGreen":
        return Room(surge=desired, keep=desired)
    surge = max(1, math.ceil(desired / 4))
    if rollout.max_surge_gpus is not None and gpu_count:
        surge = rollout.max_surge_gpus // gpu_count
    if rollout.strategy == "Canary":
        return Room(surge=surge_of(rollout, desired=desired, surge=surge), keep=desired)
    keep = rollout.min_available
    if keep is None:
        keep = desired if surge else max(1, desired - 1)
    return Room(surge=surge, keep=min(keep, desired))


def arrived_of(world: World, record: Record, revision: str) -> int:
    """Count the pods of a revision that are ready and verified in the Service."""
    able = world.fleets.get(revision, NOTHING).ready
    return min(able, (world.endpoints or {}).get(revision, 0)) if revision in record.serving else 0


def shares_of(world: World, record: Record, target: str, *, desired: int, room: Room, arrived: int) -> dict[str, int]:
    """Share the wanted pods out among the revisions as the state of the service and its strategy ask for.

    Args:
        world: the world.
        record: the record.
        target: the revision to get to.
        desired: pods wanted in all, 0 or more.
        room: the room of the rollout.
        arrived: pods of the target that are ready and verified in the Service.

    Returns:
        The replicas of every revision that has a Deployment, and of the target; none gives up pods to which a Gateway
        may send requests.
    """
    found = _shares_of(world, record, target, desired=desired, room=room, arrived=arrived)
    if record.suspended:
        return found
    least = {name: traffic.least(world, name, desired=desired) for name in found}
    stable = record.stable
    if stable in found and stable != target:
        wanted = world.fleets.get(stable, NOTHING).wanted
        least[stable] = max(least[stable], min(wanted, traffic.unproven(world, record, desired=desired)))
    return {name: max(count, least[name]) for name, count in found.items()}


def _shares_of(world: World, record: Record, target: str, *, desired: int, room: Room, arrived: int) -> dict[str, int]:
    if record.suspended:
        return dict.fromkeys({*world.fleets, target}, 0)
    if record.resuming and record.stable is not None and record.stable in world.revisions:
        return dict.fromkeys({*world.fleets, target}, 0) | {record.stable: desired}
    dark = unchecked(world, record, target)  # their pods carry no load
    fleets = {name: replace(fleet, ready=0) if name in dark else fleet for name, fleet in world.fleets.items()}
    if blue_green.is_blue_green(world):
        found = blue_green.shares(world, record, target, desired=desired, arrived=arrived)
    elif canary.is_judged(world, record, target):
        found = canary.shares(world, record, target, desired=desired, surge=room.surge)
    elif len(record.serving) > 1 and (target not in record.admitted or canary.is_crowded(world, record, target)):
        # The Service selects all pods there are. One revision serves alone again before a third one begins.
        by_ready = sorted(record.serving, key=lambda name: -fleets.get(name, NOTHING).ready)
        stable_serves = record.stable in record.serving and fleets.get(record.stable or "", NOTHING).ready
        alone = record.stable if stable_serves and record.stable else by_ready[0]
        other = next(name for name in by_ready if name != alone)
        back = arrived_of(world, record, alone)
        found = share_out(alone, desired=desired, room=room, stable=other, fleets=fleets, arrived=back)
        found[target] = 0
    else:
        found = share_out(target, desired=desired, room=room, stable=record.stable, fleets=fleets, arrived=arrived)
        if _is_settling(world, record, target, desired=desired, arrived=arrived):
            before = fleets[record.stable or ""]
            found[record.stable or ""] = min(before.wanted, before.ready)
    return found


def _is_settling(world: World, record: Record, target: str, *, desired: int, arrived: int) -> bool:
    """Say whether the target could serve alone, and some of its pods have become ready only just now.

    Kubernetes itself keeps since when a pod is ready, so that a crash between two looks counts as well.
    """
    stable = record.stable
    is_rolling = world.spec is not None and world.spec.rollout.strategy == "RollingUpdate"
    if not is_rolling or stable in (None, target) or stable not in record.serving or stable not in world.fleets:
        return False
    if not 0 < desired <= arrived or world.pods is None:
        return False
    own = living(world.pods, target)
    # A node whose clock is far off is not waited for.
    proven = [pod for pod in own if is_ready(pod) and abs(world.now - ready_since(pod)) >= SETTLE_SECONDS]
    return len(proven) < desired


def share_out(
    target: str, *, desired: int, room: Room, stable: str | None, fleets: Mapping[str, Fleet], arrived: int
) -> dict[str, int]:
    """Share the wanted pods out among the revisions while one takes over.

    Args:
        target: the revision to get to.
        desired: pods wanted in all, 0 or more.
        room: the room of the rollout.
        stable: the revision that served before, or the target itself, or None.
        fleets: what every revision has now.
        arrived: pods of the target that are ready and verified in the Service.

    Returns:
        The replicas of every revision in `fleets` and of the target.
    """
    others = {name: fleet for name, fleet in fleets.items() if name != target}
    kept = max(0, room.keep - arrived)
    shares = dict.fromkeys(others, 0)
    stable_ready = others[stable].ready if stable in others else 0
    rest = max(0, kept - stable_ready)
    for name, fleet in others.items():  # one that was on its way fills in as long as its pods carry load
        if name != stable:
            shares[name] = min(fleet.ready, rest)
            rest -= shares[name]
    fleet = fleets.get(target, NOTHING)
    if stable in others:
        shares[stable] = kept - sum(shares.values())
        # Where there is no room for the target, pods of stable that fail again and again make it; never one that loads.
        wanting = fleet.homeless if room.surge else desired
        shares[stable] = max(min(shares[stable], stable_ready), shares[stable] - min(wanting, others[stable].failing))
        if not stable_ready:  # what it gave up while it served nothing, it does not take back
            shares[stable] = min(shares[stable], others[stable].wanted)
    occupied = sum(max(shares[name], fleet.pods) + fleet.ending for name, fleet in others.items())
    free = 0 if room.apart and occupied else desired + room.surge - occupied
    shares[target] = min(desired, max(fleet.ready, free))
    return shares
