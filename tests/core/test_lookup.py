"""Sources are looked up once per value of spec.model; what they held is what a revision is made of."""

import json
from itertools import pairwise
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.core.decide import decide
from triton_operator.core.lookup import FIRST_SECONDS, needs
from triton_operator.core.record_text import decode
from triton_operator.core.resolution import config_maps_of, key_of, short_hash

from .simulator import TICK, Cluster, spec_of

Json = dict[str, Any]
S3: Json = {"uri": "s3://models/resnet50", "version": None}


def unversioned(**spec: Any) -> Cluster:
    """A service without a version, whose source holds versions up to 3."""
    cluster = Cluster(spec_of(1, model=S3, **spec), highest=3)
    cluster.settle()
    return cluster


def version(cluster: Cluster) -> int:
    return int(cluster.status["stable"]["version"])


def test_the_highest_version_is_looked_up_and_told() -> None:
    cluster = unversioned()
    assert version(cluster) == 3
    assert cluster.resolvers == []
    assert (cluster.told[0].reason, cluster.told[0].message) == ("Resolved", "found resnet50 version 3 (sha256:a)")


def test_a_change_of_another_field_looks_nothing_up() -> None:
    cluster = unversioned()
    cluster.highest = 4
    before = dict(cluster.revisions)
    cluster.change(cluster.spec.model_copy(update={"replicas": 3}))
    cluster.settle()
    env = cluster.spec.runtime.model_copy(update={"args": ["--model-load-thread-count=2"]})
    cluster.change(cluster.spec.model_copy(update={"runtime": env}))
    cluster.settle()
    assert version(cluster) == 3
    assert len(cluster.revisions) == len(before) + 1


def test_pinning_the_version_that_was_found_restarts_no_pod() -> None:
    cluster = unversioned()
    pods = [pod.name for pod in cluster.pods]
    cluster.change(spec_of(3, model={"uri": S3["uri"]}))
    cluster.settle()
    assert cluster.condition("Ready")["observedGeneration"] == cluster.generation
    assert [pod.name for pod in cluster.pods] == pods


def test_a_spec_that_comes_back_finds_its_revision_though_the_source_has_changed() -> None:
    cluster = unversioned()
    (first,) = cluster.revisions
    cluster.change(spec_of(2, model={"uri": S3["uri"]}))
    cluster.settle()
    cluster.highest, cluster.silent = 4, True
    cluster.change(spec_of(1, model=S3))
    cluster.settle()
    assert version(cluster) == 3
    assert cluster.status["stable"]["name"] == first


def test_other_bytes_under_the_same_version_make_another_revision_and_only_when_asked() -> None:
    cluster = unversioned()
    (first,) = cluster.revisions
    cluster.bytes = "b"
    cluster.restart_operator()
    cluster.settle()
    assert list(cluster.revisions) == [first]
    cluster.actions = {"refresh": f"{first}/1"}
    cluster.settle()
    assert cluster.status["stable"]["name"] != first
    assert version(cluster) == 3
    reasons = [announcement.reason for announcement in cluster.told]
    assert reasons.count("Refreshed") == reasons.count("ActionTaken") == 1


def put_back() -> tuple[Cluster, str, str]:
    """A service whose files were replaced and put back, with a refresh each; its revisions, the one in use first."""
    cluster = unversioned()
    (first,) = cluster.revisions
    for count, files in enumerate("ba"):
        cluster.bytes = files
        cluster.actions = {"refresh": f"{cluster.status['stable']['name']}/{count}"}
        cluster.settle()
    (other,) = cluster.revisions.keys() - {first}
    assert cluster.status["stable"]["name"] == first
    return cluster, first, other


def test_files_that_were_put_back_are_those_of_the_revision_even_without_a_record() -> None:
    cluster, first, other = put_back()
    pods = [pod.name for pod in cluster.pods]
    cluster.lose_record()
    for _ in range(20):
        cluster.tick()
        assert not cluster.of(other)
    assert cluster.status["stable"]["name"] == first
    assert [pod.name for pod in cluster.pods] == pods


def test_a_spec_that_comes_back_finds_the_revision_that_it_asked_for_last() -> None:
    cluster, first, other = put_back()
    cluster.change(spec_of(2, model={"uri": S3["uri"]}))
    cluster.settle()
    cluster.change(spec_of(1, model=S3))
    for _ in range(40):
        cluster.tick()
        assert not cluster.of(other)
    assert cluster.status["stable"]["name"] == first


def test_an_undone_revision_is_what_a_retry_means_even_without_a_record() -> None:
    cluster = unversioned()
    (first,) = cluster.revisions
    cluster.bytes = "b"
    cluster.actions = {"refresh": f"{first}/1"}
    cluster.settle()
    second = cluster.status["stable"]["name"]
    cluster.bytes = "a"
    cluster.actions = {"undo": f"{first}/1"}
    cluster.run(40)
    assert cluster.status["stable"]["name"] == first
    cluster.lose_record()
    cluster.run(5)
    assert cluster.status["rejected"]["name"] == second
    cluster.bytes = "b"
    cluster.actions = cluster.actions | {"retry": f"{second}/2"}
    cluster.settle()
    assert cluster.status["stable"]["name"] == second


def test_a_refresh_that_finds_nothing_new_changes_nothing() -> None:
    cluster = unversioned()
    (first,) = cluster.revisions
    pods = [pod.name for pod in cluster.pods]
    cluster.actions = {"refresh": f"{first}/1"}
    cluster.run(10)
    assert [pod.name for pod in cluster.pods] == pods
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.told[-1].message == "the sources are as they were"
    assert decode(cluster.record or "").attempt is None  # type: ignore[union-attr]


def test_a_refresh_of_a_source_that_does_not_answer_is_given_up_and_all_stays() -> None:
    cluster = unversioned()
    (first,) = cluster.revisions
    cluster.silent = True
    cluster.actions = {"refresh": f"{first}/1"}
    cluster.run(int(900 / TICK) + 60)
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.told[-1].reason == "RefreshFailed"
    assert "Unreachable: it does not answer" in cluster.told[-1].message
    assert cluster.resolvers == []


def test_a_source_that_does_not_answer_is_tried_again_and_then_given_up() -> None:
    cluster = Cluster(spec_of(1, model=S3), silent=True)
    cluster.run(4)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Resolving")
    assert "s3://models/resnet50 is looked up" in ready["message"]
    assert "Unreachable: it does not answer" in ready["message"]
    assert cluster.status["lastFailure"]["reason"] == "Unreachable"
    cluster.run(int(900 / TICK) + 60)
    assert cluster.condition("Stalled")["reason"] == "Unreachable"
    assert cluster.status["phase"] == "Failed"
    tries = decode(cluster.record or "").attempt.tries  # type: ignore[union-attr]
    assert 5 <= tries <= 10
    cluster.silent = False
    cluster.run(100)
    assert cluster.condition("Stalled")["status"] == "True"  # nothing is tried until somebody says so
    cluster.actions = {"retry": "vision/1"}
    cluster.settle()
    assert version(cluster) == 1


@pytest.mark.parametrize("reason", ["BadLayout", "AccessDenied"])
def test_what_a_source_refuses_is_told_without_a_break_and_tried_again(reason: str) -> None:
    cluster = Cluster(spec_of(1, model=S3), silent=True, silence=reason)
    cluster.run(4)
    for _ in range(int(300 / TICK)):
        told = [cluster.condition(name)["status"] for name in ("Ready", "Stalled", "Reconciling")]
        assert told == ["False", "True", "False"]
        assert cluster.condition("Ready")["reason"] == reason
        cluster.tick()
    assert decode(cluster.record or "").attempt.tries > 3  # type: ignore[union-attr]
    cluster.silence = "Unreachable"
    cluster.run(int(300 / TICK))
    assert cluster.condition("Ready")["reason"] == "Resolving"
    cluster.change(spec_of(1, model={"uri": S3["uri"], "version": 2}))
    cluster.tick()
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.silent = False
    cluster.settle()
    assert version(cluster) == 2


def test_a_corrected_spec_is_not_taken_for_the_refused_one() -> None:
    cluster = Cluster(spec_of(1, model=S3), silent=True, silence="BadLayout")
    cluster.run(10)
    cluster.change(spec_of(1, model={"uri": "s3://models/other"}))
    cluster.tick()
    assert cluster.condition("Ready")["reason"] == "Resolving"


def test_what_serves_serves_on_while_the_next_source_does_not_answer() -> None:
    cluster = unversioned(replicas=2)
    (first,) = cluster.revisions
    cluster.silent = True
    cluster.change(spec_of(1, replicas=2, model=S3 | {"uri": "s3://models/other"}))
    for _ in range(int(900 / TICK) + 60):
        cluster.tick()
        assert len(cluster.serving()) == 2
    assert cluster.condition("Available")["status"] == "True"
    assert (cluster.condition("Stalled")["reason"], cluster.status["phase"]) == ("Unreachable", "Degraded")
    assert cluster.status["lastFailure"]["message"] == "it does not answer"
    cluster.change(spec_of(1, replicas=2, model=S3))
    pods = [pod.name for pod in cluster.pods]
    cluster.settle()
    assert cluster.status["stable"]["name"] == first
    assert [pod.name for pod in cluster.pods] == pods
    assert "lastFailure" not in cluster.status


def test_a_try_waits_longer_each_time() -> None:
    cluster = Cluster(spec_of(1, model=S3), silent=True)
    seen: list[float] = []
    tries = 0
    for _ in range(60):
        cluster.tick()
        attempt = decode(cluster.record or "").attempt  # type: ignore[union-attr]
        if attempt and attempt.tries > tries:
            tries = attempt.tries
            seen.append(attempt.last)
    pauses = [after - before for before, after in pairwise(seen)]
    assert pauses[0] >= FIRST_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[2] >= 4 * FIRST_SECONDS


def test_nothing_is_looked_up_for_a_service_that_is_suspended() -> None:
    cluster = Cluster(spec_of(1, model=S3, suspend=True))
    cluster.run(5)
    assert cluster.resolvers == []
    assert (cluster.condition("Ready")["status"], cluster.status["phase"]) == ("True", "Suspended")
    cluster.change(spec_of(1, model=S3))
    cluster.settle()
    assert version(cluster) == 1


def test_the_resolver_runs_as_the_service_does_and_is_none_of_its_pods() -> None:
    cluster = Cluster(spec_of(1, model=S3 | {"credentials": {"secretName": "models"}}))
    made = decide(cluster.world()).resolver
    assert made is not None
    assert names.LABEL_SERVICE not in made["metadata"]["labels"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    pod = made["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert {"name": "credentials", "secret": {"secretName": "models"}} in pod["volumes"]
    (container,) = pod["containers"]
    assert "nvidia.com/gpu" not in str(container["resources"])
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("silent", [False, True])
def test_an_answer_counts_though_a_container_that_a_mesh_put_beside_it_runs_on(silent: bool) -> None:
    cluster = Cluster(spec_of(1, model=S3), silent=silent)
    cluster.run(1)
    (pod,) = cluster.resolvers
    pod["status"]["phase"] = "Running"
    pod["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "state": {"running": {}}})
    pod["status"]["containerStatuses"][1]["state"]["terminated"]["exitCode"] = int(silent)
    cluster.run(1)
    if silent:
        assert cluster.status["lastFailure"]["reason"] == "Unreachable"
    else:
        cluster.settle()
        assert version(cluster) == 1


FILES: Json = {"data": {"config.pbtxt": "", "model.py": "1"}}


def from_config_map(**runtime: Any) -> Cluster:
    model = {"uri": "configmap://digits", "version": None}
    spec = spec_of(1, model=model)
    read = type(spec).model_validate(spec.model_dump(by_alias=True, exclude_none=True) | {"runtime": runtime})
    return Cluster(read, config_maps={"digits": FILES})


def copies(cluster: Cluster) -> dict[str, Json]:
    return {name: body for (kind, name), body in cluster.bodies.items() if kind == names.CONFIG_MAP.kind}


def test_a_model_in_a_config_map_is_copied_and_needs_no_resolver() -> None:
    cluster = from_config_map()
    cluster.settle()
    assert version(cluster) == 1
    ((name, copy),) = copies(cluster).items()
    assert (copy["immutable"], copy["data"]) == (True, FILES["data"])
    (revision,) = cluster.revisions.values()
    volumes = {volume["name"]: volume for volume in revision["data"]["template"]["spec"]["volumes"]}
    assert volumes["source-0"]["configMap"]["name"] == name


def test_config_maps_of_variables_and_volumes_are_copied_too() -> None:
    cluster = from_config_map(
        env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}],
        volumes=[{"name": "labels", "configMap": {"name": "labels", "optional": True}}],
    )
    cluster.run(3)
    assert cluster.condition("Ready")["reason"] == "Resolving"
    assert "the ConfigMap settings, which the spec names, does not exist" in cluster.condition("Ready")["message"]
    cluster.config_maps["settings"] = {"data": {"a": "1"}}
    cluster.settle()
    (revision,) = cluster.revisions.values()
    template = str(revision["data"]["template"])
    assert "'settings'" not in template
    assert "'name': 'labels', 'configMap': {'name': 'vision-config-" in template
    assert len(copies(cluster)) == 3  # that of the optional one, which is not there, is empty


def with_runtime(cluster: Cluster, **runtime: Any) -> None:
    """Change spec.runtime alone."""
    before = cluster.spec.model_dump(by_alias=True, exclude_none=True)
    cluster.change(type(cluster.spec).model_validate(before | {"runtime": runtime}))


def variable(config_map: str) -> Json:
    return {"name": config_map.upper(), "valueFrom": {"configMapKeyRef": {"name": config_map, "key": "a"}}}


def test_a_config_map_that_the_runtime_begins_to_name_is_copied_and_no_source_is_asked() -> None:
    cluster = unversioned()
    cluster.highest, cluster.bytes, cluster.silent = 4, "b", True
    with_runtime(cluster, env=[variable("settings")])
    cluster.run(3)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Resolving")
    assert "ConfigMapMissing: the ConfigMap settings, which the spec names, does not exist" in ready["message"]
    assert len(cluster.serving()) == 1
    cluster.config_maps["settings"] = {"data": {"a": "1"}}
    cluster.bytes = "a"  # for the pods to come
    cluster.settle()
    assert version(cluster) == 3
    assert [copy["data"] for copy in copies(cluster).values()] == [{"a": "1"}]
    assert [told.reason for told in cluster.told].count("Resolved") == 1


def test_a_config_map_that_never_comes_stalls_the_spec_that_names_it_and_one_that_comes_mends_it() -> None:
    cluster = unversioned()
    with_runtime(cluster, env=[variable("settings")])
    cluster.run(int(900 / TICK) + 5)
    assert cluster.condition("Stalled")["reason"] == "ConfigMapMissing"
    assert len(cluster.serving()) == 1
    cluster.config_maps["settings"] = {"data": {"a": "1"}}
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert decode(cluster.record or "").attempt is None  # type: ignore[union-attr]


def test_a_config_map_named_beside_others_is_read_alone() -> None:
    cluster = unversioned()
    cluster.config_maps = {"one": {"data": {"a": "1"}}, "two": {"data": {"a": "2"}}}
    with_runtime(cluster, env=[variable("one")])
    cluster.settle()
    cluster.config_maps["one"] = {"data": {"a": "changed"}}
    with_runtime(cluster, env=[variable("one"), variable("two")])
    cluster.settle()
    (newest,) = (r for r in cluster.revisions.values() if len(r["data"]["resolved"]["copies"]) == 2)
    assert {copies(cluster)[copy]["data"]["a"] for copy in newest["data"]["resolved"]["copies"].values()} == {"1", "2"}
    assert version(cluster) == 3


def test_a_spec_that_names_a_config_map_again_finds_its_revision_though_it_has_changed() -> None:
    cluster = unversioned()
    cluster.config_maps["one"] = {"data": {"a": "1"}}
    with_runtime(cluster, env=[variable("one")])
    cluster.settle()
    named = cluster.status["stable"]["name"]
    with_runtime(cluster)
    cluster.settle()
    assert cluster.status["stable"]["name"] != named
    cluster.config_maps["one"] = {"data": {"a": "changed"}}
    with_runtime(cluster, env=[variable("one")])
    cluster.settle()
    assert cluster.status["stable"]["name"] == named
    assert len(cluster.revisions) == 2


def test_a_refresh_reads_all_config_maps_again() -> None:
    cluster = unversioned()
    cluster.config_maps["one"] = {"data": {"a": "1"}}
    with_runtime(cluster, env=[variable("one")])
    cluster.settle()
    cluster.config_maps["one"] = {"data": {"a": "changed"}}
    cluster.actions = {"refresh": f"{cluster.status['stable']['name']}/1"}
    cluster.settle()
    stable = cluster.revisions[cluster.status["stable"]["name"]]
    (copy,) = stable["data"]["resolved"]["copies"].values()
    assert copies(cluster)[copy]["data"] == {"a": "changed"}


def with_former_keys(cluster: Cluster) -> None:
    """Let the record and all revisions be of an operator that had the names of all ConfigMaps in the key."""
    model = {"name": "resnet50", "uri": S3["uri"]}
    former = short_hash({"model": model, "configMaps": sorted(config_maps_of(cluster.spec))})
    assert former != key_of(cluster.spec)
    cluster.record = (cluster.record or "").replace(key_of(cluster.spec), former)
    cluster.revisions = json.loads(json.dumps(cluster.revisions).replace(key_of(cluster.spec), former))
    cluster.restart_operator()


@pytest.mark.parametrize("record", ["kept", "lost"])
def test_what_a_former_operator_looked_up_is_not_looked_up_again(record: str) -> None:
    cluster = unversioned()
    cluster.config_maps = {"one": {"data": {"a": "1"}}, "two": {"data": {"a": "2"}}}
    with_runtime(cluster, env=[variable("one")])
    cluster.settle()
    pods, stable = [pod.name for pod in cluster.pods], cluster.status["stable"]["name"]
    with_former_keys(cluster)
    cluster.highest, cluster.silent, cluster.config_maps["one"] = 4, True, {"data": {"a": "changed"}}
    if record == "lost":
        cluster.lose_record()
    writes = cluster.writes
    cluster.settle()
    assert cluster.status["stable"]["name"] == stable
    assert [pod.name for pod in cluster.pods] == pods
    assert cluster.writes == writes + (record == "lost")
    with_runtime(cluster, env=[variable("one"), variable("two")])
    cluster.settle()
    assert version(cluster) == 3
    assert cluster.condition("Ready")["status"] == "True"


def test_a_config_map_that_changes_makes_a_revision_when_the_model_does_or_on_refresh() -> None:
    cluster = from_config_map()
    cluster.settle()
    (first,) = cluster.revisions
    cluster.config_maps["digits"] = {"data": FILES["data"] | {"model.py": "2"}}
    cluster.change(cluster.spec.model_copy(update={"replicas": 2}))
    cluster.settle()
    assert list(cluster.revisions) == [first]
    cluster.actions = {"refresh": f"{first}/1"}
    cluster.settle()
    assert len(cluster.revisions) == len(copies(cluster)) == 2
    assert cluster.status["stable"]["name"] != first


def test_a_config_map_that_changes_before_it_is_copied_is_read_again() -> None:
    cluster = from_config_map()
    cluster.crash_after = 1  # the record, and not the copy
    cluster.run(1)
    assert copies(cluster) == {}
    cluster.config_maps["digits"] = {"data": {"model.py": "2"}}
    cluster.settle()
    ((_, copy),) = copies(cluster).items()
    assert copy["data"] == {"model.py": "2"}
    assert cluster.condition("Ready")["status"] == "True"


def test_only_what_is_missing_is_read() -> None:
    spec = from_config_map().spec
    assert needs(spec, None, {}, ()).config_maps == {"digits"}
    cluster = from_config_map()
    cluster.settle()
    world = cluster.world()
    assert world.resolvers is None
    assert world.config_maps == {}


def test_an_answer_about_other_models_is_none() -> None:
    cluster = Cluster(spec_of(1, model=S3))
    cluster.run(1)
    (pod,) = cluster.resolvers
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = '{"models": []}'
    cluster.run(2)
    assert cluster.condition("Stalled")["reason"] == "InternalError"


@pytest.mark.parametrize("field", ["replicas", "scratch", "runtime"])
def test_what_does_not_concern_the_source_leaves_its_key(field: str) -> None:
    spec = spec_of(1, model=S3)
    other = {
        "replicas": {"replicas": 9},
        "scratch": {"model": {"name": "resnet50", "uri": S3["uri"], "scratch": {"size": "1Gi"}}},
        "runtime": {"runtime": {"env": [variable("settings")]}},
    }[field]
    before = spec.model_dump(by_alias=True, exclude_none=True)
    other = type(spec).model_validate(before | other)
    assert key_of(spec) == key_of(other)
    assert key_of(spec) != key_of(spec_of(2, model={"uri": S3["uri"]}))


def test_dependencies_lie_beside_the_model_and_are_resolved_with_it() -> None:
    cluster = Cluster(spec_of(1, model=S3 | {"dependencies": [{"name": "pre"}]}), highest=5)
    cluster.settle()
    (revision,) = cluster.revisions.values()
    order = str(revision["data"]["template"]["spec"]["initContainers"][0]["env"])
    assert '"uri": "s3://models/pre", "version": 5' in order
    assert [m["name"] for m in revision["data"]["resolved"]["models"]] == ["resnet50", "pre"]


def test_a_lost_record_finds_the_resolution_with_the_revision() -> None:
    cluster = unversioned()
    cluster.highest, cluster.silent = 9, True
    cluster.lose_record()
    cluster.settle()
    assert version(cluster) == 3
    assert config_maps_of(cluster.spec) == {}
