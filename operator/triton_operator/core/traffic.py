"""Which share of the requests through a Gateway each revision gets, and when pods may go because it gets none.

Weight rises only to what ready pods carry, and falls before pods leave.
Not for: when a canary gets more; that is `core.canary`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from triton_operator.core.record import Record
from triton_operator.core.resolution import short_hash
from triton_operator.core.rollout import NOTHING, carrier
from triton_operator.core.world import World

KNOWN_SECONDS = 2.0
"""How long a Gateway's proxies may take to learn of a new backend once the Gateway has accepted it."""
LEAST_TURN = 25
PRIMED = 1
WHOLE = 1_000_000
"""A backend without a weight is none for some Gateways. They add it and send it requests in one go, and their proxies
answer 500 until they know it; so it has one part in a million before it has a share, and after."""


def is_canary(world: World) -> bool:
    """Say whether the spec asks for canaries."""
    return world.spec is not None and world.spec.rollout.strategy == "Canary"


def is_split(world: World) -> bool:
    """Say whether a Gateway shares requests out among revisions, instead of leading to the Service of all."""
    return is_canary(world) and world.spec is not None and world.spec.routing.gateway is not None


def is_widened(world: World) -> bool:
    """Say whether canaries join the Service, as there is no Gateway."""
    return is_canary(world) and not is_split(world)


def is_shrinking(world: World) -> bool:
    """Say whether the revision that serves gives up the pods that the canary's replace, while that is on trial."""
    return is_split(world) and world.spec is not None and world.spec.rollout.dynamic_stable_scale


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
    before = carrier(world, record, target)
    if before is None:  # nobody else answers
        return {target if target in record.serving and present(world, target) else stable: 100}
    if target not in record.serving and len(record.serving) > 1:
        return _back(world, record, before, desired)
    share = 0
    trial = record.trial
    if trial and trial.revision == target and not trial.promoted:
        share = _borne(world, record, trial.weight, target, desired)
    elif target in record.serving:
        share = 100 if stable not in record.serving else _share(arrived, present(world, before), desired)
        if trial:
            share = max(share, _borne(world, record, trial.weight, target, desired))
            share = min(share, trial.weight + turn(desired))
    share = min(100, share) if reachable(world, record, target) else 0
    return {name: weight for name, weight in ((before, 100 - share), (target, share)) if weight}


def turn(desired: int) -> int:
    """Say by how many percent the weight of a promoted canary may rise before its requests are looked at again.

    Args:
        desired: pods wanted in all.
    """
    return max(LEAST_TURN, math.ceil(100 / max(1, desired)))


def unproven(world: World, record: Record, *, desired: int) -> int:
    """Count the pods that the revision that served keeps while another takes over, until that has borne their share.

    Args:
        world: the world.
        record: the record.
        desired: pods wanted in all, 0 or more.
    """
    trial = record.trial
    if trial is None or not trial.promoted or not is_split(world):
        return 0
    return math.ceil((100 - trial.weight) * desired / 100)


def _back(world: World, record: Record, target: str, desired: int) -> dict[str, int]:
    """Send all requests to one revision, as far as its pods are back while another still has its load."""
    other = carrier(world, record, target)
    if other is None or not desired:
        return {target: 100}
    # Rounded up, so that the pods which the rest still needs leave room for one more of the target.
    share = _share(reachable(world, record, target), present(world, other), desired)
    return {name: weight for name, weight in ((target, share), (other, 100 - share)) if weight}


def _share(pods: int, others: int, desired: int) -> int:
    """Say what some pods carry of all requests, in percent, rounded up; where many more are wanted, what others leave.

    Args:
        pods: those that are ready.
        others: those of the other revision that are.
        desired: pods wanted for all requests.
    """
    return min(100, math.ceil(100 * pods / max(1, min(desired, pods + others)))) if pods else 0


def present(world: World, revision: str) -> int:
    """Count the pods of a revision that are ready and that its own Service shows as ready."""
    ready = world.fleets.get(revision, NOTHING).ready
    return ready if world.backed is None else min(ready, world.backed.get(revision, 0))


def reachable(world: World, record: Record, revision: str) -> int:
    """Count the pods of a revision to which Gateways may send requests: all that are present, once it is known."""
    has_share = world.route is None or world.route.weights.get(revision, 0) > 0
    known = world.now >= record.known.get(revision, math.inf) + KNOWN_SECONDS
    return present(world, revision) if has_share or known else 0


def noted(world: World, record: Record) -> Record:
    """Note since when Gateways have had the backends that the routes have now, and whether they take their filters."""
    record = replace(record, plain=_plain(world, record))
    if world.route is None or not is_split(world):
        return replace(record, known={})
    known = {name: since for name, since in record.known.items() if name in world.route.backends}
    if world.route.accepted:
        known = dict.fromkeys(sorted(world.route.backends), world.now) | known
    return replace(record, known=known)


def _plain(world: World, record: Record) -> str:
    gateway = world.spec.routing.gateway if world.spec else None
    if gateway is None:
        return ""
    which = short_hash([ref.model_dump(mode="json") for ref in gateway.parent_refs])
    is_refused = world.route is not None and world.route.unfiltered
    return which if is_refused or record.plain == which else ""


def has_unknown(world: World, record: Record) -> bool:
    """Say whether there are backends that Gateways have only just got, or pods that their Service does not show yet."""
    young = any(world.now < since + KNOWN_SECONDS for since in record.known.values())
    return young or (is_split(world) and any(f.ready > present(world, name) for name, f in world.fleets.items()))


def primed(world: World, record: Record, target: str, weights: Mapping[str, int]) -> str | None:
    """Say which revision is to be a backend that gets next to no requests: it will have a share, or has had one.

    Args:
        world: the world.
        record: the record after this look.
        target: the revision to get to.
        weights: percent by revision.
    """
    if len(weights) != 1 or record.suspended:
        return None
    soon = (target, record.stable, *record.serving, *record.slots)
    rest = (name for name in soon if name in record.admitted and name not in weights)
    return next((name for name in rest if present(world, name)), None)


def needed(weight: int, desired: int, *, shrinking: bool = False) -> int:
    """Say how many pods of a canary carry a weight at the load that each stable pod has.

    Args:
        weight: in percent, 1 to 99.
        desired: pods of stable.
        shrinking: whether stable gives up the pods that the canary's replace.
    """
    return max(1, math.ceil(weight * desired / (100 if shrinking else 100 - weight)))


def carried(pods: int, desired: int) -> int:
    """Say which weight some pods of a canary carry at the load that each stable pod has, in percent."""
    return 100 * pods // (desired + pods) if pods else 0


def _borne(world: World, record: Record, weight: int, target: str, desired: int) -> int:
    """Lower a weight to what the ready pods of the canary carry, of which a weight may have been rounded up."""
    ready = reachable(world, record, target)
    if is_shrinking(world):
        is_enough = ready >= needed(weight, desired, shrinking=True)
        return weight if is_enough else min(weight, _share(ready, present(world, record.stable or ""), desired))
    borne = weight if weight < 100 and ready >= needed(weight, desired) else min(weight, carried(ready, desired))
    if target not in record.serving:
        return borne
    # Pods of stable had gone for it while the spec asked for that: it keeps what those that are back do not carry.
    return max(borne, min(weight, 100 - _share(present(world, record.stable or ""), ready, desired)))


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


def kept(world: World, shares: Mapping[str, int], weights: Mapping[str, int], *, desired: int) -> dict[str, int]:
    """Let no revision give up pods that the weights of this very look ask for.

    Args:
        world: the world.
        shares: pods by revision.
        weights: percent by revision.
        desired: pods wanted for all requests.
    """
    found = dict(shares)
    for name, weight in weights.items():
        wanted = world.fleets.get(name, NOTHING).wanted
        found[name] = max(found.get(name, 0), min(wanted, math.ceil(weight * desired / 100)))
    return found


def slotted(record: Record, names: Iterable[str]) -> Record:
    """Give each revision that is to be a backend one of the two places, and leave it there as long as it is one.

    Args:
        record: the record so far.
        names: one or two revisions, that with the most requests first.
    """
    wanted = list(names)
    slots = [name if name in wanted else "" for name in record.slots or ("", "")]
    for name in wanted:
        if name not in slots:
            slots[slots.index("")] = name
    return replace(record, slots=tuple(slots))


def backends(slots: tuple[str, ...], weights: Mapping[str, int]) -> list[tuple[str, int]]:
    """List the backends of the route, by slot; one that is free has no weight, and another's revision.

    Args:
        slots: the revisions in their places.
        weights: percent by revision; one with a place and without a weight is primed.
    """
    heaviest = max(weights, key=lambda name: (weights[name], name))
    if all(slots) and len(weights) == 1:
        return [(name, WHOLE if name in weights else PRIMED) for name in slots]
    return [(name or heaviest, weights.get(name, 0)) for name in slots]
