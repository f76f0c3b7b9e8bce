"""Which objects a service is to have, in which order they are written, and which of those there are surplus.

Not for: how each looks; that is `resources`. How many pods each revision has is `core.shares`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from triton_operator.api.names import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    ROUTE_KINDS,
    SERVICE,
    Kind,
)
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core import canary, traffic
from triton_operator.core.goal import missing_kinds
from triton_operator.core.record import Record
from triton_operator.core.record_text import print_held
from triton_operator.core.revision import Revision, to_data
from triton_operator.core.rollout import longest, provision_seconds
from triton_operator.core.world import World
from triton_operator.resources import children
from triton_operator.resources.children import Owner
from triton_operator.resources.monitor import monitor_name, pod_monitor
from triton_operator.resources.route import Pinned, kinds, routes

Json = dict[str, Any]
Children = tuple[tuple[Kind, Json], ...]

HISTORY = 10
_KEEPING = (DEPLOYMENT, CONTROLLER_REVISION)  # what a revision is read from


def children_of(
    world: World,
    spec: InferenceServiceSpec,
    wanted: Revision | None,
    target: Revision,
    record: Record,
    shares: Mapping[str, int],
    weights: Mapping[str, int],
    *,
    desired: int,
    surge: int,
    outdated: bool,
) -> Children:
    """List the objects that a service is to have, in the order to write them.

    Args:
        world: the world.
        spec: its spec.
        wanted: the revision that the spec asks for, or None while that is not known.
        target: the revision to get to.
        record: the record after this look.
        shares: pods by revision.
        weights: percent of the requests by revision.
        desired: pods wanted in all, 0 or more.
        surge: pods that may exist beside them.
        outdated: whether the target is made anew at the next look, and what keeps it is not written in this one.
    """
    owner = Owner(world.name, world.namespace, world.uid)
    running = _running(world, target, record, shares)
    found = _kept(world, wanted, running, record)
    deployments = {
        revision.name: children.deployment(
            owner,
            revision.name,
            template=revision.template,
            replicas=shares.get(revision.name, 0),
            progress_deadline_seconds=longest(revision, provision_seconds=provision_seconds(world)),
            restarted=record.restarts.get(revision.name),
            surge=surge > 0,
        )
        for revision in running
    }
    # What is new grows first; traffic moves before anything shrinks.
    on_trial = record.trial and not record.trial.promoted and record.trial.revision in record.serving
    stable = record.stable if on_trial else None
    found.append((SERVICE, children.stable_service(owner, record.serving, stable=stable)))
    found += [(DEPLOYMENT, body) for name, body in deployments.items() if name not in world.fleets]
    found.append((SERVICE, children.headless_service(owner, record.serving)))
    found += [(SERVICE, children.revision_service(owner, revision.name)) for revision in running]
    gateway = spec.routing.gateway
    if gateway and not missing_kinds(world) and not world.rival:
        split = traffic.is_split(world)
        backends = traffic.backends(record.slots, weights) if split else [(world.name, 100)]
        pinned = _pinned(running, record.slots) if split else ()
        direct = canary.direct_of(world, record, desired=desired, surge=surge) if split else None
        found += routes(
            owner,
            gateway,
            model=target.model,
            backends=backends,
            pinned=pinned,
            direct=direct,
            told=not record.plain,
        )
    found += [(DEPLOYMENT, body) for name, body in deployments.items() if name in world.fleets]
    for revision in running:
        if spec.pod_disruption_budget.enabled:
            found.append((POD_DISRUPTION_BUDGET, children.budget(owner, revision.name)))
    if _is_monitored(world):
        found.append((POD_MONITOR, pod_monitor(owner, world.settings.podMonitor)))
    if outdated:
        found = [(k, b) for k, b in found if k not in _KEEPING or b["metadata"]["name"] != target.name]
    return tuple(found)


def _is_monitored(world: World) -> bool:
    return world.settings.podMonitor.enabled and POD_MONITOR in world.listed


def _pinned(running: Iterable[Revision], slots: tuple[str, ...]) -> list[Pinned]:
    """Say which requests go to the revision in each slot because they name its version.

    Those of a version that both of them serve go by the weights, but for those that name the revision; and a slot that
    is free has such a rule of the other one, so that none of the rules changes its place.
    """
    versions = {revision.name: revision.version for revision in running}
    there = [name for name in slots if name in versions]
    shared = len({versions[name] for name in there}) < len(there)
    places = [(name, shared) if name in versions else (there[0], True) for name in slots if there]
    return [Pinned(versions[name], name, named=named) for name, named in places]


def pressing(world: World, found: Children) -> Children:
    """Pick the Deployments that are not there yet, and what they are rebuilt from."""
    named = [(kind, body["metadata"]["name"], body) for kind, body in found]
    new = {name for kind, name, _ in named if kind == DEPLOYMENT} - world.fleets.keys()
    if not new:
        return ()
    return tuple(
        (kind, body)
        for kind, name, body in named
        if kind == CONFIG_MAP or (name in new and kind in (CONTROLLER_REVISION, DEPLOYMENT))
    )


def _kept(world: World, wanted: Revision | None, running: list[Revision], record: Record) -> list[tuple[Kind, Json]]:
    """Build the ControllerRevisions that are not there, or not as they should be."""
    owner = Owner(world.name, world.namespace, world.uid)
    said = {record.held.revision: print_held(record.held)} if record.held else {}
    others = {revision.name: revision for revision in _unsaid(world, said) + _unnumbered(world, wanted)}
    return [
        (
            CONTROLLER_REVISION,
            children.controller_revision(owner, r.name, number=r.number, data=to_data(r), rejected=said.get(r.name)),
        )
        for r in (*_unkept(world, running), *others.values())
    ]


def _unkept(world: World, running: list[Revision]) -> list[Revision]:
    """List the revisions that no ControllerRevision keeps: a new one, and those whose was lost."""
    listed = world.listed.get(CONTROLLER_REVISION, frozenset())
    last = max((revision.number for revision in world.revisions.values()), default=0)
    lost = [revision for revision in running if revision.name not in listed]
    return [r if r.number else replace(r, number=last + i) for i, r in enumerate(lost, start=1)]


def _unsaid(world: World, said: Mapping[str, str]) -> list[Revision]:
    """List the revisions whose ControllerRevision does not say, or should no longer say, that they were rejected."""
    listed = world.listed.get(CONTROLLER_REVISION, frozenset())
    changed = {name for name in {*said, *world.rejections} if said.get(name) != world.rejections.get(name)}
    return [world.revisions[name] for name in sorted(changed & listed & world.revisions.keys())]


def _unnumbered(world: World, wanted: Revision | None) -> list[Revision]:
    """Give the revision that the spec asks for the greatest number, should it have another.

    So the numbers tell in which order revisions were asked for, by whoever finds nothing else that does.
    """
    last = max((revision.number for revision in world.revisions.values()), default=0)
    kept = world.revisions.get(wanted.name) if wanted else None
    if kept is None or kept.number == last or kept.name not in world.listed.get(CONTROLLER_REVISION, frozenset()):
        return []
    return [replace(kept, number=last + 1)]


def _running(world: World, target: Revision, record: Record, shares: Mapping[str, int]) -> list[Revision]:
    """List the revisions that need a Deployment: in use, or with pods that have yet to go."""
    used = {target.name, record.stable, *record.serving}
    used |= {name for name, fleet in world.fleets.items() if fleet.pods or fleet.ending or shares.get(name, 0)}
    known = {**world.revisions, target.name: target}
    return [known[name] for name in sorted(name for name in used if name in known)]


def surplus(
    world: World,
    spec: InferenceServiceSpec,
    target: Revision,
    record: Record,
    shares: Mapping[str, int],
    *,
    outdated: bool,
) -> tuple[tuple[Kind, str], ...]:
    """List the objects that a service is to have no longer, by kind and name.

    Args:
        world: the world.
        spec: its spec.
        target: the revision to get to.
        record: the record after this look.
        shares: pods by revision.
        outdated: whether the target is to be made anew, and what keeps it goes.
    """
    running = {revision.name for revision in _running(world, target, record, shares)}
    # A Deployment whose revision cannot be read is never surplus while it has pods: it may be all that serves.
    running |= {name for name, fleet in world.fleets.items() if fleet.pods and name not in world.revisions}
    by_age = sorted(world.revisions.values(), key=lambda revision: revision.number, reverse=True)
    history = running | {revision.name for revision in by_age[:HISTORY]}
    history |= {record.held.revision} if record.held else set()
    resolutions = [world.revisions[name].resolution for name in history if name in world.revisions]
    resolutions += [target.resolution, record.resolution]
    copies = {copy for resolution in resolutions if resolution for _, copy in resolution.copies}
    anew = {target.name} if outdated else set()
    kept: dict[Kind, set[str]] = {
        CONFIG_MAP: copies | {children.record_name(world.name)},
        DEPLOYMENT: running - anew,
        SERVICE: running | {world.name, children.headless_name(world.name)},
        POD_DISRUPTION_BUDGET: running if spec.pod_disruption_budget.enabled else set(),
        CONTROLLER_REVISION: history - anew,
        POD_MONITOR: {monitor_name(world.name)} if _is_monitored(world) else set(),
        **{kind: {world.name} if kind in kinds(spec.routing.gateway) else set() for kind in ROUTE_KINDS},
    }
    return tuple(
        (kind, name) for kind, names in kept.items() for name in sorted(world.listed.get(kind, frozenset()) - names)
    )
