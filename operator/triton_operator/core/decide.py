"""The decision: from the world to a plan, without any I/O.

Not for: carrying the plan out; that is `controller.reconcile`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from triton_operator.api.names import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
)
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.api.status import ACCEPTED, READY, RECONCILING, STALLED
from triton_operator.core.conditions import Situation, announcements, ready, status, timestamp
from triton_operator.core.health import diagnose
from triton_operator.core.placement import Unplaceable
from triton_operator.core.record import Record
from triton_operator.core.removal import removals
from triton_operator.core.revision import Revision, render, revision_name, to_data
from triton_operator.core.rollout import (
    NOTHING,
    Room,
    advance,
    afresh,
    aim,
    deadline,
    longest,
    provision_seconds,
    recover,
    room_of,
    share_out,
    timed,
)
from triton_operator.core.world import Announcement, Failure, Plan, Removal, World
from triton_operator.resources import children
from triton_operator.resources.children import Owner

Json = dict[str, Any]
Children = tuple[tuple[Kind, Json], ...]

HISTORY = 10
ROLLING_SECONDS = 2.0
WAITING_SECONDS = 5.0
WAITING_MOST_SECONDS = 30.0
STALLED_SECONDS = 30.0


def decide(world: World) -> Plan:
    """Decide what a service needs now.

    Args:
        world: everything that is known about it.

    Returns:
        The plan. The same world always gives the same plan; a world that a plan was carried out in gives a plan that
        changes nothing.
    """
    if world.spec is None:
        return _left_alone(world, "InvalidSpec", f"this operator cannot read the spec: {world.spec_error}")
    spec = world.spec
    record = world.record or recover(world)
    placed = _placed(world, spec)
    if isinstance(placed, Revision):
        target, refusal = placed, _refusal(world)
    elif held := world.revisions.get(record.target or "") or world.revisions.get(record.stable or ""):
        target, refusal = held, placed  # what was under way goes on
    else:
        return _left_alone(world, *placed)
    desired = 0 if spec.suspend else spec.replicas
    record = afresh(world, aim(world, record, target.name, suspended=spec.suspend), target)
    room = room_of(spec.rollout, desired=desired, gpu_count=target.gpu_count)
    shares = _shares(world, record, target.name, desired, room)
    record = advance(world, record, target.name, desired=desired, shares=shares)
    fleet = world.fleets.get(target.name, NOTHING)
    pods = world.pods or ()
    ill = fleet.ready < desired or fleet.refused or world.dead
    failure = diagnose(target.name, fleet, pods, dead=world.dead, now=world.now) if ill else None
    settled = fleet.ready >= desired and not world.dead
    record = replace(record, failure=_remembered(world, record, target, failure, settled=settled))
    situation = Situation(
        world=world,
        record=record,
        target=target,
        desired=desired,
        room=room,
        failure=failure,
        refusal=refusal,
    )
    wanted = shares[record.stable if record.resuming and record.stable in shares else target.name]
    record = timed(world, record, target.name, wanted=wanted, settled=ready(situation)[0] == "True")
    situation = replace(situation, record=record)
    built = status(situation)
    found = _children(world, spec, target, record, shares)
    removed = removals(pods, world.fleets, dead=world.dead, now=world.now)
    return Plan(
        record=record,
        children=found,
        pressing=_pressing(world, found),
        surplus=_surplus(world, spec, target, record, shares),
        removals=removed,
        status=built,
        announcements=announcements(world.status, built) + _farewells(removed, target.name),
        look_again=_look_again(world, record, target, built),
    )


def _placed(world: World, spec: InferenceServiceSpec) -> Revision | tuple[str, str]:
    """Find or render the revision that the spec asks for; or say, as reason and message, why no node can run it."""
    kept = world.revisions.get(revision_name(world.name, spec))
    number = 1 + max((revision.number for revision in world.revisions.values()), default=0)
    try:
        return kept or render(world.name, spec, world.settings, number=number)
    except Unplaceable as error:
        return error.reason, str(error)


def _shares(world: World, record: Record, target: str, desired: int, room: Room) -> dict[str, int]:
    if record.suspended:
        return dict.fromkeys({*world.fleets, target}, 0)
    if record.resuming and record.stable is not None and record.stable in world.revisions:
        return dict.fromkeys({*world.fleets, target}, 0) | {record.stable: desired}
    able = world.fleets.get(target, NOTHING).ready
    arrived = min(able, (world.endpoints or {}).get(target, 0)) if target in record.serving else 0
    return share_out(target, desired=desired, room=room, stable=record.stable, fleets=world.fleets, arrived=arrived)


def _children(
    world: World, spec: InferenceServiceSpec, target: Revision, record: Record, shares: Mapping[str, int]
) -> Children:
    owner = Owner(world.name, world.namespace, world.uid)
    running = _running(world, target, record, shares)
    found: list[tuple[Kind, Json]] = [
        (CONTROLLER_REVISION, children.controller_revision(owner, r.name, number=r.number, data=to_data(r)))
        for r in _unkept(world, running)
    ]
    deployments = {
        revision.name: children.deployment(
            owner,
            revision.name,
            template=revision.template,
            replicas=shares.get(revision.name, 0),
            progress_deadline_seconds=longest(revision, provision_seconds=provision_seconds(world)),
        )
        for revision in running
    }
    # What is new grows first; traffic moves before anything shrinks.
    found.append((SERVICE, children.stable_service(owner, record.serving)))
    found += [(DEPLOYMENT, body) for name, body in deployments.items() if name not in world.fleets]
    found.append((SERVICE, children.headless_service(owner, record.serving)))
    found += [(DEPLOYMENT, body) for name, body in deployments.items() if name in world.fleets]
    for revision in running:
        found.append((SERVICE, children.revision_service(owner, revision.name)))
        if spec.pod_disruption_budget.enabled:
            found.append((POD_DISRUPTION_BUDGET, children.budget(owner, revision.name)))
    return tuple(found)


def _pressing(world: World, found: Children) -> Children:
    """Pick the Deployments that are not there yet, and what they are rebuilt from."""
    named = [(kind, body["metadata"]["name"], body) for kind, body in found]
    new = {name for kind, name, _ in named if kind == DEPLOYMENT} - world.fleets.keys()
    return tuple(
        (kind, body) for kind, name, body in named if name in new and kind in (CONTROLLER_REVISION, DEPLOYMENT)
    )


def _unkept(world: World, running: list[Revision]) -> list[Revision]:
    """List the revisions that no ControllerRevision keeps: a new one, and those whose was lost."""
    listed = world.listed.get(CONTROLLER_REVISION, frozenset())
    last = max((revision.number for revision in world.revisions.values()), default=0)
    lost = [revision for revision in running if revision.name not in listed]
    return [r if r.number else replace(r, number=last + i) for i, r in enumerate(lost, start=1)]


def _running(world: World, target: Revision, record: Record, shares: Mapping[str, int]) -> list[Revision]:
    """List the revisions that need a Deployment: in use, or with pods that have yet to go."""
    used = {target.name, record.stable, *record.serving}
    used |= {name for name, fleet in world.fleets.items() if fleet.pods or fleet.ending or shares.get(name, 0)}
    known = {**world.revisions, target.name: target}
    return [known[name] for name in sorted(name for name in used if name in known)]


def _surplus(
    world: World, spec: InferenceServiceSpec, target: Revision, record: Record, shares: Mapping[str, int]
) -> tuple[tuple[Kind, str], ...]:
    running = {revision.name for revision in _running(world, target, record, shares)}
    # A Deployment whose revision cannot be read is never surplus while it has pods: it may be all that serves.
    running |= {name for name, fleet in world.fleets.items() if fleet.pods and name not in world.revisions}
    by_age = sorted(world.revisions.values(), key=lambda revision: revision.number, reverse=True)
    history = running | {revision.name for revision in by_age[:HISTORY]}
    kept: dict[Kind, set[str]] = {
        DEPLOYMENT: running,
        SERVICE: running | {world.name, children.headless_name(world.name)},
        POD_DISRUPTION_BUDGET: running if spec.pod_disruption_budget.enabled else set(),
        CONTROLLER_REVISION: history,
    }
    return tuple(
        (kind, name) for kind, names in kept.items() for name in sorted(world.listed.get(kind, frozenset()) - names)
    )


def _remembered(
    world: World, record: Record, target: Revision, failure: Failure | None, *, settled: bool
) -> Json | None:
    """Keep the last failure until the target is whole again; its time is that of its first appearance."""
    if settled:
        return None
    if failure is None:
        return record.failure
    last = record.failure or {}
    same = (last.get("reason"), last.get("revision")) == (failure.reason, target.name)
    told: Json = {
        "reason": failure.reason,
        "message": failure.message,
        "revision": target.name,
        "time": last["time"] if same else timestamp(world.now),
    }
    if failure.pod:
        told["pod"] = failure.pod
    if failure.exit_code is not None:
        told["exitCode"] = failure.exit_code
    return told


def _refusal(world: World) -> tuple[str, str] | None:
    if not world.problems:
        return None
    return world.problems[0].reason, "; ".join(problem.message for problem in world.problems)


def _farewells(removed: tuple[Removal, ...], target: str) -> tuple[Announcement, ...]:
    """Tell of pods that are replaced, but for those of the target: what is wrong with it is told as its failure."""
    return tuple(
        Announcement("Warning", pod.reason, f"pod {pod.name} is replaced: {pod.why}")
        for pod in removed
        if pod.reason and pod.revision != target
    )


def _look_again(world: World, record: Record, target: Revision, built: Json) -> float | None:
    by_type = {c["type"]: c["status"] for c in built["conditions"]}
    if by_type[READY] == "True":
        return None
    if by_type[STALLED] == "True":
        return STALLED_SECONDS
    if len(record.serving) > 1 or record.resuming or world.waits:
        return ROLLING_SECONDS
    # What has waited for long is looked at less often; that pods become ready is told by an event at once.
    waited = world.now - record.started if record.started else 0.0
    pause = min(WAITING_MOST_SECONDS, max(WAITING_SECONDS, waited / 10))
    until = deadline(record, target, provision_seconds=provision_seconds(world)) - world.now
    return min(pause, until) if until > 0 else pause


def _left_alone(world: World, reason: str, message: str) -> Plan:
    """Leave everything as it is, and say why."""
    message = message[:4096]
    before = {c["type"]: c for c in world.status.get("conditions") or []}
    now = timestamp(world.now)
    wanted = {ACCEPTED: "False", READY: "False", STALLED: "True", RECONCILING: "False"}
    told = {
        type_: {
            "type": type_,
            "status": value,
            "observedGeneration": world.generation,
            "lastTransitionTime": before[type_]["lastTransitionTime"]
            if type_ in before and before[type_]["status"] == value
            else now,
            "reason": reason,
            "message": message,
        }
        for type_, value in wanted.items()
    }
    built = dict(world.status) | {
        "observedGeneration": world.generation,
        "phase": "Failed",
        "conditions": [*(c for type_, c in before.items() if type_ not in told), *told.values()],
    }
    changed = before.get(ACCEPTED, {}).get("reason") != reason
    return Plan(
        record=world.record or recover(world),
        children=(),
        surplus=(),
        status=built,
        announcements=(Announcement("Warning", reason, message),) if changed else (),
    )
