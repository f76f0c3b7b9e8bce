"""Tests run on several clusters at once: which those are, and that nothing of them is left behind."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster import several
from cluster.kind import KindCluster
from cluster.processes import ClusterError
from cluster.provider import Cluster
from history import Run

GIVEN = {"KUBECONFIG": "/home/someone/.kube/config", "OPERATOR_IMAGE": "r/operator:1", "TRITON_IMAGE": "r/triton:1"}


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    for name in ("kubectl", "helm"):
        (tmp_path / name).touch(mode=0o755)
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path), several.COUNT: "3"}


def described(clusters: list[Cluster]) -> list[tuple[str, int]]:
    return [(each.name, each.gateway_port) for each in clusters if isinstance(each, KindCluster)]


def test_each_has_a_name_and_a_port_of_its_own(variables: dict[str, str]) -> None:
    expected = [("triton-operator", 18081), ("triton-operator-2", 18082), ("triton-operator-3", 18083)]
    assert described(several.of_tests(variables)) == expected


def test_those_beside_another_cluster_are_named_after_it(variables: dict[str, str]) -> None:
    others = {"TRITON_OPERATOR_CLUSTER_NAME": "mine", "TRITON_OPERATOR_GATEWAY_PORT": "9000", several.COUNT: "2"}
    assert described(several.of_tests(variables | others)) == [("mine", 9000), ("mine-2", 9001)]


def test_the_kubeconfig_of_the_first_one_does_not_lead_to_it(variables: dict[str, str]) -> None:
    first, *others = several.of_tests(variables)
    again = several.of_tests(variables | first.environment())
    assert [each.kubeconfig for each in again] == [first.kubeconfig, *(each.kubeconfig for each in others)]


@pytest.mark.parametrize(
    ("gibibytes", "cores", "expected"), [(8, 8, 1), (11, 8, 1), (12, 4, 2), (64, 8, 2), (64, 3, 1), (64, 2, 1)]
)
def test_a_small_machine_gets_one(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, gibibytes: int, cores: int, expected: int
) -> None:
    monkeypatch.setattr(several, "_memory_bytes", lambda: gibibytes * 2**30)
    monkeypatch.setattr(several, "_cores", lambda: cores)
    del variables[several.COUNT]
    assert several.count(variables) == expected


@pytest.mark.parametrize("wanted", ["0", "10", "-1", "two"])
def test_a_number_that_cannot_be_is_refused(variables: dict[str, str], wanted: str) -> None:
    with pytest.raises(ClusterError, match=f"TRITON_OPERATOR_CLUSTERS={wanted}: it must be a number from 1 to 9"):
        several.count(variables | {several.COUNT: wanted})


def test_a_given_cluster_is_the_only_one(variables: dict[str, str]) -> None:
    with pytest.raises(ClusterError, match="has none beside it"):
        several.count(variables | GIVEN)
    del variables[several.COUNT]
    assert several.count(variables | GIVEN) == 1
    assert len(several.of_tests(variables | GIVEN)) == len(several.made(variables | GIVEN)) == 1
    with pytest.raises(ClusterError, match="no other of the number 2"):
        several.variables_of(2, variables | GIVEN)


def test_what_is_there_of_any_of_them_is_found_whatever_the_number_is_now(variables: dict[str, str]) -> None:
    for cluster in several.of_tests(variables):
        assert isinstance(cluster, KindCluster)
        cluster.folder.mkdir(parents=True)
    expected = ["triton-operator", "triton-operator-2", "triton-operator-3"]
    assert [name for name, _ in described(several.made(variables | {several.COUNT: "1"}))] == expected


def test_a_process_lives_in_one_of_them(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    changed = ("KUBECONFIG", "TRITON_OPERATOR_CLUSTER_NAME", "TRITON_OPERATOR_GATEWAY_PORT", "KIND_CLUSTER_NAME")
    monkeypatch.setattr(os, "environ", dict(os.environ) | variables)
    for name in changed:
        os.environ.pop(name, None)
    several.enter(2)
    folder = Path(variables["XDG_CACHE_HOME"]) / "triton-operator" / "clusters" / "triton-operator-2"
    assert os.environ["KUBECONFIG"] == str(folder / "kubeconfig")
    assert os.environ["PATH"].startswith(f"{folder / 'bin'}:")
    assert os.environ["KIND_CLUSTER_NAME"] == "triton-operator-2"


def test_only_what_was_asked_while_the_operator_had_its_rights_must_have_been_allowed() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = [at + timedelta(seconds=n) for n in range(10)]
    run = Run("a", begun=seconds[1], ended=seconds[8], rightless=((seconds[3], seconds[4]),))
    assert [run.counts(each, allowed=True) for each in seconds] == [False, *[True] * 8, False]
    refused = [n for n, each in enumerate(seconds) if run.counts(each, allowed=False)]
    assert refused == [1, 2, 5, 6, 7, 8]
    assert Run("a", begun=at, ended=None, rightless=()).counts(seconds[9], allowed=False)
