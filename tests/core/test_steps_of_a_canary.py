"""Steps beside weights and pauses: pods for the canary, requests told by a header, and copies of requests."""

from typing import Any

from triton_operator.api import names
from triton_operator.controller.routes import route_of
from triton_operator.core.steps import Standing, pods, standing

from .simulator import TICK, Cluster, spec_of
from .test_canary import act, begun, canary, change, weights

Json = dict[str, Any]
TESTERS: Json = {"setHeaderRoute": {"headers": [{"name": "x-tester", "value": "yes"}]}}
NOBODY: Json = {"setHeaderRoute": {}}
STOP: Json = {"pause": {}}


def rollout(*steps: Json, **more: Any) -> Json:
    return canary(steps=[*steps], **more)


def direct(cluster: Cluster) -> Json:
    """What goes to the canary whatever the weights, as the route says: headers and percent of copies."""
    assert cluster.route
    found = route_of(cluster.route).direct
    return {"headers": dict(found.headers), "mirror": found.mirror} if found else {}


def matches(cluster: Cluster) -> list[Json]:
    """The headers of each way to the canary that is not by weight."""
    assert cluster.route
    rules = cluster.route["spec"]["rules"][4:]
    assert {rule["backendRefs"][0]["name"] for rule in rules} <= {cluster.target}
    return [{h["name"]: h["value"] for h in match.get("headers", ())} for rule in rules for match in rule["matches"]]


def test_what_stands_is_what_the_last_step_said() -> None:
    copies, all_pods = {"setMirrorRoute": {"percent": 20}}, {"setCanaryScale": {}}
    asked = rollout({"setCanaryScale": {"replicas": 3}}, TESTERS, copies, all_pods, NOBODY)
    found = spec_of(1, rollout=asked).rollout.steps or []
    testers = {"x-tester": "yes"}
    assert [standing(found, at) for at in range(5)] == [
        Standing(3, {}, 0), Standing(3, testers, 0), Standing(3, testers, 20), Standing(0, testers, 20),
        Standing(0, {}, 20),
    ]  # fmt: skip
    needs = [pods(10, standing(found, at), desired=10) for at in range(5)]
    assert needs == [3, 3, 4, 4, 4]  # two for 10 % beside ten pods, and two for copies of 20 %
    assert pods(0, Standing(headers=testers), desired=10) == 1


def test_testers_reach_the_canary_before_anybody_else_does() -> None:
    cluster = begun(rollout=rollout(TESTERS, STOP, {"setWeight": 10}, NOBODY, STOP), replicas=4)
    cluster.run(60, until=lambda c: c.condition("Ready")["reason"] == "CanaryPaused")
    assert direct(cluster) == {"headers": {"x-tester": "yes"}, "mirror": 0}
    words = f"0 % of requests go to {cluster.target}, and all with x-tester: yes until a person promotes it"
    assert words in cluster.condition("Ready")["message"]
    assert cluster.weights.get(cluster.target, 0) == 0
    assert len(cluster.of(cluster.target)) == 1
    act(cluster, "promote")
    cluster.run(60, until=lambda c: c.condition("Ready")["reason"] == "CanaryPaused" and c.weights[c.target] == 10)
    assert direct(cluster)["headers"] == {}
    act(cluster, "promote")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2
    assert direct(cluster) == {}


def test_the_backend_of_testers_is_known_before_they_are_sent_to_it() -> None:
    cluster = begun(rollout=rollout(TESTERS, STOP, {"setWeight": 10}))
    seen: list[list[Json]] = []
    for _ in range(40):
        cluster.tick()
        if not seen or matches(cluster) != seen[-1]:
            seen.append(matches(cluster))
    named = {names.HEADER_REVISION: cluster.target}
    assert [{tuple(way.items()) for way in ways} for ways in seen] == [
        set(),
        {tuple(named.items())},
        {tuple(named.items()), (("x-tester", "yes"),)},
    ]


def test_no_rule_changes_its_place_while_it_is_there() -> None:
    """Proxies name backends by the places of rules: requests would meet one that is just being taken away."""
    steps = (TESTERS, STOP, {"setMirrorRoute": {"percent": 20}}, {"setWeight": 10}, STOP, NOBODY, {"setWeight": 50})
    cluster = begun(rollout=rollout(*steps), replicas=2)
    places: dict[str, set[int]] = {}
    for tick in range(120):
        cluster.tick()
        if tick % 20 == 10:
            act(cluster, "promote")
        assert cluster.route
        for place, rule in enumerate(cluster.route["spec"]["rules"]):
            for match in rule["matches"]:
                places.setdefault(f"{match} {rule['backendRefs'][0]['name']}" if place > 1 else str(match), set()).add(
                    place
                )
    assert cluster.status["stable"]["version"] == 2
    assert {len(seen) for seen in places.values()} == {1}
    pinned = {match["path"]["value"] for rule in cluster.route["spec"]["rules"][2:] for match in rule["matches"]}
    assert pinned == {"/v2/models/resnet50/versions/2"}


def test_a_version_that_both_serve_goes_by_the_weights_unless_the_revision_is_named() -> None:
    chosen = rollout({"setWeight": 10}, STOP)
    cluster = Cluster(spec_of(1, replicas=2, rollout=chosen))
    cluster.settle()
    stable = cluster.status["stable"]["name"]
    change(cluster, spec_of(1, replicas=2, rollout=chosen, model={"uri": "pvc://models/other"}))
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    assert cluster.route
    ways = [rule["matches"][0]["headers"][0] for rule in cluster.route["spec"]["rules"][2:]]
    assert [way["value"] for way in ways] == [stable, cluster.target]
    assert {way["name"] for way in ways} == {names.HEADER_REVISION}


def test_testers_go_to_what_serves_while_no_pod_of_the_canary_is_ready() -> None:
    cluster = begun(rollout=rollout(TESTERS, STOP, {"setWeight": 10}), replicas=2)
    cluster.run(60, until=lambda c: direct(c).get("headers"))
    for pod in cluster.of(cluster.target):
        pod.down_until = cluster.now + 6 * TICK
    cluster.run(4)
    assert not [pod for pod in cluster.of(cluster.target) if pod.serves]
    assert not direct(cluster).get("headers")
    cluster.run(30)
    assert direct(cluster)["headers"] == {"x-tester": "yes"}


def test_testers_stay_with_a_canary_that_takes_over() -> None:
    cluster = begun(rollout=rollout(TESTERS, {"setWeight": 10}, STOP), replicas=4)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(4)
    act(cluster, "promote")
    seen = []
    while cluster.weights.get(cluster.target, 0) < 100:
        seen.append(direct(cluster).get("headers"))
        cluster.tick()
    assert len(seen) > 2
    assert all(seen)
    cluster.settle()
    assert direct(cluster) == {}


def test_copies_take_pods_of_their_own_and_end_with_the_canary() -> None:
    steps = ({"setMirrorRoute": {"percent": 50}}, STOP, {"setMirrorRoute": {}}, {"setWeight": 10}, STOP)
    cluster = begun(rollout=rollout(*steps), replicas=4)
    cluster.run(60, until=lambda c: c.condition("Ready")["reason"] == "CanaryPaused")
    assert direct(cluster) == {"headers": {}, "mirror": 50}
    assert f"go to {cluster.target}, and copies of 50 % until" in cluster.condition("Ready")["message"]
    assert len(cluster.of(cluster.target)) == 2
    assert cluster.weights.get(cluster.target, 0) == 0
    act(cluster, "abort")
    cluster.run(30)
    assert direct(cluster) == {}
    assert not cluster.of(cluster.target)


def test_a_canary_has_the_pods_that_a_step_asks_for_and_those_of_its_weight() -> None:
    steps = ({"setCanaryScale": {"replicas": 3}}, {"setWeight": 10}, STOP, {"setCanaryScale": {}}, STOP)
    cluster = begun(rollout=rollout(*steps), replicas=4)
    cluster.run(60, until=lambda c: c.condition("Ready")["reason"] == "CanaryPaused")
    assert (len(cluster.of(cluster.target)), cluster.weights[cluster.target]) == (3, 10)
    act(cluster, "promote")
    cluster.run(30)
    assert (len(cluster.of(cluster.target)), cluster.weights[cluster.target]) == (1, 10)


def test_a_scale_that_the_surge_has_no_room_for_is_refused() -> None:
    steps = ({"setCanaryScale": {"replicas": 3}}, {"setWeight": 10})
    cluster = Cluster(spec_of(1, replicas=4, rollout=rollout(*steps, maxSurgeGPUs=2)))
    cluster.run(5)
    accepted = cluster.condition("Accepted")
    assert accepted["reason"] == "StepUnreachable"
    assert accepted["message"].startswith("spec.rollout.steps[0] needs 3 pods beside the 4 that serve")
    assert accepted["message"].endswith("has room for 2: set it to 3")


def test_steps_for_testers_may_be_edited_meanwhile() -> None:
    cluster = begun(rollout=rollout(TESTERS, STOP, {"setWeight": 10}))
    cluster.run(60, until=lambda c: direct(c).get("headers"))
    change(cluster, spec_of(2, rollout=rollout({"setWeight": 10}, STOP, {"setWeight": 50})))
    assert weights(cluster, until=lambda c: c.weights.get(c.target) == 10) == [0, 10]
    assert direct(cluster) == {}
