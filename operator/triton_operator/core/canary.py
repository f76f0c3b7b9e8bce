"""Canary: a new revision gets a growing share of the requests through a Gateway, step by step, while it is judged.

While it is on trial the revision that serves keeps all its pods, so that the way back is instant, and the canary has as
many beside them as carry its weight at the load of any other pod. Promoted, it takes over pod by pod as in a
RollingUpdate: no pod that was judged is started again.
Not for: the weights that follow; those are `core.traffic`'s. The statistics are `core.judge`'s.
"""

from collections.abc import Sequence
from dataclasses import replace

from triton_operator.api.rollout import Rollout
from triton_operator.api.steps import Step
from triton_operator.core import analysis, widened
from triton_operator.core.judge import Verdict
from triton_operator.core.record import Record, Trial
from triton_operator.core.resolution import short_hash
from triton_operator.core.rollout import NOTHING
from triton_operator.core.steps import ladder, pods, standing
from triton_operator.core.traffic import (
    is_applied,
    is_canary,
    is_shrinking,
    is_split,
    is_widened,
    needed,
    present,
    reachable,
    weights_of,
)
from triton_operator.core.world import World
from triton_operator.resources.route import Direct

STEP_SECONDS = 60

# Why a trial stays where it is until a person acts.
BY_PERSON = "UserRequested"
INCONCLUSIVE = "Inconclusive"
FAILED = "AnalysisFailed"


def unjudged(rollout: Rollout, *, desired: int, surge: int) -> str | None:
    """Say why slow requests could never be judged and what to do; None where they can, or are not to be."""
    steps = ladder(rollout, desired=max(1, desired), surge=max(1, surge))
    weight, sides = 0, []
    for number, step in enumerate(steps):
        weight = step.set_weight or weight
        shrinking = rollout.dynamic_stable_scale
        sides.append((weight, pods(weight, standing(steps, number), desired=max(1, desired), shrinking=shrinking)))
    return analysis.unjudged(rollout, desired=desired, surge=surge, sides=sides)


def is_judged(world: World, record: Record, target: str) -> bool:
    """Say whether the target is, or is to be, on trial beside the revision that serves."""
    stable, trial = record.stable, record.trial
    if not is_canary(world) or record.suspended or record.resuming or stable in (None, target):
        return False
    if stable not in world.revisions or widened.apart(world, record, target).serving != (stable,):
        return False
    if trial and trial.revision == target:
        return not trial.promoted
    # Where nothing serves there is nothing to compare with, and nobody to protect.
    return world.fleets.get(stable or "", NOTHING).ready > 0


def is_crowded(world: World, record: Record, target: str) -> bool:
    """Say whether two others share the requests, so that one of them has to serve alone before the target's trial."""
    return is_canary(world) and target not in (record.stable, *record.serving) and len(record.serving) > 1


def conduct(world: World, record: Record, target: str, *, desired: int, surge: int) -> Record:
    """Lead the trial on: begin it, hear what its requests show, go from step to step, promote.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        desired: pods wanted in all, 0 or more.
        surge: pods that the canary may have beside them.

    Returns:
        The record with the trial as it is now, and in service those that are to be, as far as a trial says.
    """
    found = _conducted(world, widened.apart(world, record, target), target, desired=desired, surge=surge)
    return widened.joined(world, found, desired=desired)


def _conducted(world: World, record: Record, target: str, *, desired: int, surge: int) -> Record:
    trial = record.trial if record.trial and record.trial.revision == target else None
    if not is_judged(world, record, target):
        going_on = trial and trial.promoted and record.stable != target and not record.suspended
        return replace(record, trial=_taken_over(world, record, trial, desired=desired) if trial and going_on else None)
    if target not in record.admitted or not desired:
        return replace(record, trial=None)
    steps = _ladder(world, desired=desired, surge=surge)
    stands_for = short_hash([step.model_dump(mode="json") for step in steps])
    trial = trial or Trial(revision=target, steps=stands_for)
    if trial.steps != stands_for:
        trial = _moved(trial, steps, stands_for)
    trial = _heard(world, record, trial, desired=desired)
    return replace(record, trial=_advanced(world, record, trial, steps, desired=desired))


def shares(world: World, record: Record, target: str, *, desired: int, surge: int) -> dict[str, int]:
    """Share the pods out while the target is on trial.

    Args:
        world: the world.
        record: the record.
        target: the revision to get to.
        desired: pods of the revision that serves.
        surge: pods that the target may have beside them.

    Returns:
        The replicas of every revision that has a Deployment, and of the target.
    """
    found = dict.fromkeys({*world.fleets, target}, 0)
    assert record.stable is not None
    found[record.stable] = desired
    steps = _ladder(world, desired=max(1, desired), surge=surge)
    trial = record.trial if record.trial and record.trial.revision == target else None
    at = trial.step if trial else 0
    # As many as what stands now needs, or the weight of this step.
    ahead = steps[at].set_weight if at < len(steps) else 0
    weight = max(trial.weight if trial else 0, ahead or 0)
    if is_shrinking(world) and target in record.serving:  # the pods that the canary's replace go
        rest = weights_of(world, record, target, desired=desired, arrived=0).get(record.stable, 0)
        found[record.stable] = max(-(-rest * desired // 100), desired - present(world, target))
    others = {name: fleet for name, fleet in world.fleets.items() if name != target}
    occupied = sum(max(found[name], fleet.pods) + fleet.ending for name, fleet in others.items())
    room = max(world.fleets.get(target, NOTHING).ready, desired + surge - occupied)
    if is_split(world):
        need = max(1, pods(weight, standing(steps, at), desired=desired, shrinking=is_shrinking(world)))
    else:
        need = widened.size(world, record, trial, ahead or 0, desired=max(1, desired))
    most = room if is_shrinking(world) else min(room, surge)
    found[target] = min(need, most) if desired else 0
    return found


def direct_of(world: World, record: Record, *, desired: int, surge: int) -> Direct | None:
    """Say which requests go to the canary whatever the weights; None while it is not a backend of the HTTPRoute.

    Args:
        world: the world.
        record: the record after this look.
        desired: pods of the revision that serves.
        surge: pods that the canary may have beside them.
    """
    trial = record.trial
    if trial is None or not desired:
        return None
    steps = _ladder(world, desired=desired, surge=max(1, surge))
    return _direct(world, record, trial, steps, desired=desired)


def _direct(world: World, record: Record, trial: Trial, steps: Sequence[Step], *, desired: int) -> Direct | None:
    named = any(step.set_header_route for step in steps)
    if trial.revision not in record.slots or not (named or any(step.set_mirror_route for step in steps)):
        return None
    stands, ready = standing(steps, trial.step), reachable(world, record, trial.revision)
    mirror = 0
    if not trial.promoted:
        need = needed(trial.weight, desired, shrinking=is_shrinking(world)) if trial.weight else 0
        mirror = min(stands.mirror, 100 * max(0, ready - need) // desired)
    headers = stands.headers if ready else {}
    return Direct(trial.revision, named=named, headers=headers, mirror=mirror) if named or mirror else None


def failure_of(world: World, record: Record) -> tuple[str, str] | None:
    """Say why the canary is to be rolled back by what its requests have shown, as reason and message; or None."""
    rollout = _rollout(world)
    said = analysis.failed_by(rollout, record.trial) if record.trial and rollout.auto_rollback else None
    return ("CanaryFailed", said) if said else None


def refusal_of(world: World, record: Record) -> tuple[str, str] | None:
    """Say why the canary cannot be judged as the spec asks, as reason and message; None where it can."""
    trial, rollout = record.trial, _rollout(world)
    if trial is None or trial.promoted or analysis.failed_by(rollout, trial):
        return None
    words = analysis.invalid(rollout, trial)
    return ("InvalidQuery", words) if words else None


def look_again(world: World, record: Record, *, desired: int) -> float:
    """Say in how many seconds the trial is to be looked at again, if nothing happens before."""
    trial = record.trial
    if trial is None:
        return STEP_SECONDS
    pauses = [max(1.0, analysis.next_look(_rollout(world).analysis, trial) - world.now)]
    step = _step(world, record, trial, desired=desired)
    if step and step.pause and step.pause.duration_seconds and trial.since:
        left = trial.since + step.pause.duration_seconds - world.now
        pauses += [max(1.0, left)] if left > 0 else []
    return min(*pauses, float(STEP_SECONDS))


def _step(world: World, record: Record, trial: Trial, *, desired: int) -> Step | None:
    # The surge matters only where the spec has no steps, and then only for how many there are.
    steps = _ladder(world, desired=max(1, desired), surge=max(1, -(-desired // 4)))
    return steps[trial.step] if trial.step < len(steps) else None


def promoted(trial: Trial, steps: Sequence[Step], now: float) -> Trial | None:
    """Go on where a person is waited for.

    Args:
        trial: the trial.
        steps: its steps.
        now: seconds since the epoch.

    Returns:
        The trial one pause further, or promoted where only a verdict is waited for; None where nothing waits.
    """
    free = resumed(trial, now)
    if trial.step >= len(steps) or trial.paused == FAILED:
        return replace(free, promoted=True)
    if steps[trial.step].pause:  # the time for a verdict begins anew, as it does for whoever resumes
        return replace(skipped(free, steps), serving=trial.serving and now)
    return free if trial.paused else None


def resumed(trial: Trial, now: float) -> Trial:
    """Let a trial go on; one that was inconclusive has all the time for a verdict again."""
    if trial.paused != INCONCLUSIVE:
        return replace(trial, paused="")
    return replace(analysis.resumed(trial), paused="", serving=now)


def is_for_a_person(steps: Sequence[Step], at: int) -> bool:
    """Say whether a step waits for a person."""
    pause = steps[at].pause if at < len(steps) else None
    return pause is not None and pause.duration_seconds is None


def is_followed_by_pause(steps: Sequence[Step], at: int) -> bool:
    """Say whether the step after one of them is a pause."""
    return at + 1 < len(steps) and steps[at + 1].pause is not None


def skipped(trial: Trial, steps: Sequence[Step]) -> Trial:
    """Leave out the step that a trial is at."""
    return replace(trial, step=min(len(steps), trial.step + 1), since=0.0)


def _ladder(world: World, *, desired: int, surge: int) -> tuple[Step, ...]:
    return ladder(_rollout(world), desired=desired, surge=surge, by_pods=is_widened(world))


def _rollout(world: World) -> Rollout:
    return world.spec.rollout if world.spec else Rollout()


def _moved(trial: Trial, steps: Sequence[Step], stands_for: str) -> Trial:
    """Find the place in steps that were edited: the last weight that is not above the one of now. Nothing rises."""
    reached = [i for i, step in enumerate(steps) if step.set_weight and step.set_weight <= trial.weight]
    step = reached[-1] if reached else 0
    return replace(trial, steps=stands_for, step=step, since=0.0)


def _advanced(world: World, record: Record, trial: Trial, steps: Sequence[Step], *, desired: int) -> Trial:
    rollout = _rollout(world)
    verdict = analysis.verdict_of(rollout, trial)
    if verdict == Verdict.FAIL and not trial.paused:
        # It is rolled back, or stays as it is until a person has looked.
        return replace(trial, paused=FAILED, weight=0 if rollout.auto_rollback else trial.weight)
    if not trial.paused and analysis.is_unclear(rollout, trial):
        return replace(trial, paused=INCONCLUSIVE)
    limit = rollout.analysis.max_duration_seconds if rollout.analysis else None
    late = limit is not None and trial.serving > 0 and world.now >= trial.serving + limit
    if late and verdict != Verdict.PASS and not trial.paused and not is_for_a_person(steps, trial.step):
        return replace(trial, paused=INCONCLUSIVE)
    while not trial.paused and trial.step < len(steps):
        further = _passed(world, record, trial, steps, desired=desired)
        if further.step == trial.step:
            trial = further
            break
        trial = further
    if trial.paused or trial.step < len(steps):
        return trial
    is_proven = limit is None or (verdict == Verdict.PASS and not analysis.unverified(world, trial, rollout))
    return replace(trial, promoted=True) if is_proven else trial


def _passed(world: World, record: Record, trial: Trial, steps: Sequence[Step], *, desired: int) -> Trial:
    """Go on to the next step if this one is over."""
    step = steps[trial.step]
    if analysis.unasked(_rollout(world), trial):  # what cannot be had holds the trial where it is
        return trial
    if step.set_weight is not None:
        ready = reachable(world, record, trial.revision)
        if is_widened(world):
            # Pods that come get requests at once: after the first weight they come after it is told.
            need = widened.fitting(step.set_weight, desired)
            least = 0 if trial.weight else need
        else:
            # Where others make room for them they come one after the other, and the weight goes with them.
            need = needed(step.set_weight, desired, shrinking=is_shrinking(world))
            least = 1 if is_shrinking(world) else need
        if not need or ready < least:
            return trial
        if trial.weight != step.set_weight:  # what was counted before is of another mixture
            trial = replace(trial, samples={}, level=0.0)
        trial = replace(trial, weight=step.set_weight, serving=trial.serving or world.now)
        if ready < need or not _is_applied(world, replace(record, trial=trial), trial.revision, desired):
            return trial
        # Where a pause follows, what is to be seen of the weight is seen by its end.
        if not is_followed_by_pause(steps, trial.step) and analysis.unverified(world, trial, _rollout(world)):
            return trial
        return replace(trial, step=trial.step + 1, since=world.now)
    if step.pause is None:
        stands = standing(steps, trial.step)
        need = pods(trial.weight, stands, desired=desired, shrinking=is_shrinking(world))
        there = reachable(world, record, trial.revision) >= need
        wanted = _direct(world, record, trial, steps, desired=desired)
        is_level = world.route is not None and world.route.accepted and world.route.direct == wanted
        return replace(trial, step=trial.step + 1, since=0.0) if there and is_level else trial
    trial = replace(trial, since=trial.since or world.now)
    seconds = step.pause.duration_seconds
    if seconds is None or world.now < trial.since + seconds or analysis.unverified(world, trial, _rollout(world)):
        return trial
    return replace(trial, step=trial.step + 1, since=0.0)


def _is_applied(world: World, record: Record, target: str, desired: int) -> bool:
    if not is_split(world):
        return record.trial is not None and widened.is_applied(world, record, record.trial, desired=desired)
    return is_applied(world, weights_of(world, record, target, desired=desired, arrived=0))


def _taken_over(world: World, record: Record, trial: Trial, *, desired: int) -> Trial:
    """Let the weight of a promoted canary rise by the next turn once its requests under this one were looked at."""
    trial = _heard(world, record, trial, desired=desired)
    now = world.route.weights.get(trial.revision, 0) if world.route and is_split(world) else 0
    if now <= trial.weight or not (world.route and world.route.accepted):
        return replace(trial, since=0.0)
    if not trial.since:
        return replace(trial, since=world.now, level=trial.level or world.now)
    return replace(trial, weight=now, since=0.0) if trial.sampled > trial.since else trial


def _heard(world: World, record: Record, trial: Trial, *, desired: int) -> Trial:
    """Add what was counted since the last look to the evidence, once the weight of the step is taken over."""
    trial = analysis.begun(trial, _rollout(world))
    if not trial.level:
        trial = analysis.heard(world, record, trial, _rollout(world))
        applied = trial.weight and _is_applied(world, replace(record, trial=trial), trial.revision, desired)
        return replace(trial, level=world.now) if applied else trial
    return analysis.heard(world, record, trial, _rollout(world))
