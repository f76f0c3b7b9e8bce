"""Which share of the requests through a Gateway each revision gets, and when pods may go because it gets none.

Weight rises only to what ready pods carry, and falls before pods leave.
Not for: when a canary gets more; that is `core.canary`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from triton_operator.core.record import Record
from triton_operator.core.rollout import NOTHING, carrier
from triton_operator.core.world import World

KNOWN_SECONDS = 2.0
"""A Gateway learns of a ready pod after the API server did, and answers 500 for a backend without any that it knows."""


def is_split(world: World) -> bool:
    """Say whether a Gateway shares requests out among revisions, instead of leading to the Service of all."""
    spec = world.spec
    return spec is not None and spec.routing.gateway is not None and spec.rollout.strategy == "Canary"


def weights_of(world: World, record: Record, target: str, *, desired: int, arrived: int) -> dict[str, int]:
    """Share the requests out among the revisions.

    Args:
        world: the world.
        record: the record after this look.
        target: the revision to get to.
        desired: pods wanted in all, 0 or more.
        arrived: pods of the target that are ready and verified in the Service.

    Returns:
        Percent by revision, 100 in all; revisions without any are left out.
    """
    stable = record.stable
    if stable is None or stable == target or stable not in world.revisions:
        return _back(world, record, target, desired)
    before = carrier(world, record, target) or stable
    if target not in record.serving and len(record.serving) > 1:
        return _back(world, record, before, desired)
    share = 0
    trial = record.trial
    if target in record.serving:
        share = 100 if stable not in record.serving else math.ceil(100 * arrived / max(1, desired))
        if trial:
            share = max(share, _borne(world, trial.weight, target, desired))
    elif trial and trial.revision == target:
        share = _borne(world, trial.weight, target, desired)
    share = min(100, share) if reachable(world, target) else 0
    return {name: weight for name, weight in ((before, 100 - share), (target, share)) if weight}


def _back(world: World, record: Record, target: str, desired: int) -> dict[str, int]:
    """Send all requests to one revision, as far as its pods are back while another still has its load."""
    other = carrier(world, record, target)
    if other is None or not desired:
        return {target: 100}
    share = min(100, 100 * reachable(world, target) // desired)
    return {name: weight for name, weight in ((target, share), (other, 100 - share)) if weight}


def reachable(world: World, revision: str) -> int:
    """Count the pods of a revision that a Gateway knows: ready for a while, and shown as ready by its own Service."""
    ready = world.fleets.get(revision, NOTHING).ready
    return ready if world.backed is None else min(ready, world.backed.get(revision, 0))


def has_unknown(world: World) -> bool:
    """Say whether pods are ready that the Gateways may have yet to learn of."""
    return is_split(world) and any(fleet.ready > reachable(world, name) for name, fleet in world.fleets.items())


def needed(weight: int, desired: int) -> int:
    """Say how many pods of a canary carry a weight at the load that each stable pod has.

    Args:
        weight: in percent, 1 to 99.
        desired: pods of stable.
    """
    return max(1, math.ceil(weight * desired / (100 - weight)))


def carried(pods: int, desired: int) -> int:
    """Say which weight some pods of a canary carry at the load that each stable pod has, in percent."""
    return 100 * pods // (desired + pods) if pods else 0


def _borne(world: World, weight: int, target: str, desired: int) -> int:
    """Lower a weight to what the ready pods of the canary carry, of which a weight may have been rounded up."""
    ready = reachable(world, target)
    return weight if weight < 100 and ready >= needed(weight, desired) else min(weight, carried(ready, desired))


def is_applied(world: World, weights: Mapping[str, int]) -> bool:
    """Say whether every Gateway has taken over just these weights."""
    return (
        world.route is not None
        and world.route.accepted
        and {name: weight for name, weight in world.route.weights.items() if weight} == dict(weights)
    )


def least(world: World, revision: str, *, desired: int) -> int:
    """Say how many pods a revision must keep for the requests that Gateways may send to it.

    Args:
        world: the world.
        revision: the revision.
        desired: pods wanted for all requests.

    Returns:
        Pods; as many as it has where it is not sure which weights the Gateways have taken over.
    """
    fleet = world.fleets.get(revision, NOTHING)
    if world.route is None or not world.route.seen or not fleet.ready or not is_split(world):
        return 0
    if not world.route.accepted:
        return fleet.wanted
    return min(fleet.wanted, math.ceil(world.route.weights.get(revision, 0) * desired / 100))


def slotted(record: Record, weights: Mapping[str, int]) -> Record:
    """Give each revision with a weight one of the two backends, and leave it there as long as it has one.

    Args:
        record: the record so far.
        weights: percent by revision, one or two of them.
    """
    slots = [name if name in weights else "" for name in record.slots or ("", "")]
    for name in sorted(weights.keys() - set(slots), key=lambda name: -weights[name]):
        slots[slots.index("")] = name
    return replace(record, slots=tuple(slots))


def backends(slots: tuple[str, ...], weights: Mapping[str, int]) -> list[tuple[str, int]]:
    """List the backends of the route, by slot; one that is free has no weight, and another's revision."""
    heaviest = max(weights, key=lambda name: (weights[name], name))
    return [(name or heaviest, weights.get(name, 0)) for name in slots]
