"""A model in a bucket: its versions, its bytes, and what happens when either changes."""

import pytest

from bucket import Bucket
from cluster import provider
from cluster.abilities import Ability
from stories import Namespace, condition, service

URI = "s3://models/vision/adder"


@pytest.fixture
def bucket(namespace: Namespace, cluster: provider.Cluster, images: provider.Images) -> Bucket:
    namespace.start_caller(images.operator.by_content)
    return Bucket(namespace, image=cluster.load_s3(), shell=images.operator.by_content)


def stable(namespace: Namespace) -> dict:
    return namespace.get("tisvc", "adder")["status"]["stable"]


def added(namespace: Namespace) -> set[float]:
    """What the pods that serve add."""
    namespace.reach("adder")
    answer = namespace.call("adder", value=0, count=20)
    assert answer["failures"] == []
    return set(answer["http"] + answer["grpc"])


@pytest.mark.long
@pytest.mark.needs(Ability.IMAGES)
def test_versions_and_bytes_of_a_bucket_are_found_once_and_kept(namespace: Namespace, bucket: Bucket) -> None:
    bucket.put(1, add=1)
    bucket.put(3, add=3)
    spec = {"uri": URI, "version": None, "credentials": "models"}
    namespace.apply(service("adder", **spec))
    first = namespace.wait("adder", "Ready")["status"]["stable"]
    assert first["version"] == 3
    resolved = namespace.get("controllerrevision", first["name"])["data"]["resolved"]["models"]
    assert [(found["version"], found["digest"][:7]) for found in resolved] == [(3, "sha256:")]
    assert added(namespace) == {3}

    # A higher version is not taken because some other field changes.
    bucket.put(4, add=4)
    spec["runtime"] = {"env": [{"name": "A", "value": "B"}]}
    namespace.apply(service("adder", **spec))
    second = namespace.wait("adder", "Ready")["status"]["stable"]
    assert (second["version"], second["name"] == first["name"]) == (3, False)

    namespace.act("adder", "refresh", f"{second['name']}/1")
    namespace.until(lambda: stable(namespace)["version"] == 4)
    third = namespace.wait("adder", "Ready")["status"]["stable"]
    assert added(namespace) == {4}

    # Overwritten in place: what runs serves on, what comes later fails, and never are there other bytes.
    namespace.kubectl("scale", "tisvc/adder", "--replicas=2")
    namespace.until(lambda: namespace.get("tisvc", "adder")["status"]["readyReplicas"] == 2)
    bucket.put(4, add=40)
    one, other = namespace.pods("adder")
    namespace.kubectl("delete", "pod", one["metadata"]["name"])
    failure = namespace.failure("adder", "SourceChanged", "vision/adder")
    assert failure["revision"] == third["name"]
    assert added(namespace) == {4}
    namespace.kubectl("scale", "tisvc/adder", "--replicas=1")  # which could not be taken back
    kept = condition(namespace.wait("adder", "Stalled"))
    assert (kept["reason"], f"{third['name']} stays at 2" in kept["message"]) == ("SourceChanged", True)
    assert other["metadata"]["uid"] in namespace.uids("adder")
    assert added(namespace) == {4}

    namespace.act("adder", "refresh", f"{third['name']}/2")
    namespace.until(lambda: stable(namespace)["name"] != third["name"])
    fourth = namespace.wait("adder", "Ready")["status"]
    assert fourth["stable"]["version"] == 4
    assert "lastFailure" not in fourth
    assert added(namespace) == {40}
    assert namespace.told("adder", "ActionTaken") == [
        f"serving.triton-operator.dev/refresh={name}/{id_}" for name, id_ in ((second["name"], 1), (third["name"], 2))
    ]


@pytest.mark.long
@pytest.mark.needs(Ability.IMAGES)
def test_a_source_that_refuses_or_is_silent_costs_no_pod(namespace: Namespace, bucket: Bucket) -> None:
    bucket.put(1, add=1)
    namespace.apply(
        service("adder", uri=URI, credentials="models"),
        service("wrong", uri=URI, credentials="wrong"),
        service("other", uri="s3://elsewhere/adder", credentials="models"),
    )
    before = namespace.wait("adder", "Ready")["status"]["stable"]
    uids = namespace.uids("adder")
    namespace.failure("wrong", "BadCredentials", "AWS_SECRET_ACCESS_KEY")
    namespace.failure("other", "NotFound", "elsewhere")

    namespace.apply(service("adder", uri=URI, version=2, credentials="models"))
    namespace.failure("adder", "NoVersions", "2")
    namespace.apply(service("adder", uri=URI, credentials="wrong"))
    namespace.failure("adder", "BadCredentials", "AWS_SECRET_ACCESS_KEY")
    bucket.stop()
    namespace.apply(service("adder", uri=URI, version=5, credentials="models"))
    namespace.failure("adder", "Unreachable", bucket.endpoint.removeprefix("http://"))
    now = namespace.get("tisvc", "adder")["status"]
    assert now["stable"] == before
    assert namespace.uids("adder") == uids
    assert added(namespace) == {1}

    namespace.apply(service("adder", uri=URI, credentials="models"))
    assert namespace.wait("adder", "Ready", seconds=10)["status"]["stable"] == before
    assert namespace.uids("adder") == uids
