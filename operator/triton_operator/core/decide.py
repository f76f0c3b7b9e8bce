"""The decision: from the world to a plan, without any I/O.

Not for: carrying the plan out; that is `controller.reconcile`.
"""

from dataclasses import replace
from typing import Any

from triton_operator.api.names import CONFIG_MAP, LABEL_SERVICE
from triton_operator.api.status import ACCEPTED, AVAILABLE, READY, RECONCILING, STALLED, SUSPENDED
from triton_operator.core import blue_green, canary, preflight, traffic, widened
from triton_operator.core.announcements import announcements
from triton_operator.core.canary_status import is_on_trial, is_surge_exhausted
from triton_operator.core.conditions import (
    ON_REQUEST,
    available,
    dated,
    failing,
    is_whole,
    looking_up,
    phase,
    status,
)
from triton_operator.core.goal import Goal, choose, given_up, rejected
from triton_operator.core.health import diagnose, is_ready, living
from triton_operator.core.inventory import Children, children_of, pressing, surplus
from triton_operator.core.record import Record
from triton_operator.core.removal import UNCHECKED, removals
from triton_operator.core.replicas import asked, wanted
from triton_operator.core.revision import Revision
from triton_operator.core.rollout import (
    NOTHING,
    advance,
    afresh,
    aim,
    begun,
    deadline,
    provision_seconds,
    recover,
    relied_on,
    timed,
)
from triton_operator.core.scaled import scale_of
from triton_operator.core.shares import arrived_of, room_of, shares_of
from triton_operator.core.situation import Situation
from triton_operator.core.times import timestamp
from triton_operator.core.victims import victims
from triton_operator.core.world import Announcement, Failure, Plan, Removal, World

Json = dict[str, Any]

ROLLING_SECONDS = 2.0
WAITING_SECONDS = 5.0
WAITING_MOST_SECONDS = 30.0
STALLED_SECONDS = 30.0
_ANEW = "revision {} has failed and never been ready, and the operator's settings have changed: it is made anew by them"


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
    goal = choose(world, world.record or recover(world))
    if goal.revision is None:
        return _unbegun(world, goal)
    target = goal.revision
    aimed = aim(world, goal.record, target.name, suspended=spec.suspend, pending=goal.wanted is None)
    aimed = replace(aimed, scale=scale_of(world))
    record = widened.apart(world, afresh(world, aimed, target), target.name)
    if goal.outdated:
        record = begun(record, world.now)
    desired = wanted(world, record, target.name)
    room = room_of(spec.rollout, desired=desired, gpu_count=target.gpu_count)
    record = blue_green.cooled(world, record, target.name)
    gate = preflight.check(world, record, target, desired=desired)
    if gate.admitted and target.name not in record.admitted:  # its further pods have their own time
        record = begun(gate.record, world.now, progress=world.fleets.get(target.name, NOTHING).ready)
    record = replace(record, about=gate.record.about, admitted=gate.record.admitted, stable=gate.record.stable)
    is_blue_green = blue_green.is_blue_green(world)
    arrived = arrived_of(world, record, target.name)
    if is_blue_green:
        record = blue_green.switched(world, record, target.name, desired=desired, arrived=arrived)
    record = traffic.noted(world, record)
    if not is_blue_green:
        record = relied_on(world, record, target.name)
    record = canary.conduct(world, record, target.name, desired=desired, surge=room.surge)
    shares = shares_of(world, record, target.name, desired=desired, room=room, arrived=arrived)
    may_serve = not is_blue_green or blue_green.may_serve(world, record, target.name, desired=desired)
    may_serve = may_serve and not canary.is_judged(world, record, target.name)
    may_serve = may_serve and not canary.is_crowded(world, record, target.name)
    admitted = gate.admitted and may_serve
    record = advance(world, record, target.name, desired=desired, shares=shares, admitted=admitted)
    if record.stable == target.name:
        record = replace(record, trial=None)
    if traffic.is_split(world):
        weights = traffic.weights_of(world, record, target.name, desired=desired, arrived=arrived)
        shares = shares if record.suspended else traffic.kept(world, shares, weights, desired=desired)
        primed = traffic.primed(world, record, target.name, weights)
        by_weight = sorted(weights, key=lambda name: -weights[name])
        record = traffic.slotted(record, (*by_weight, *([primed] if primed else [])))
    else:
        weights, record = widened.weights(world, record), replace(record, slots=())
    fleet = world.fleets.get(target.name, NOTHING)
    pods = world.pods or ()
    expected = shares[target.name] if canary.is_judged(world, record, target.name) else desired
    ill = fleet.ready < expected or fleet.refused or world.dead
    failure = diagnose(target.name, fleet, pods, dead=world.dead, now=world.now) if ill else None
    failure = gate.failure or failure
    settled = min(fleet.ready, _able(world, target.name, fleet.ready)) >= expected and gate.admitted
    record = replace(record, failure=_remembered(world, record, target.name, failure, settled=settled))
    if record.held and record.failure is None and (goal.record.failure or {}).get("revision") == record.held.revision:
        record = replace(record, failure=goal.record.failure)
    if goal.wanted is None and goal.look.failure:
        record = replace(record, failure=_remembered(world, record, None, goal.look.failure, settled=False))
    situation = Situation(
        world=world,
        record=record,
        target=target,
        desired=desired,
        expected=expected,
        weights=weights,
        room=room,
        failure=failure,
        gate=gate,
        refusal=goal.refusal or _refusal(world) or canary.refusal_of(world, record),
        lookup=goal.look
        if goal.wanted is None and not goal.refusal and not (record.held and record.held.spec)
        else None,
    )
    failed = None if goal.outdated else failing(situation)
    if failed and goal.wanted == target and (held := rejected(world, record, failed, apart=room.apart)):
        # From here on it is as if the spec had asked for the revision that serves.
        return decide(replace(world, record=held))
    if failed and (left := given_up(world, record, failed, apart=room.apart)):
        words = f"{target.name}, to which a person went back, has failed; {left.stable} serves on: {': '.join(failed)}"
        plan = decide(replace(world, record=left))
        return replace(plan, announcements=(Announcement("Warning", "UndoFailed", words), *plan.announcements))
    if fallen := blue_green.fallen(world, record, failure, desired=desired):
        return decide(replace(world, record=fallen))
    share = shares[record.stable if record.resuming and record.stable in shares else target.name]
    # While it may not go on, no time runs: once what is in its way has gone, it has not failed for that.
    barred = (goal.refusal or canary.refusal_of(world, record)) and not record.resuming
    waits = bool(barred) or is_surge_exhausted(situation)
    settled = is_whole(situation) or is_on_trial(situation) or waits
    record = timed(world, record, target.name, wanted=share, settled=settled)
    situation = replace(situation, record=record)
    built = status(situation)
    found: Children = tuple((CONFIG_MAP, copy) for copy in goal.look.copies)
    found += children_of(
        world,
        spec,
        goal.wanted,
        target,
        record,
        shares,
        weights,
        desired=desired,
        surge=room.surge,
        outdated=goal.outdated,
    )
    removed = removals(pods, world.fleets, dead=world.dead, now=world.now)
    anew = (Announcement("Normal", "MadeAnew", _ANEW.format(target.name)),) if goal.outdated else ()
    pause = ROLLING_SECONDS if goal.outdated else _look_again(world, record, target, built)
    return Plan(
        record=record,
        children=found,
        pressing=pressing(world, found),
        surplus=surplus(world, spec, target, record, shares, outdated=goal.outdated),
        removals=removed + goal.look.removals,
        marks=victims(world, found),
        resolver=goal.look.pod,
        questions=gate.questions,
        status=built,
        announcements=goal.told
        + gate.told
        + announcements(world.status, built)
        + _farewells(removed, target.name)
        + anew,
        look_again=_sooner(goal.look.look_again, pause),
    )


def _able(world: World, revision: str, ready: int) -> int:
    """Count the ready pods of a revision, those that have died excepted: its Deployment may not know of them yet."""
    if not world.dead:
        return ready
    own = living(world.pods or (), revision)
    return sum(is_ready(pod) and pod["metadata"]["uid"] not in world.dead for pod in own)


def _remembered(
    world: World, record: Record, target: str | None, failure: Failure | None, *, settled: bool
) -> Json | None:
    """Keep the last failure until the target is whole again; its time is that of its first appearance.

    A failure to look up the sources is of no revision.
    """
    if settled:
        return None
    if failure is None:
        return record.failure
    last = record.failure or {}
    same = (last.get("reason"), last.get("revision")) == (failure.reason, target)
    told: Json = {
        "reason": failure.reason,
        "message": failure.message,
        "time": last["time"] if same else timestamp(world.now),
    }
    if target:
        told["revision"] = target
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
    """Tell of pods that are replaced; what is wrong with those of the target is told as its failure."""
    return tuple(
        Announcement("Warning", pod.reason, f"pod {pod.name} is replaced: {pod.why}")
        for pod in removed
        if pod.reason and (pod.revision != target or pod.reason == UNCHECKED)
    )


def _look_again(world: World, record: Record, target: Revision, built: Json) -> float | None:
    by_type = {c["type"]: c["status"] for c in built["conditions"]}
    if by_type[READY] == "True":
        if record.warm is None:
            return None
        return max(ROLLING_SECONDS, record.warm.until - world.now)
    if by_type[STALLED] == "True":
        return STALLED_SECONDS
    trial = record.trial
    rolling = len(record.serving) > 1 and (trial is None or trial.promoted or not trial.level)
    if rolling or record.resuming or world.waits:
        return ROLLING_SECONDS
    if traffic.has_unknown(world, record):
        return ROLLING_SECONDS
    if trial and trial.weight:
        return canary.look_again(world, record, desired=max(1, asked(world)))
    # What has waited for long is looked at less often; that pods become ready is told by an event at once.
    waited = world.now - record.started if record.started else 0.0
    pause = min(WAITING_MOST_SECONDS, max(WAITING_SECONDS, waited / 10))
    until = deadline(record, target, provision_seconds=provision_seconds(world)) - world.now
    return min(pause, until) if until > 0 else pause


def _sooner(one: float | None, other: float | None) -> float | None:
    pauses = [pause for pause in (one, other) if pause is not None]
    return min(pauses) if pauses else None


def _unbegun(world: World, goal: Goal) -> Plan:
    """Say how far a service is that has no revision yet: its sources are looked up, or it cannot be carried out."""
    if goal.refusal:
        return replace(_left_alone(world, *goal.refusal, record=goal.record), look_again=WAITING_SECONDS)
    found, record = goal.look, goal.record
    if found.failure:
        record = replace(record, failure=_remembered(world, record, None, found.failure, settled=False))
    verdict = looking_up(world, found)
    refused = _refusal(world)
    if refused:
        verdict = "False", *refused
    over, told, suspended = verdict[0] == "False", verdict[1:], verdict[0] == "True"
    wanted = {
        READY: verdict,
        AVAILABLE: ("False", "NoReadyPods", "no pod in service is ready"),
        ACCEPTED: ("False", *refused) if refused else ("True", "Accepted", "the spec can be carried out"),
        RECONCILING: ("False", told[0], "no work is under way") if over or suspended else ("True", *told),
        STALLED: ("True", *told) if over else ("False", told[0], "nothing stands in the way"),
    }
    if suspended:
        wanted[SUSPENDED] = ON_REQUEST
    built: Json = {
        "observedGeneration": world.generation,
        "phase": "Suspended" if suspended else "Failed" if over else "Pending",
        "conditions": dated(world, wanted),
        "replicas": 0,
        "readyReplicas": 0,
        "selector": f"{LABEL_SERVICE}={world.name}",
    }
    if record.failure:
        built["lastFailure"] = record.failure
    return Plan(
        record=record,
        children=tuple((CONFIG_MAP, copy) for copy in found.copies),
        surplus=(),
        resolver=found.pod,
        removals=found.removals,
        status=built,
        announcements=goal.told + announcements(world.status, built),
        look_again=found.look_again,
    )


def _left_alone(world: World, reason: str, message: str, *, record: Record | None = None) -> Plan:
    """Leave everything as it is, and say why, and whether that serves."""
    record = record or world.record or recover(world)
    before = {c["type"]: c for c in world.status.get("conditions") or []}
    wanted = {ACCEPTED: "False", READY: "False", STALLED: "True", RECONCILING: "False"}
    verdicts = {type_: (value, reason, message) for type_, value in wanted.items()}
    verdicts[AVAILABLE] = available(world, record)
    kept = dict(before)
    if world.spec:  # else it cannot be told whether it still asks for that
        kept.pop(SUSPENDED, None)
        verdicts |= {SUSPENDED: ON_REQUEST} if world.spec.suspend else {}
    listed = kept | {c["type"]: c for c in dated(world, verdicts)}
    built = dict(world.status) | {
        "observedGeneration": world.generation,
        "phase": phase(listed),
        "conditions": list(listed.values()),
    }
    changed = before.get(ACCEPTED, {}).get("reason") != reason
    return Plan(
        record=record,
        children=(),
        surplus=(),
        status=built,
        announcements=(Announcement("Warning", reason, message[:4096]),) if changed else (),
    )
