"""What holds in every history: spec changes, accidents and crashes in any order, at any time."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.api.names import LABEL_REVISION
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.decide import decide
from triton_operator.core.record_text import decode
from triton_operator.core.rollout import START_SECONDS

from .simulator import LOAD_TICKS, SERVICE, TICK, Cluster, spec_of

Json = dict[str, Any]

VERSIONS = (1, 2, 3, 4)
BROKEN = 4
OUT_OF_TIME_TICKS = int((START_SECONDS + 600) / TICK) + 10


@dataclass(frozen=True)
class Step:
    """Something that happens, and how long it is quiet afterwards."""

    what: str
    number: int
    ticks: int


def steps(*kinds: str) -> st.SearchStrategy[Step]:
    return st.builds(Step, what=st.sampled_from(kinds), number=st.integers(0, 13), ticks=st.integers(0, 25))


SPEC_CHANGES = ("version", "version", "replicas", "suspend", "resume", "everything")
ACCIDENTS = ("kill", "vanish", "disturb", "lose record", "wipe status", "restart", "crash", "busy", "lag")
HISTORY = st.lists(steps(*SPEC_CHANGES, *ACCIDENTS), max_size=10)
CALM = st.lists(steps(*SPEC_CHANGES), max_size=10)
OF_ALL_STRATEGIES = st.lists(steps(*SPEC_CHANGES, "rollout", *ACCIDENTS), max_size=10)
CALM_OF_ALL_STRATEGIES = st.lists(steps(*SPEC_CHANGES, "rollout"), max_size=10)
WITHIN_THE_SAME_GPUS: Json = {"maxSurgeGPUs": 0}
ROLLOUTS: list[Json] = [
    {},
    {"maxSurgeGPUs": 0, "minAvailable": 0},
    {"maxSurgeGPUs": 2, "minAvailable": 1},
    {"strategy": "Recreate"},
    {"strategy": "BlueGreen"},
    {"strategy": "BlueGreen", "scaleDownDelaySeconds": 0},
    {"strategy": "Canary"},
    {"strategy": "Canary", "steps": [{"setWeight": 10}, {"pause": {"durationSeconds": 20}}, {"setWeight": 50}]},
    {
        "strategy": "Canary",
        "steps": [
            {"setCanaryScale": {"replicas": 2}},
            {"setHeaderRoute": {"headers": [{"name": "x-tester", "value": "yes"}]}},
            {"setMirrorRoute": {"percent": 30}},
            {"setWeight": 10},
            {"setCanaryScale": {}},
            {"setMirrorRoute": {}},
            {"setWeight": 50},
        ],
    },
    {"strategy": "Canary", "maxSurgeGPUs": 2, "analysis": {"intervalSeconds": 5}},
    {"strategy": "Canary", "dynamicStableScale": True},
    {
        "strategy": "Canary",
        "dynamicStableScale": True,
        "maxSurgeGPUs": 1,
        "steps": [{"setWeight": 10}, {"setWeight": 50}, {"pause": {"durationSeconds": 20}}],
    },
    {"strategy": "Canary", "grpc": "GRPCRoute"},
    {"strategy": "Canary", "gateway": False},
    {"strategy": "Canary", "gateway": False, "maxSurgeGPUs": 3, "analysis": {"intervalSeconds": 5}},
]
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def live(cluster: Cluster, history: list[Step]) -> None:
    cluster.run(1)
    for step in history:
        take(cluster, step)
        cluster.run(step.ticks)


def take(cluster: Cluster, step: Step) -> None:
    number, spec = step.number, cluster.spec
    version = VERSIONS[number % len(VERSIONS)]
    match step.what:
        case "version":
            cluster.change(spec_of(version, replicas=spec.replicas, suspend=spec.suspend, rollout=rollout_of(spec)))
        case "rollout":
            rollout = ROLLOUTS[number % len(ROLLOUTS)]
            wanted = spec.model.version or 1
            cluster.change(spec_of(wanted, replicas=spec.replicas, suspend=spec.suspend, rollout=rollout))
        case "replicas":
            cluster.change(spec.model_copy(update={"replicas": number}))
        case "suspend" | "resume":
            cluster.change(spec.model_copy(update={"suspend": step.what == "suspend"}))
        case "everything":
            suspend = number % 3 == 0
            cluster.change(spec_of(version, replicas=number // 2, suspend=suspend, rollout=rollout_of(spec)))
        case "kill" | "vanish" | "disturb":
            pods = [pod for pod in cluster.pods if pod.ends is None]
            if pods and step.what == "disturb":
                cluster.disturb(pods[number % len(pods)])
            elif pods:
                cluster.kill(pods[number % len(pods)], gracefully=step.what == "kill")
        case "lose record":
            cluster.lose_record()
        case "wipe status":
            cluster.status = {"observedGeneration": -1}
        case "restart":
            cluster.restart_operator()
        case "crash":
            cluster.crash_after = number
            cluster.restart_operator()
        case "busy":
            cluster.busy = number % 2 == 0
        case "lag":
            for _ in range(number):
                cluster.tick(controllers=False)


def rollout_of(spec: InferenceServiceSpec) -> Json:
    gateway = spec.routing.gateway
    way = {"grpc": gateway.grpc} if gateway else {"gateway": False} if spec.rollout.strategy == "Canary" else {}
    return spec.rollout.model_dump(by_alias=True, exclude_unset=True) | way


def assert_settled(cluster: Cluster) -> None:
    target = cluster.target
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["observedGeneration"]) == ("True", cluster.generation), str(cluster)
    assert {pod.revision for pod in cluster.pods} <= {target}
    assert len(cluster.pods) == len(cluster.serving()) == cluster.desired
    if not cluster.spec.suspend:
        assert list(cluster.deployments) == [target]
        assert cluster.status["stable"]["name"] == target
    assert cluster.selector is not None
    assert cluster.selector.get(LABEL_REVISION) in cluster.deployments
    assert cluster.status["replicas"] == cluster.status["readyReplicas"] == cluster.desired


@RELAXED
@given(
    history=OF_ALL_STRATEGIES,
    version=st.sampled_from(VERSIONS[:3]),
    replicas=st.integers(0, 6),
    rollout=st.sampled_from(ROLLOUTS),
)
def test_a_good_spec_is_realised_at_the_end_of_every_history(
    history: list[Step], version: int, replicas: int, rollout: Json
) -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), broken=frozenset({BROKEN}))
    live(cluster, history)
    cluster.change(spec_of(version, replicas=replicas, rollout=rollout))
    cluster.settle()
    assert_settled(cluster)


@RELAXED
@given(history=CALM_OF_ALL_STRATEGIES, final=st.booleans(), rollout=st.sampled_from([*ROLLOUTS, WITHIN_THE_SAME_GPUS]))
def test_no_plan_takes_capacity_away_or_takes_gpus_twice(history: list[Step], final: bool, rollout: Json) -> None:
    cluster = Cluster(spec_of(1, replicas=3, rollout=rollout), broken=frozenset({BROKEN}), final=final)
    cluster.run(LOAD_TICKS + 5)
    live(cluster, history)  # the simulator itself watches over what is promised
    assert cluster.quiet_from <= cluster.now


@RELAXED
@given(history=HISTORY)
def test_what_serves_keeps_serving_when_the_next_version_is_broken(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}))
    live(cluster, history)
    cluster.change(spec_of(2, replicas=3))
    cluster.settle()
    cluster.change(spec_of(BROKEN, replicas=3))
    for _ in range(OUT_OF_TIME_TICKS):
        cluster.tick()
        assert len(cluster.serving()) == 3
        assert cluster.condition("Available")["status"] == "True"
    stalled, ready = cluster.condition("Stalled"), cluster.condition("Ready")
    assert (stalled["status"], ready["status"]) == ("True", "False")
    assert "it is broken" in ready["message"]
    assert cluster.status["lastFailure"]["revision"] == cluster.status["rejected"]["name"] == cluster.target
    assert not cluster.of(cluster.target)  # the GPUs of what was rejected are free
    cluster.change(spec_of(3, replicas=3))
    cluster.settle()
    assert_settled(cluster)


@RELAXED
@given(history=HISTORY)
def test_a_second_look_at_an_unchanged_world_changes_nothing(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}))
    live(cluster, history)
    for _ in range(10):
        cluster.tick()
        world = cluster.world()
        assert decide(world) == decide(world)
        cluster.carry_out(decide(world))
        cluster.carry_out(decide(cluster.world()))
        writes, told = cluster.writes, list(cluster.told)
        cluster.carry_out(decide(cluster.world()))
        assert (cluster.writes, cluster.told) == (writes, told), str(cluster)


@RELAXED
@given(history=HISTORY)
def test_a_settled_service_is_left_alone(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    live(cluster, history)
    cluster.settle()
    assert cluster.plan is not None
    assert cluster.plan.look_again is None
    writes, told = cluster.writes, list(cluster.told)
    for _ in range(20):
        cluster.restart_operator()
        cluster.tick()
    assert (cluster.writes, cluster.told) == (writes, told)


@RELAXED
@given(history=HISTORY, ticks=st.integers(0, 40))
def test_suspension_removes_all_pods_and_keeps_the_rest(history: list[Step], ticks: int) -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}))
    cluster.run(2)  # in which its source is looked up
    live(cluster, history)
    cluster.change(cluster.spec.model_copy(update={"suspend": True}))
    cluster.settle()
    assert cluster.pods == []
    assert cluster.condition("Ready")["reason"] == "Suspended"
    assert cluster.condition("Suspended")["status"] == "True"
    assert cluster.record is not None
    assert cluster.revisions
    assert {SERVICE, f"{SERVICE}-headless"} <= set(cluster.services)


@RELAXED
@given(
    history=CALM_OF_ALL_STRATEGIES,
    accident=st.sampled_from(("none", "restart", "wipe status", "lose record", "crash")),
    number=st.integers(0, 7),
    rollout=st.sampled_from(ROLLOUTS),
)
def test_a_resumed_service_has_its_stable_revision_back_before_a_new_one_starts(
    history: list[Step], accident: str, number: int, rollout: Json
) -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), broken=frozenset({BROKEN}))
    live(cluster, history)
    cluster.change(spec_of(1, replicas=2, rollout=rollout))
    cluster.settle()
    stable = cluster.target
    cluster.change(spec_of(1, replicas=2, suspend=True, rollout=rollout))
    cluster.run(number * 3)
    cluster.change(spec_of(2, replicas=2, suspend=True, rollout=rollout))
    cluster.run(1)
    take(cluster, Step(accident, number, 0))
    cluster.run(20)
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    for _ in range(100):
        cluster.tick()
        if sum(pod.serves for pod in cluster.of(stable)) == 2:
            break
        assert not cluster.of(cluster.target), str(cluster)
    cluster.settle()
    assert_settled(cluster)


@RELAXED
@given(history=HISTORY)
def test_the_status_tells_what_serves(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}))
    live(cluster, history)
    cluster.run(2)  # after a crash the status is a look behind
    for _ in range(30):
        cluster.tick()
        status, record = cluster.status, decode(cluster.record or "")
        assert record is not None
        in_service = [cluster.deployments[name] for name in record.serving if name in cluster.deployments]
        assert status["readyReplicas"] == sum(deployment.ready for deployment in in_service)
        assert all(name in status["selector"] for name in record.serving)
        parts = [status[role] for role in ("stable", "canary") if role in status]
        if len(parts) == 2 and set(record.serving) == {part["name"] for part in parts} and status["readyReplicas"]:
            assert sum(part["weight"] for part in parts) == 100


@pytest.mark.parametrize("writes", range(14))
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec_of(2, replicas=2), id="new version"),
        pytest.param(spec_of(1, replicas=4), id="more replicas"),
        pytest.param(spec_of(1, replicas=2, suspend=True), id="suspension"),
        pytest.param(spec_of(2, replicas=0), id="new version scaled to zero"),
    ],
)
@pytest.mark.parametrize("ticks", [0, 7, 12, 20])
def test_an_operator_killed_after_any_write_goes_on_where_it_was(writes: int, spec: object, ticks: int) -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.run(20)
    cluster.change(spec)  # type: ignore[arg-type]
    cluster.run(ticks)
    cluster.crash_after = writes
    cluster.restart_operator()
    cluster.settle()
    assert_settled(cluster)
