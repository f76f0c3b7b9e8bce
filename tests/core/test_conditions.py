"""kubectl wait, kstatus (Flux, Helm 4) and the status itself agree in every state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from triton_operator.api.signature import About, Signature
from triton_operator.api.status import InferenceServiceStatus
from triton_operator.core.announcements import announcements
from triton_operator.core.decide import decide
from triton_operator.core.record_text import encode
from triton_operator.core.rollout import START_SECONDS
from triton_operator.core.world import Answer, Plan, Problem, Question, World

from .simulator import DOWN_TICKS, LOAD_TICKS, TICK, Cluster, spec_of

Json = dict[str, Any]
BROKEN = 9
CONFLICT = Problem("NameConflict", "the Service vision exists and is not this service's")
REFUSAL = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no"}
LONG_TICKS = int((START_SECONDS + 600) / TICK) + 5


def kstatus(generation: int, status: Json) -> str:
    """Compute the status of a custom resource as cli-utils does (kstatus, generic.go)."""
    if "observedGeneration" in status and status["observedGeneration"] != generation:
        return "InProgress"
    by_type = {c["type"]: c["status"] for c in status.get("conditions") or []}
    if by_type.get("Reconciling") == "True":
        return "InProgress"
    if by_type.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if by_type.get("Ready", "True") in ("False", "Unknown") else "Current"


def kubectl_wait(generation: int, status: Json, type_: str) -> bool:
    """Say whether `kubectl wait --for=condition=…` returns."""
    for condition in status.get("conditions") or []:
        if condition["type"] == type_:
            observed = condition.get("observedGeneration", status.get("observedGeneration", generation))
            return bool(observed >= generation and condition["status"] == "True")
    return False


def created() -> tuple[int, Json]:
    return 1, {"observedGeneration": -1}


def started(ticks: int = 2, **spec: Any) -> Cluster:
    cluster = Cluster(spec_of(1, **spec), broken=frozenset({BROKEN}))
    cluster.run(ticks)
    return cluster


def settled(**spec: Any) -> Cluster:
    cluster = started(**spec)
    cluster.settle()
    return cluster


def updating() -> Cluster:
    cluster = settled(replicas=2)
    cluster.change(spec_of(2, replicas=2))
    cluster.run(LOAD_TICKS + 4)
    assert len({pod.revision for pod in cluster.serving()}) == 2
    return cluster


def stalled(*, final: bool, first: bool = False) -> Cluster:
    cluster = started() if first else settled(replicas=2)
    cluster.final = final
    cluster.change(spec_of(BROKEN, replicas=2))
    cluster.run(20 if final else LONG_TICKS)
    return cluster


def changed(cluster: Cluster, **spec: Any) -> Cluster:
    cluster.change(spec_of(1, **spec))
    cluster.run(1)
    return cluster


def unseen() -> Cluster:
    cluster = settled()
    cluster.change(spec_of(2))
    return cluster


def suspended() -> Cluster:
    cluster = settled(replicas=2)
    cluster.change(spec_of(1, replicas=2, suspend=True))
    cluster.settle()
    return cluster


def resuming() -> Cluster:
    cluster = suspended()
    cluster.change(spec_of(2, replicas=2))
    cluster.run(2)
    return cluster


def one_pod_down(*, later: int) -> Cluster:
    cluster = settled(replicas=2)
    cluster.run(later)
    cluster.disturb(cluster.pods[0])
    cluster.run(2)
    return cluster


def recovered() -> Cluster:
    cluster = one_pod_down(later=LONG_TICKS)
    cluster.run(DOWN_TICKS + 2)
    return cluster


def plan_of(change: Callable[[World], World]) -> tuple[int, Json]:
    world = change(settled().world())
    return world.generation, decide(world).status


def unreadable(cluster: Cluster) -> tuple[int, Json]:
    world = replace(cluster.world(), spec=None, spec_error="spec.x: unknown")
    return world.generation, decide(world).status


def awaiting_sources(*, before: bool) -> Cluster:
    """A version that is to be looked up where nobody answers, beside one that serves or as the first one."""
    found = {"uri": "s3://models/resnet50", "version": None}
    cluster = settled() if before else Cluster(spec_of(1, model=found), silent=True)
    cluster.silent = True
    cluster.change(spec_of(1, model=found))
    cluster.run(3)
    return cluster


def asking(*, walled: bool = False, ticks: int = 20) -> Cluster:
    """A new revision whose pods are ready and do not answer what they are asked."""
    cluster = settled(replicas=2)
    cluster.walled, cluster.mute = walled, not walled
    cluster.change(spec_of(2, replicas=2))
    cluster.run(ticks)
    return cluster


def on_trial(*steps: Json, **more: Any) -> Cluster:
    rollout = {"strategy": "Canary", "steps": [{"setWeight": 50}, *steps]}
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), **more)
    cluster.settle()
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    cluster.run(30, until=lambda c: c.weights.get(c.target) == 50)
    cluster.run(2)
    return cluster


def without_room() -> Cluster:
    rollout = {"maxSurgeGPUs": 0}
    cluster = settled(rollout=rollout)
    cluster.change(spec_of(2, rollout=rollout))
    cluster.run(10)
    return cluster


def unrouted(*, ticks: int) -> Cluster:
    cluster = Cluster(spec_of(1, rollout={"strategy": "Canary"}), refusal=REFUSAL)
    cluster.run(30, until=lambda c: c.condition("Ready")["reason"] == "RouteNotAccepted")
    cluster.run(ticks)
    return cluster


def unrouted_on_trial() -> Cluster:
    cluster = on_trial({"pause": {"durationSeconds": 3600}})
    cluster.refusal = REFUSAL
    cluster.run(12)
    return cluster


def overwritten() -> Cluster:
    """Fewer pods are wanted, and one that failed cannot be replaced, since the source holds other files now."""
    cluster = settled(replicas=3)
    cluster.bytes = "b"
    cluster.kill(cluster.pods[0], gracefully=False)
    cluster.run(10)
    cluster.change(spec_of(1, replicas=2))
    cluster.run(10)
    return cluster


def undone() -> Cluster:
    cluster = settled()
    (first,) = cluster.revisions
    cluster.change(spec_of(2))
    cluster.settle()
    cluster.actions = {"undo": f"{first}/a"}
    cluster.settle()
    return cluster


STATES = [
    pytest.param(created, "InProgress", "", "", "", id="just created"),
    pytest.param(unseen, "InProgress", "Serving", "True", "", id="new spec not looked at"),
    pytest.param(started, "InProgress", "Loading", "Unknown", "Loading", id="first start"),
    pytest.param(settled, "Current", "Serving", "True", "Ready", id="serving"),
    pytest.param(updating, "InProgress", "Updating", "Unknown", "Updating", id="updating"),
    pytest.param(
        lambda: changed(settled(replicas=1), replicas=3),
        "InProgress",
        "PodsNotReady",
        "Unknown",
        "Updating",
        id="growing",
    ),
    pytest.param(
        lambda: changed(settled(replicas=3), replicas=1), "InProgress", "Scaling", "Unknown", "Updating", id="shrinking"
    ),
    pytest.param(
        lambda: one_pod_down(later=0), "InProgress", "PodsNotReady", "Unknown", "Updating", id="a pod is down"
    ),
    pytest.param(
        lambda: one_pod_down(later=LONG_TICKS),
        "InProgress",
        "PodsNotReady",
        "Unknown",
        "Updating",
        id="a pod, long after",
    ),
    pytest.param(recovered, "Current", "Serving", "True", "Ready", id="the pod is back"),
    pytest.param(lambda: stalled(final=False), "Failed", "StorageError", "False", "Degraded", id="out of time"),
    pytest.param(lambda: stalled(final=True), "Failed", "BadConfig", "False", "Degraded", id="cannot mend itself"),
    pytest.param(lambda: stalled(final=True, first=True), "Failed", "BadConfig", "False", "Failed", id="never served"),
    pytest.param(suspended, "Current", "Suspended", "True", "Suspended", id="suspended"),
    pytest.param(
        lambda: changed(settled(), suspend=True), "InProgress", "Suspending", "Unknown", "Suspended", id="suspending"
    ),
    pytest.param(resuming, "InProgress", "Resuming", "Unknown", "Loading", id="resuming"),
    pytest.param(lambda: settled(replicas=0), "Current", "ScaledToZero", "True", "Ready", id="scaled to zero"),
    pytest.param(
        lambda: awaiting_sources(before=False), "InProgress", "Resolving", "Unknown", "Pending", id="sources looked up"
    ),
    pytest.param(
        lambda: awaiting_sources(before=True), "InProgress", "Resolving", "Unknown", "Updating", id="looked up beside"
    ),
    pytest.param(
        lambda: plan_of(lambda world: replace(world, waits=("the Service vision",))),
        "InProgress",
        "Waiting",
        "Unknown",
        "Updating",
        id="a name still taken",
    ),
    pytest.param(asking, "InProgress", "Checking", "Unknown", "Updating", id="asked before requests"),
    pytest.param(
        lambda: asking(walled=True), "InProgress", "PodUnreachable", "Unknown", "Updating", id="cannot be asked"
    ),
    pytest.param(
        lambda: asking(walled=True, ticks=LONG_TICKS + 40),
        "Failed",
        "PodUnreachable",
        "False",
        "Degraded",
        id="cannot be asked for long",
    ),
    pytest.param(
        lambda: on_trial({"pause": {"durationSeconds": 3600}}),
        "InProgress",
        "CanaryProgressing",
        "Unknown",
        "Updating",
        id="on trial",
    ),
    pytest.param(
        lambda: on_trial({"pause": {}}), "InProgress", "CanaryPaused", "Unknown", "Updating", id="waits for a person"
    ),
    pytest.param(without_room, "Failed", "RecreateNeeded", "False", "Degraded", id="no room for an update"),
    pytest.param(
        lambda: unrouted(ticks=0), "InProgress", "RouteNotAccepted", "Unknown", "Updating", id="no Gateway yet"
    ),
    pytest.param(lambda: unrouted(ticks=10), "Failed", "RouteNotAccepted", "False", "Degraded", id="no Gateway"),
    pytest.param(unrouted_on_trial, "Failed", "RouteNotAccepted", "False", "Degraded", id="no Gateway any more"),
    pytest.param(overwritten, "Failed", "SourceChanged", "False", "Degraded", id="files that have changed"),
    pytest.param(undone, "Failed", "Undone", "False", "Degraded", id="undone by a person"),
    pytest.param(
        lambda: plan_of(lambda world: replace(world, problems=(CONFLICT,))),
        "Failed",
        "NameConflict",
        "False",
        "Degraded",
        id="not accepted",
    ),
    pytest.param(lambda: unreadable(settled()), "Failed", "InvalidSpec", "False", "Degraded", id="cannot be read"),
    pytest.param(
        lambda: unreadable(Cluster(spec_of(1))), "Failed", "InvalidSpec", "False", "Failed", id="never could be read"
    ),
]


@pytest.mark.parametrize(("state", "overall", "reason", "ready", "phase"), STATES)
def test_kstatus_and_kubectl_wait_and_the_conditions_agree(
    state: Callable[[], Cluster | tuple[int, Json]], overall: str, reason: str, ready: str, phase: str
) -> None:
    found = state()
    generation, status = (found.generation, found.status) if isinstance(found, Cluster) else found
    assert kstatus(generation, status) == overall
    assert kubectl_wait(generation, status, "Ready") is (overall == "Current")
    assert kubectl_wait(generation, status, "Stalled") is (overall == "Failed")
    assert kubectl_wait(generation, status, "Reconciling") is (overall == "InProgress" and bool(phase))
    by_type = {c["type"]: c for c in status.get("conditions") or []}
    if ready:
        assert (by_type["Ready"]["reason"], by_type["Ready"]["status"]) == (reason, ready)
    if phase:
        assert status["phase"] == phase
        assert status["observedGeneration"] == generation
        InferenceServiceStatus.model_validate(status)


def test_what_serves_is_available_while_the_next_version_fails() -> None:
    cluster = stalled(final=True)
    assert kubectl_wait(cluster.generation, cluster.status, "Available")
    assert cluster.status["stable"]["version"] == 1
    assert cluster.status["rejected"]["version"] == BROKEN
    assert "canary" not in cluster.status
    assert cluster.status["lastFailure"]["reason"] == "BadConfig"


def test_it_is_told_when_what_a_spec_that_cannot_be_read_left_alone_serves_no_more() -> None:
    cluster = settled(replicas=2)
    for deployment in cluster.deployments.values():
        deployment.ready = 0
    _, status = unreadable(cluster)
    assert next(c for c in status["conditions"] if c["type"] == "Available")["status"] == "False"
    assert status["phase"] == "Failed"


def test_a_rollout_that_gets_on_slowly_is_not_out_of_time() -> None:
    cluster = settled(replicas=4)
    cluster.load_ticks = LONG_TICKS - 20  # each turn takes nearly as long as a pod may take
    cluster.change(spec_of(2, replicas=4))
    began, seen = cluster.now, set()
    while cluster.condition("Ready")["status"] != "True" or cluster.status["observedGeneration"] != cluster.generation:
        cluster.tick()
        seen.add(cluster.condition("Stalled")["status"])
        assert cluster.now - began < 6 * LONG_TICKS * TICK
    assert cluster.now - began > 3 * LONG_TICKS * TICK
    assert seen == {"False"}
    assert cluster.status["stable"]["version"] == 2


def test_what_went_wrong_with_a_pod_that_was_replaced_is_told_until_the_service_is_whole() -> None:
    cluster = started()
    evicted = {"reason": "Evicted", "message": "low on memory", "revision": "r", "time": "2026-01-01T00:00:00Z"}
    world = cluster.world()
    assert world.record is not None
    told = decide(replace(world, record=replace(world.record, failure=evicted))).status
    assert told["lastFailure"] == evicted
    assert "before: Evicted: low on memory" in next(c for c in told["conditions"] if c["type"] == "Ready")["message"]


def test_conditions_keep_the_time_of_their_last_transition() -> None:
    cluster = settled(replicas=2)
    before = {c["type"]: c["lastTransitionTime"] for c in cluster.status["conditions"]}
    cluster.change(spec_of(1, replicas=3))
    cluster.run(2)
    after = {c["type"]: c["lastTransitionTime"] for c in cluster.status["conditions"]}
    assert after["Ready"] > before["Ready"]
    assert after["Reconciling"] > before["Reconciling"]
    assert (after["Available"], after["Stalled"]) == (before["Available"], before["Stalled"])


def test_the_life_of_a_service_is_announced_once_per_transition() -> None:
    cluster = settled(replicas=2)
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    cluster.final = True
    cluster.change(spec_of(BROKEN, replicas=2))
    cluster.run(40)
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    told = [announcement.reason for announcement in cluster.told]
    serving = ["Resolved", "Loading", "Promoted", "Serving"]
    assert told == [*serving, *serving, "Resolved", "Loading", "BadConfig", "Rejected", "Serving"]
    assert [a.type for a in cluster.told if a.reason == "BadConfig"] == ["Warning"]


def test_numbers_that_change_announce_nothing() -> None:
    cluster = settled(replicas=2)
    plan: Plan = decide(cluster.world())
    moved = plan.status | {"replicas": 7, "readyReplicas": 5}
    assert announcements(plan.status, moved) == ()


def test_a_wiped_status_is_written_again_as_it_was() -> None:
    cluster = updating()
    before = cluster.status
    cluster.status = {"observedGeneration": -1}
    cluster.operate()
    without_times = [{**c, "lastTransitionTime": ""} for c in cluster.status["conditions"]]
    assert without_times == [{**c, "lastTransitionTime": ""} for c in before["conditions"]]
    assert cluster.status | {"conditions": []} == before | {"conditions": []}


def test_a_name_that_was_taken_for_long_leaves_the_revision_its_time() -> None:
    cluster = Cluster(spec_of(1))
    cluster.run(1)
    cluster.deployments.clear()
    cluster.bodies.clear()
    for _ in range(2 * LONG_TICKS):  # the Deployment's name is taken: it is never made
        cluster.now += TICK
        plan = decide(cluster.world())
        cluster.record = encode(plan.record)
    cluster.run(2)
    assert cluster.condition("Ready")["reason"] == "Loading"


def test_gpus_that_are_held_and_not_used_are_reported() -> None:
    cluster = settled()
    world = cluster.world()
    (name,) = world.revisions
    held = {name: replace(revision, gpu_count=1) for name, revision in world.revisions.items()}
    question = Question(name, "pod", "10.0.0.1", "resnet50", 1)
    for kinds, expected in ((("KIND_CPU",), "True"), (("KIND_GPU",), "False"), (("KIND_CPU", "KIND_GPU"), "False")):
        answer = Answer(question, About(Signature((), ()), kinds))
        status = decide(replace(world, revisions=held, answers=(answer,))).status
        found = [c["status"] for c in status["conditions"] if c["type"] == "ServesOnCPU"]
        assert found == [expected]
    assert "ServesOnCPU" not in {c["type"] for c in decide(world).status["conditions"]}


def test_a_revision_is_announced_when_it_may_load_and_not_while_it_is_refused() -> None:
    def status(accepted: str) -> Json:
        told = [("Ready", "Unknown"), ("Accepted", accepted), ("Available", "False")]
        conditions = [{"type": t, "status": s, "reason": "Forbidden", "message": "no"} for t, s in told]
        return {"conditions": conditions, "canary": {"name": "a-1", "version": 3}}

    def reasons(before: Json, after: Json) -> list[str]:
        return [announcement.reason for announcement in announcements(before, after)]

    assert reasons({}, status("False")) == ["Forbidden"]
    assert reasons(status("False"), status("True")) == ["Loading"]
    assert reasons(status("True"), status("True")) == []
