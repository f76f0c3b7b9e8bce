"""Which revisions are in the Service and which is stable while one takes over from another, and by when that is done.

The order is always: grow, verify ready, move traffic, verify, shrink, delete.
Not for: how many pods each has; that is `core.shares`.
"""

from collections.abc import Mapping
from dataclasses import replace

from triton_operator.api.names import LABEL_REVISION
from triton_operator.api.rollout import Rollout
from triton_operator.core.record import Held, Record
from triton_operator.core.record_text import read_held
from triton_operator.core.revision import Revision, spec_hash
from triton_operator.core.world import Fleet, World
from triton_operator.resources.labels import NO_REVISION

# What images, volumes and the preparation of the model may take once a pod has a node, before Triton begins to load.
START_SECONDS = 600
NOTHING = Fleet(wanted=0, pods=0, ready=0)


def longest(revision: Revision, *, provision_seconds: int) -> int:
    """Say how many seconds a revision may take in all to get one more pod ready."""
    return provision_seconds + START_SECONDS + revision.load_timeout_seconds


def deadline(record: Record, revision: Revision, *, provision_seconds: int) -> float:
    """Say by when a revision should be ready, or at least have one more ready pod, in seconds since the epoch.

    Args:
        record: knows when the work began, and since when its pods have nodes, or have none.
        revision: the revision.
        provision_seconds: how long pods may wait for nodes.
    """
    # Pods that lose their nodes again and again, or crash in turn, do not get more time by that.
    most = record.started + longest(revision, provision_seconds=provision_seconds)
    if record.homeless:
        return min(most, record.homeless + provision_seconds)
    if record.placed:
        return min(most, record.placed + START_SECONDS + revision.load_timeout_seconds)
    return record.started + provision_seconds


def recover(world: World) -> Record:
    """Rebuild the pointers of a lost record from the children; traffic stays where it is, and a held spec held.

    Args:
        world: the world, without a record.

    Returns:
        A record whose serving revisions are those that the Service and the ready pods show.
    """
    held = _rejection(world)
    # What failed last is told in the words of the rejection: which pod it was is lost.
    failure = {n: getattr(held, n) for n in ("reason", "message", "time", "revision")} if held else None
    return replace(_pointed(world), held=held, failure=failure if held and held.by == "operator" else None)


def _rejection(world: World) -> Held | None:
    """Find what ControllerRevisions say of the spec of now; the last word counts."""
    said = [held for text in world.rejections.values() if (held := read_held(text))]
    valid = [h for h in said if world.spec and h.spec == spec_hash(world.spec, h.by) and h.goal in world.revisions]
    return max(valid, key=lambda held: held.time, default=None)


def _pointed(world: World) -> Record:
    routed = world.routed
    if routed is not None and routed in world.revisions:  # it may be down: what is ready beside it was not checked
        return _recovered(world, routed, (routed,))
    ready = {name: fleet.ready for name, fleet in world.fleets.items() if fleet.ready}
    if not ready or routed == NO_REVISION:
        return _recovered(world, None, ())
    most = max(ready, key=lambda name: (ready[name], name))
    return _recovered(world, most, tuple(sorted(ready)))


def _recovered(world: World, stable: str | None, serving: tuple[str, ...]) -> Record:
    return Record(stable=stable, serving=serving, admitted=serving, started=world.now)


def aim(world: World, record: Record, target: str, *, suspended: bool, pending: bool) -> Record:
    """Note what the spec asks for now: a new target, a suspension, a resumption.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        suspended: whether the spec is suspended.
        pending: whether it is not known yet what revision the spec asks for.

    Returns:
        The record to work with.
    """
    if record.target != target:
        resuming = record.resuming and record.stable != target
        record = replace(begun(record, world.now), target=target, failure=None, resuming=resuming)
    if record.suspended and not suspended:
        behind = record.stable is not None and (record.stable != target or pending)
        record = replace(begun(record, world.now), resuming=behind, failure=None)
    return replace(record, suspended=suspended)


def relied_on(world: World, record: Record, target: str) -> Record:
    """Take another revision in service for stable, if the target waits for stable to serve alone and it cannot.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to, which does not serve yet.
    """
    stable, serving, fleets = record.stable, record.serving, world.fleets
    if stable is None or target in (stable, *serving) or record.suspended or record.resuming:
        return record
    for other in (name for name in serving if name != stable and name in world.revisions):
        fleet, before = fleets.get(other, NOTHING), fleets.get(stable, NOTHING)
        able = fleet.ready and not fleet.failing and not fleet.homeless
        if (able and before.failing) or (serving == (other,) and not before.ready):
            return replace(record, stable=other)
    return record


def advance(
    world: World, record: Record, target: str, *, desired: int, shares: Mapping[str, int], admitted: bool
) -> Record:
    """Move the pointers as far as the world shows: into service, out of service, promoted.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        desired: pods wanted in all.
        shares: the replicas that every revision is to have.
        admitted: whether a target with ready pods may begin to serve: it was checked, and its strategy lets it.

    Returns:
        The record with its pointers moved.
    """
    fleets, checked = world.fleets, target in record.admitted
    serving = list(record.serving)
    warm = record.warm.revision if record.warm else None
    # Two in the Service widen it to all pods there are: none of them may be of a revision that was not checked.
    dark = has_pods(world, *unchecked(world, record, target))
    if target not in serving and admitted and not dark and fleets.get(target, NOTHING).ready:
        serving.append(target)
    stable = record.stable  # it may have been gone and grow again, because the one that followed it was given up
    open_ = not dark and (checked or not has_pods(world, target))
    if stable and open_ and stable not in serving and fleets.get(stable, NOTHING).ready and shares.get(stable, 0):
        serving.append(stable)
    occupied = {name for name, fleet in fleets.items() if fleet.pods or fleet.ending or shares.get(name, 0)}
    if record.suspended:  # what serves is left in the Service until it has gone
        keep = tuple(name for name in (record.stable or target,) if name in record.admitted)
        return replace(record, serving=record.serving if record.serving and _any_pods(world) else keep)
    serving = [name for name in serving if name in occupied or name == target]
    if not checked and len(serving) > 1:  # the target needs the Service narrow before it has pods
        serving = [name for name in serving if fleets.get(name, NOTHING).ready] or serving[:1]
    if not serving:
        serving = [name for name in (target if checked else record.stable,) if name in record.admitted]
    alone = not (occupied - {target, warm})
    proven = desired == 0 or (checked and fleets.get(target, NOTHING).ready >= desired)
    stable = target if alone and proven else record.stable
    if target == stable and alone:
        serving = [target] if checked else []
    if target in serving and len(serving) > 1 and target != stable and not fleets.get(target, NOTHING).ready:
        # it has lost all its pods again; it stays in service only as long as it has taken over part of the load
        serving = [name for name in serving if name != target]
    resuming = record.resuming and not _is_back(world, record, desired)
    if record.resuming and not resuming:
        record = begun(record, world.now)
    used = {target, stable, *serving}
    about = {name: told for name, told in record.about.items() if name in used}
    return replace(record, stable=stable, serving=tuple(serving), resuming=resuming, about=about)


def unchecked(world: World, record: Record, target: str) -> list[str]:
    """List the revisions, the target excepted, whose pods no request may reach."""
    lit = {*record.admitted, *record.serving, target}
    return [name for name in world.revisions if name in world.fleets and name not in lit]


def has_pods(world: World, *revisions: str) -> bool:
    """Say whether one of some revisions has pods, or is to have, those excepted that are ending."""
    fleets = [world.fleets.get(name, NOTHING) for name in revisions]
    labels = (p["metadata"]["labels"] for p in world.pods or () if "deletionTimestamp" not in p["metadata"])
    return any(f.pods or f.wanted for f in fleets) or any(of.get(LABEL_REVISION) in revisions for of in labels)


def timed(world: World, record: Record, target: str, *, wanted: int, settled: bool) -> Record:
    """Keep the times from which the deadline counts: a target that gets on, however slowly, has not failed.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        wanted: pods that the target is to have now.
        settled: whether all is as the spec asks.

    Returns:
        The record with its times; they change only when work begins or ends, when more pods are ready than before, and
        when all pods that are wanted now have got nodes, or have lost them.
    """
    if settled:
        return begun(record, 0.0)
    if record.resuming and record.stable is not None:
        return _placed(world, record, record.stable, wanted)
    fleet = world.fleets.get(target, NOTHING)
    if not record.started or fleet.ready > record.progress:
        record = begun(record, world.now, progress=fleet.ready)
    # Without a Deployment, as long as its name is taken, no time runs; it is noted now and then, not at each look.
    if target not in world.fleets and world.now >= record.started + provision_seconds(world) / 2:
        record = replace(record, started=world.now)
    return _placed(world, record, target, wanted)


def afresh(world: World, record: Record, target: Revision) -> Record:
    """Give a spec that has just changed time anew, if that of its predecessor is out: perhaps the change is the remedy.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
    """
    is_new = world.status.get("observedGeneration") != world.generation
    until = deadline(record, target, provision_seconds=provision_seconds(world))
    if is_new and record.started and world.now >= until:
        return begun(record, world.now, progress=world.fleets.get(target.name, NOTHING).ready)
    return record


def begun(record: Record, now: float, *, progress: int = 0) -> Record:
    """Let the time of what is under way begin now, or end (0), with so many pods ready."""
    return replace(record, started=now, placed=0.0, homeless=0.0, progress=progress)


def _placed(world: World, record: Record, name: str, wanted: int) -> Record:
    fleet = world.fleets.get(name, NOTHING)
    if fleet.homeless:
        return replace(record, homeless=record.homeless or world.now)
    if fleet.scheduled and fleet.scheduled >= wanted and (record.homeless or not record.placed):
        return replace(record, placed=world.now, homeless=0.0)
    return record


def _any_pods(world: World) -> bool:
    return any(fleet.pods for fleet in world.fleets.values())


def _is_back(world: World, record: Record, desired: int) -> bool:
    stable = record.stable
    if stable is None or stable not in world.revisions:
        return True
    ready = world.fleets.get(stable, NOTHING).ready
    until = deadline(record, world.revisions[stable], provision_seconds=provision_seconds(world))
    return ready >= desired or world.now >= until


def provision_seconds(world: World) -> int:
    """Say how long pods of a service may wait for nodes."""
    return (world.spec.rollout if world.spec else Rollout()).provision_timeout_seconds


def carrier(world: World, record: Record, target: str) -> str | None:
    """Tell which revision beside the target carries the load: stable, or where it has no ready pod, who has most."""
    ready = {n: f.ready for n in record.serving if n != target and (f := world.fleets.get(n, NOTHING)).ready}
    if record.stable in ready or not ready:
        return record.stable if record.stable in ready else None
    return max(ready, key=lambda name: (ready[name], name))
