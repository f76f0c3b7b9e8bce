"""The last ten revisions are kept, with the copies of the ConfigMaps that they need; what is older is gone."""

from typing import Any

from triton_operator.api import names
from triton_operator.core.inventory import HISTORY

from .simulator import Cluster, spec_of

Json = dict[str, Any]


def revision(cluster: Cluster, version: int) -> str:
    return next(n for n, body in cluster.revisions.items() if body["data"]["model"]["version"] == version)


def versions(cluster: Cluster) -> set[int]:
    return {body["data"]["model"]["version"] for body in cluster.revisions.values()}


def updated(last: int) -> tuple[Cluster, dict[int, str]]:
    """A service that has gone from version 1 to the last one; and the names of all revisions."""
    cluster = Cluster(spec_of(1))
    cluster.settle()
    named = {1: revision(cluster, 1)}
    for version in range(2, last + 1):
        cluster.change(spec_of(version))
        cluster.settle()
        named[version] = revision(cluster, version)
    return cluster, named


def copies(cluster: Cluster) -> set[str]:
    return {name for kind, name in cluster.bodies if kind == names.CONFIG_MAP.kind}


def test_the_last_ten_revisions_are_kept() -> None:
    cluster, _ = updated(HISTORY + 3)
    assert versions(cluster) == set(range(4, HISTORY + 4))
    assert list(cluster.deployments) == [revision(cluster, HISTORY + 3)]


def test_one_that_is_asked_for_again_is_kept_before_those_that_are_not() -> None:
    cluster, _ = updated(HISTORY)
    cluster.change(spec_of(1))
    cluster.settle()
    for version in (HISTORY + 1, HISTORY + 2):
        cluster.change(spec_of(version))
        cluster.settle()
    assert versions(cluster) == {1, *range(4, HISTORY + 3)}


def test_undo_to_a_revision_that_is_no_longer_kept_does_nothing_and_says_so() -> None:
    cluster, named = updated(HISTORY + 2)
    pods = [pod.name for pod in cluster.pods]
    cluster.actions = {"undo": f"{named[1]}/a"}
    cluster.run(10)
    (told,) = [told.message for told in cluster.told if told.reason == "ActionIgnored"]
    assert f"no revision {named[1]} is kept; kept are: " in told
    assert all(named[version] in told for version in range(3, HISTORY + 3))
    assert [pod.name for pod in cluster.pods] == pods
    assert cluster.condition("Ready")["status"] == "True"


def test_undo_to_the_oldest_kept_revision_works_and_keeps_it_while_it_serves() -> None:
    cluster, named = updated(HISTORY + 2)
    cluster.actions = {"undo": f"{named[3]}/a"}
    cluster.run(40)
    assert cluster.status["stable"]["name"] == named[3]
    assert {named[3], named[HISTORY + 2]} <= cluster.revisions.keys()


def test_a_spec_that_comes_back_after_its_revision_has_gone_makes_it_anew() -> None:
    cluster, named = updated(HISTORY + 2)
    cluster.change(spec_of(1))
    cluster.settle()
    assert cluster.status["stable"]["name"] == named[1]  # the same files give the same name
    assert versions(cluster) == {1, *range(4, HISTORY + 3)}


def test_copies_of_config_maps_live_as_long_as_a_revision_that_needs_them() -> None:
    model: Json = {"uri": "configmap://digits", "version": None}
    files = [{"data": {"config.pbtxt": "", "model.py": str(count)}} for count in range(HISTORY + 3)]
    cluster = Cluster(spec_of(1, model=model), config_maps={"digits": files[0]})
    cluster.settle()
    seen: list[str] = []
    for count, content in enumerate(files):
        cluster.config_maps["digits"] = content
        cluster.actions = {"refresh": f"{cluster.status['stable']['name']}/{count}"}
        cluster.settle()
        seen += sorted(copies(cluster) - set(seen))
    assert len(seen) == len(files)
    assert copies(cluster) == set(seen[-HISTORY:])
    needed = {copy for body in cluster.revisions.values() for copy in body["data"]["resolved"]["copies"].values()}
    assert copies(cluster) == needed
    oldest = min(cluster.revisions.values(), key=lambda body: body["revision"])["metadata"]["name"]
    cluster.actions = cluster.actions | {"undo": f"{oldest}/a"}
    cluster.run(40)
    assert cluster.status["stable"]["name"] == oldest
