"""Which cluster and which engine are taken."""

from pathlib import Path

import pytest

from cluster import engine, provider
from cluster.kind import KindCluster
from cluster.processes import ClusterError
from cluster.provider import GivenCluster


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("kubectl", "helm"):
        (programs / name).touch(mode=0o755)
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(programs)}


IMAGES = {"OPERATOR_IMAGE": "registry.example/operator:1", "TRITON_IMAGE": "registry.example/triton:1"}


def test_without_settings_it_is_the_kind_cluster(variables: dict[str, str]) -> None:
    cluster = provider.current(variables)
    assert isinstance(cluster, KindCluster)
    assert (cluster.name, cluster.gateway_port) == ("triton-operator", 18081)


def test_a_kubeconfig_in_the_environment_means_that_cluster(variables: dict[str, str]) -> None:
    cluster = provider.current({**variables, **IMAGES, "KUBECONFIG": "/home/someone/.kube/config"})
    assert isinstance(cluster, GivenCluster)
    assert cluster.images.operator.stable == "registry.example/operator:1"
    assert cluster.tools == Path(variables["PATH"])


@pytest.mark.parametrize("name", ["triton-operator", "another"])
def test_the_kubeconfig_of_a_kind_cluster_of_ours_means_kind(variables: dict[str, str], name: str) -> None:
    ours = Path(variables["XDG_CACHE_HOME"]) / "triton-operator" / "clusters" / name / "kubeconfig"
    assert isinstance(provider.current({**variables, "KUBECONFIG": str(ours)}), KindCluster)


def test_kind_can_be_asked_for_in_spite_of_a_kubeconfig(variables: dict[str, str]) -> None:
    wanted = {**variables, "KUBECONFIG": "/elsewhere", "TRITON_OPERATOR_CLUSTER": "kind"}
    assert isinstance(provider.current(wanted), KindCluster)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"TRITON_OPERATOR_CLUSTER": "given"}, "set KUBECONFIG, OPERATOR_IMAGE, TRITON_IMAGE", id="given"),
        pytest.param({"KUBECONFIG": "/elsewhere", "TRITON_IMAGE": "t"}, "set OPERATOR_IMAGE", id="no operator image"),
        pytest.param({"KUBECONFIG": "/elsewhere", **IMAGES, "PATH": "/nowhere"}, "must be on PATH", id="no tools"),
        pytest.param({"TRITON_OPERATOR_CLUSTER": "minikube"}, "may be `kind` or `given`", id="unknown provider"),
        pytest.param({"TRITON_OPERATOR_GATEWAY_PORT": "http"}, "must be a port number", id="port"),
        pytest.param({"TRITON_OPERATOR_CLUSTER_NAME": "../x"}, "lower case letters", id="hostile name"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    variables: dict[str, str], settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        provider.current({**variables, **settings})


def test_docker_is_taken_where_its_engine_answers() -> None:
    chosen = engine.choose(docker_answers=True, podman_settings=Path("/c"))
    assert chosen.name == "docker"
    assert chosen.environment == {"DOCKER_BUILDKIT": "1"}  # Docker 20.10 builds without secrets otherwise


def test_podman_is_taken_elsewhere_with_settings_of_our_own() -> None:
    chosen = engine.choose(docker_answers=False, podman_settings=Path("/c"))
    assert chosen.name == "podman"
    assert chosen.environment == {"CONTAINERS_CONF": "/c", "KIND_EXPERIMENTAL_PROVIDER": "podman"}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param((20000, 96365), ["nofile=20000:20000", "nproc=32768:32768"], id="own limit of files"),
        pytest.param((-1, -1), ["nofile=1048576:1048576", "nproc=32768:32768"], id="no limits"),
        pytest.param((4096, 1000), ["nofile=4096:4096", "nproc=1000:1000"], id="tight limits"),
    ],
)
def test_podman_never_asks_for_more_than_the_callers_limits(limits: tuple[int, int], expected: list[str]) -> None:
    settings = engine.podman_settings(files=limits[0], processes=limits[1], systemd=True, cgroup_v2=True)
    assert all(f'"{limit}"' in settings for limit in expected)


@pytest.mark.parametrize(
    ("systemd", "cgroup_v2", "expected"),
    [
        pytest.param(True, True, (False, False), id="a usual machine"),
        pytest.param(False, True, (True, False), id="no systemd"),
        pytest.param(True, False, (True, True), id="old cgroups"),
        pytest.param(False, False, (True, True), id="neither"),
    ],
)
def test_podman_takes_what_works_with_the_machines_cgroups(
    systemd: bool, cgroup_v2: bool, expected: tuple[bool, bool]
) -> None:
    settings = engine.podman_settings(files=1, processes=1, systemd=systemd, cgroup_v2=cgroup_v2)
    assert ('cgroup_manager = "cgroupfs"' in settings, 'runtime = "runc"' in settings) == expected
