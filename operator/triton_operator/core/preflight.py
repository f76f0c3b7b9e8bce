"""The checks before a revision gets its first request: its signature, and its answers to golden requests.

A revision that has passed them is never asked again, so that no check stands in the way of a remedy; one that never has
is asked whoever wants it, be it by undo. A pod that cannot be reached says nothing about the model: the revision waits.
Not for: asking pods (`controller.checks`), nor the readiness of each pod, which the kubelet probes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from triton_operator.api.golden import Golden, GoldenRequestsInvalid, parse
from triton_operator.api.names import CONFIG_MAP, LABEL_REVISION
from triton_operator.api.rollout import Rollout
from triton_operator.api.signature import differences
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core import blue_green
from triton_operator.core.record import Record
from triton_operator.core.revision import Revision
from triton_operator.core.world import Announcement, Answer, Failure, Question, World

Json = dict[str, Any]

_DECOUPLED = (
    "the model is decoupled (model_transaction_policy in its configuration): it may answer a request several times, or"
    " not at all, while a golden request has one answer. Remove rollout.goldenRequests"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """How far the checks of the target are.

    Attributes:
        record: the record with what pods have answered.
        admitted: whether the target may serve.
        questions: what to ask.
        failure: what the target has answered otherwise than it must, or None.
        unreachable: why a pod that must be asked cannot be, or None.
        waiting: whether all ready pods have answered as they must, and more have to come before the target may serve.
        told: events to write.
    """

    record: Record
    admitted: bool
    questions: tuple[Question, ...] = ()
    failure: Failure | None = None
    unreachable: str | None = None
    waiting: bool = False
    told: tuple[Announcement, ...] = ()


def golden_name(spec: InferenceServiceSpec) -> str | None:
    """Name the ConfigMap of the golden requests, or None."""
    return spec.rollout.golden_requests.config_map_name if spec.rollout.golden_requests else None


def golden_refusal(world: World, record: Record, revision: str) -> tuple[str, str] | None:
    """Say why the golden requests of the spec cannot be asked.

    Args:
        world: the world.
        record: the record.
        revision: the revision that the spec asks for.

    Returns:
        Reason and message, or None where they can be, or need not.
    """
    if revision in record.admitted:
        return None
    try:
        _golden(world)
    except GoldenRequestsInvalid as error:
        name = _config_map(world)
        missing = world.config_maps.get(name) is None
        if missing:
            words = f"the ConfigMap {name} of rollout.goldenRequests does not exist in this namespace: create it"
            return "ConfigMapMissing", words
        return "GoldenRequestsInvalid", f"{CONFIG_MAP.kind} {name} of rollout.goldenRequests: {error}"
    return None


def check(world: World, record: Record, target: Revision, *, desired: int) -> Gate:
    """Check the target, as far as its pods have answered.

    Args:
        world: the world.
        record: the record so far.
        target: the revision to get to.
        desired: pods wanted of it.
    """
    rollout = world.spec.rollout if world.spec else Rollout()
    record = _told(world, record, target)
    pods = _ready_pods(world)
    known = {**world.revisions, target.name: target}
    curious = [r for name, r in known.items() if name in {*record.serving, target.name} and name not in record.about]
    asked = tuple(_question(revision, pods[revision.name][0]) for revision in curious if revision.name in pods)
    # What the operator goes back to has served: without a record that is nowhere else to be seen.
    returns = record.held is not None and record.held.goal == target.name and record.held.by == "operator"
    if target.name in record.admitted or returns:
        return Gate(_admitted(record, target), admitted=True, questions=asked)
    before = None if rollout.allow_signature_change or record.stable == target.name or not desired else record.stable
    if before is None and not rollout.golden_requests:
        return Gate(_admitted(record, target), admitted=True, questions=asked)
    own = pods.get(target.name, [])
    if not own:
        return Gate(record, admitted=False, questions=asked)
    compares = before is not None and (before in record.about or _may_tell(world, before, pods))
    if compares and (lost := _signature_lost(record, before or "", target)):
        return Gate(record, admitted=False, failure=Failure("SignatureChanged", lost, final=True))
    try:
        golden = _golden(world)
    except GoldenRequestsInvalid:  # as it is told before a revision begins; it is waited for
        return Gate(record, admitted=False, questions=asked)
    if rollout.golden_requests and not golden:  # they were not read in this look
        return Gate(record, admitted=False, questions=asked)
    if golden:
        asked = tuple(question for question in asked if question.revision != target.name)
        asked += tuple(_question(target, pod, golden) for pod in own)
        if (found := record.about.get(target.name)) and found.decoupled:
            failure = Failure("GoldenRequestFailed", _DECOUPLED, pod=own[0]["metadata"]["name"], final=True)
            return Gate(record, admitted=False, questions=asked, failure=failure)
    answers = {answer.question: answer for answer in world.answers}
    given = [answers[question] for question in asked if question in answers]
    for answer in given:
        if answer.mismatch:
            failure = Failure("GoldenRequestFailed", answer.mismatch, pod=_name(own, answer.question.pod), final=True)
            return Gate(record, admitted=False, questions=asked, failure=failure)
    unreachable = next((a.unreachable for a in given if a.unreachable and a.question.revision == target.name), None)
    told = not compares or {before, target.name} <= record.about.keys()
    answered = not golden or all(_passed(answers.get(question)) for question in asked if question.golden)
    if told and answered:
        if golden and len(own) < desired and blue_green.moves_at_once(world, record, target.name):
            return Gate(record, admitted=False, questions=asked, waiting=True)
        words = f"the signature of {target.name} was not compared with that of {before}, which does not tell it"
        skipped = (Announcement("Warning", "SignatureUnknown", words),) if before and not compares else ()
        return Gate(_admitted(record, target), admitted=True, questions=asked, told=skipped)
    return Gate(record, admitted=False, questions=asked, unreachable=unreachable)


def _told(world: World, record: Record, target: Revision) -> Record:
    """Keep what pods have told about the revisions there are."""
    there = {*world.revisions, target.name}
    told = {a.question.revision: a.about for a in world.answers if a.about and a.question.revision in there}
    admitted = tuple(name for name in record.admitted if name in there)
    # A revision that came while no pods were wanted, and was not checked when it got some, has never served.
    stable = record.stable if record.stable in (*admitted, target.name) else None
    return replace(record, about=record.about | told, admitted=admitted, stable=stable)


def _admitted(record: Record, target: Revision) -> Record:
    if target.name in record.admitted:
        return record
    return replace(record, admitted=(*record.admitted, target.name))


def _may_tell(world: World, revision: str, pods: Mapping[str, list[Json]]) -> bool:
    """Say whether a revision in service can still tell its signature."""
    away = {answer.question.pod for answer in world.answers if answer.about is None}
    return any(pod["metadata"]["uid"] not in away for pod in pods.get(revision, [])[:1])


def _signature_lost(record: Record, before: str, target: Revision) -> str | None:
    old, new = record.about.get(before), record.about.get(target.name)
    if old is None or new is None:
        return None
    lost = differences(old.signature, new.signature)
    if not lost:
        return None
    return (
        f"requests for revision {before} are not all taken by {target.name}: {'; '.join(lost)}. Set"
        " rollout.allowSignatureChange to true if all clients know"
    )


def _passed(answer: Answer | None) -> bool:
    return answer is not None and answer.unreachable is None and answer.mismatch is None and answer.about is not None


def _config_map(world: World) -> str:
    return golden_name(world.spec) or "" if world.spec else ""


def _golden(world: World) -> tuple[Golden, ...]:
    """Read the golden requests; none where the spec names none, or they were not read in this look."""
    name = _config_map(world)
    if name not in world.config_maps:
        return ()
    content = world.config_maps[name]
    return parse((content or {}).get("data") or {})


def _ready_pods(world: World) -> dict[str, list[Json]]:
    """List the ready pods of each revision that have an address, by age."""
    found: dict[str, list[Json]] = {}
    for pod in sorted(world.pods or (), key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"])):
        if _is_ready(pod) and "deletionTimestamp" not in pod["metadata"] and pod["status"].get("podIP"):
            found.setdefault(pod["metadata"]["labels"].get(LABEL_REVISION, ""), []).append(pod)
    return found


def _is_ready(pod: Json) -> bool:
    listed = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in listed)


def _question(revision: Revision, pod: Json, golden: tuple[Golden, ...] = ()) -> Question:
    return Question(
        revision=revision.name,
        pod=pod["metadata"]["uid"],
        address=pod["status"]["podIP"],
        model=revision.model,
        version=revision.version,
        golden=golden,
    )


def _name(pods: Iterable[Json], uid: str) -> str | None:
    return next((pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] == uid), None)
