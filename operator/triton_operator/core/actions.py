"""What people ask for by an annotation on a service: undo, restart, refresh, retry, and how a canary goes on.

The value is `<revision>/<id>`: which revision is meant, and any word that tells this request from the last one. Each is
taken once; one that means a revision which is no longer concerned does nothing.
Not for: what follows from a spec that is held; that is `core.goal`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from triton_operator.api.names import GROUP
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.api.steps import Step
from triton_operator.core import canary
from triton_operator.core.record import UNTIL_KNOWN, Attempt, Held, Record, Trial
from triton_operator.core.resolution import is_answer, key_of
from triton_operator.core.revision import revision_name, spec_hash
from triton_operator.core.scaled import replicas_of
from triton_operator.core.shares import room_of
from triton_operator.core.steps import ladder
from triton_operator.core.times import timestamp
from triton_operator.core.traffic import is_widened
from triton_operator.core.world import Announcement, World

_VALUE = re.compile(r"(?P<revision>[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/(?P<id>[A-Za-z0-9._:-]{1,64})")
Answer = tuple[Record, str | None]
"""The record after an action, and why it did nothing."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the actions asked for.

    Attributes:
        record: the record after them.
        told: events to write.
    """

    record: Record
    told: tuple[Announcement, ...]


def take(world: World, spec: InferenceServiceSpec, record: Record) -> Taken:
    """Take the actions that are asked for and were not taken before.

    Args:
        world: the world.
        spec: its spec.
        record: the record so far; if the world has none, what is asked for was taken before it was lost.

    Returns:
        The record with what they change, and what to tell of them.
    """
    if world.record is None:
        return Taken(replace(record, taken=dict(world.actions)), ())
    told: list[Announcement] = []
    for action, act in ACTS.items():
        value = world.actions.get(action)
        if value == record.taken.get(action):
            continue
        record = replace(record, taken=_with(record.taken, action, value))
        if value is None:
            continue
        if match := _VALUE.fullmatch(value):
            record, obstacle = act(world, spec, record, match["revision"], match["id"])
        else:
            obstacle = f"the annotation must be REVISION/ID, such as {_example(world, record)}/1"
        if obstacle:
            told.append(Announcement("Warning", "ActionIgnored", f"{GROUP}/{action}={value[:200]}: {obstacle}"))
        else:
            told.append(Announcement("Normal", "ActionTaken", f"{GROUP}/{action}={value}"))
    return Taken(record, tuple(told))


def _undo(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    if revision not in world.revisions:
        kept = ", ".join(sorted(world.revisions)) or "none"
        return record, f"no revision {revision} is kept; kept are: {kept}"
    if record.target == revision and record.stable == revision:
        return record, f"revision {revision} serves already"
    held = Held(
        spec=spec_hash(spec, "person"),
        revision=record.held.revision if record.held else record.target or "",
        goal=revision,
        by="person",
        reason="Undone",
        message=f"a person went back to revision {revision}: change the spec, or say retry, to go on from it",
        time=timestamp(world.now),
    )
    return replace(record, held=held), None


def _restart(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    if revision not in (record.stable, record.target):
        return record, f"revision {revision} does not serve; {record.stable or 'none'} does"
    return replace(record, restarts=record.restarts | {revision: timestamp(world.now)}), None


def _refresh(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    if revision not in (record.stable, record.target, world.name):
        return record, f"revision {revision} is not that of the spec; {record.target or world.name} is"
    return replace(record, attempt=Attempt(key_of(spec), token=id_, since=world.now)), None


def _retry(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    if record.held and revision in (record.held.revision, world.name):
        admitted = tuple(name for name in record.admitted if name != record.held.revision)  # it is checked again
        return replace(record, held=None, started=0.0, failure=None, admitted=admitted), None
    if record.attempt and revision in (record.target, world.name):
        return replace(record, attempt=None, failure=None), None
    return record, f"nothing of revision {revision} was rejected"


def _trial(record: Record, revision: str) -> Trial | str:
    """Find the trial that is meant, or say why there is none."""
    trial = record.trial
    if trial is None or trial.promoted:
        return "no canary is on trial"
    return trial if trial.revision == revision else f"the canary on trial is {trial.revision}"


def _steps(world: World, spec: InferenceServiceSpec, record: Record) -> tuple[Step, ...]:
    target = world.revisions.get(record.target or "")
    desired = replicas_of(world)
    room = room_of(spec.rollout, desired=desired, gpu_count=target.gpu_count if target else 0)
    by_pods = is_widened(world)
    return ladder(spec.rollout, desired=max(1, desired), surge=max(1, room.surge), by_pods=by_pods)


def _promote(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    trial = _trial(record, revision)
    if isinstance(trial, str):
        return record, trial
    moved = canary.promoted(trial, _steps(world, spec, record), world.now)
    return (replace(record, trial=moved), None) if moved else (record, "the canary does not wait for a person")


def _promote_full(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    trial = _trial(record, revision)
    if isinstance(trial, str):
        return record, trial
    return replace(record, trial=replace(trial, promoted=True, paused="")), None


def _pause(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    trial = _trial(record, revision)
    if isinstance(trial, str):
        return record, trial
    if trial.paused:
        return record, f"the canary is paused already: {trial.paused}"
    return replace(record, trial=replace(trial, paused=canary.BY_PERSON)), None


def _resume(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    trial = _trial(record, revision)
    if isinstance(trial, str):
        return record, trial
    if trial.paused not in (canary.BY_PERSON, canary.INCONCLUSIVE):
        return record, "the canary is not paused; promote it, or abort" if trial.paused else "the canary is not paused"
    return replace(record, trial=canary.resumed(trial, world.now)), None


def _skip_step(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    trial = _trial(record, revision)
    if isinstance(trial, str):
        return record, trial
    return replace(record, trial=canary.skipped(trial, _steps(world, spec, record))), None


def _abort(world: World, spec: InferenceServiceSpec, record: Record, revision: str, id_: str) -> Answer:
    stable = record.stable
    if record.held or revision != record.target or stable in (None, revision) or stable not in world.revisions:
        return record, "no update to that revision is under way"
    asked = _asked(world, spec, record)
    if asked not in (None, revision):
        return record, f"the spec asks for revision {asked} by now, which takes the place of that one"
    held = Held(
        spec=spec_hash(spec, "person") if asked else UNTIL_KNOWN,
        revision=revision,
        goal=stable or "",
        by="person",
        reason="Aborted",
        message=f"a person aborted the update to revision {revision}: change the spec, or say retry, to go on from it",
        time=timestamp(world.now),
    )
    return replace(record, held=held), None


def _asked(world: World, spec: InferenceServiceSpec, record: Record) -> str | None:
    """Name the revision that the spec asks for; None while its sources have yet to be looked up."""
    found = record.resolution
    return revision_name(world.name, spec, found) if found and is_answer(found, spec) else None


ACTS: Mapping[str, Callable[[World, InferenceServiceSpec, Record, str, str], Answer]] = {
    "retry": _retry,
    "refresh": _refresh,
    "restart": _restart,
    "undo": _undo,
    "promote": _promote,
    "promote-full": _promote_full,
    "pause": _pause,
    "resume": _resume,
    "skip-step": _skip_step,
    "abort": _abort,
}


def _with(taken: dict[str, str], action: str, value: str | None) -> dict[str, str]:
    rest = {name: text for name, text in taken.items() if name != action}
    return rest | ({action: value} if value is not None else {})


def _example(world: World, record: Record) -> str:
    return record.target or world.name
