"""What is rendered for kind, pip, Debian and the archives of images."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import debian, docker_archive, gpus, images, kind_config, node_image, readiness, tools
from cluster.docker_archive import FileImage
from cluster.processes import ClusterError


def test_the_cluster_is_one_control_plane_and_two_workers_with_rules_that_survive_a_restart() -> None:
    config = kind_config.kind_config(gateway_port=18081, audit_policy=Path("/policy.yaml"), volumes=None)
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert len(config["nodes"]) == kind_config.NODES
    assert config["networking"]["kubeProxyMode"] == "iptables"
    assert config["nodes"][0]["extraPortMappings"] == [
        {"containerPort": 30080, "hostPort": 18081, "listenAddress": "127.0.0.1"}
    ]
    assert [len(node.get("extraMounts", [])) for node in config["nodes"]] == [1, 0, 0]


def test_the_api_server_notes_what_the_operators_accounts_ask_and_nothing_else(tmp_path: Path) -> None:
    config = kind_config.kind_config(gateway_port=1, audit_policy=tmp_path / "policy.yaml", volumes=None)
    (mount,) = config["nodes"][0]["extraMounts"]
    (patch,) = (found["apiServer"] for found in _patches(config) if "apiServer" in found)
    assert patch["extraArgs"]["audit-policy-file"] == mount["containerPath"]
    assert mount == {
        "hostPath": str(tmp_path / "policy.yaml"),
        "containerPath": mount["containerPath"],
        "readOnly": True,
    }
    mounted = [volume["mountPath"] for volume in patch["extraVolumes"]]
    assert all(
        any(patch["extraArgs"][f"audit-{file}"].startswith(f"{path}/") for path in mounted)
        for file in ("policy-file", "log-path")
    )
    # kubeadm takes strings only.
    assert all(isinstance(value, str) for value in patch["extraArgs"].values())
    noted, rest = kind_config.audit_policy()["rules"]
    assert noted["userGroups"] == ["system:serviceaccounts:triton-operator-system"]
    assert (noted["level"], rest) == ("Metadata", {"level": "None"})  # never a body


def test_every_recipe_starts_from_the_base_that_is_looked_for_in_registries() -> None:
    recipes = [images.REPOSITORY / "Dockerfile", *Path(images.__file__).parent.glob("images/*/Containerfile")]
    bases = {
        line.removeprefix("ARG BASE=")
        for recipe in recipes
        for line in recipe.read_text().splitlines()
        if line.startswith("ARG BASE=")
    }
    assert bases == {images.OFFICIAL_BASE}


def test_claims_lie_in_one_folder_of_the_host_for_every_node_and_the_provisioner(tmp_path: Path) -> None:
    config = kind_config.kind_config(gateway_port=1, audit_policy=tmp_path / "policy.yaml", volumes=tmp_path)
    mount = {"hostPath": str(tmp_path), "containerPath": kind_config.VOLUMES}
    assert all(mount in node["extraMounts"] for node in config["nodes"])
    managers = [found["controllerManager"] for found in _patches(config) if "controllerManager" in found]
    (volumes,) = (manager["extraVolumes"] for manager in managers if "extraVolumes" in manager)
    assert volumes[0]["mountPath"] == kind_config.VOLUMES


def test_a_kubelet_says_several_times_that_it_is_there_before_its_node_counts_as_lost(tmp_path: Path) -> None:
    config = kind_config.kind_config(gateway_port=1, audit_policy=tmp_path / "policy.yaml", volumes=None)
    (manager,) = (found["controllerManager"] for found in _patches(config) if "controllerManager" in found)
    (kubelet,) = (found for found in _patches(config) if found["kind"] == "KubeletConfiguration")
    grace_seconds = int(manager["extraArgs"]["node-monitor-grace-period"].removesuffix("s"))
    renewed_seconds = kubelet["nodeLeaseDurationSeconds"] / 4  # as the kubelet does
    assert renewed_seconds * 4 < grace_seconds


def _patches(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        pytest.param('[{"subnet": "10.88.0.0/16"}]', "198.18.240.0/24", id="the first"),
        pytest.param('"198.18.240.0/24" "198.18.241.0/24"', "198.18.242.0/24", id="the first that is free"),
    ],
)
def test_two_clusters_get_networks_of_their_own(taken: str, expected: str) -> None:
    assert kind_config.free_node_range(taken) == expected


def test_a_machine_with_too_many_clusters_is_told() -> None:
    with pytest.raises(ClusterError, match="no network is free"):
        kind_config.free_node_range(" ".join(kind_config.NODE_RANGES))


def test_pip_in_a_build_gets_the_way_to_packages_and_nothing_else_of_this_machine() -> None:
    listed = "\n".join(
        [
            ":env:.cert='/certs/one.crt'",
            ":env:.find-links='/somewhere'",
            "global.cert='/certs/two.crt'",
            "global.index-url='https://mirror.example/simple'",
            "install.user='true'",
        ]
    )
    assert images.pip_settings(listed) == {"cert": "/certs/one.crt", "index-url": "https://mirror.example/simple"}


def test_debootstrap_uses_the_mirror_of_apt() -> None:
    targets = "http://security.example/ bookworm-security main\nhttp://mirror.example/debian/ bookworm main\n"
    assert debian.mirror(targets) == "http://mirror.example/debian"


def test_a_machine_without_a_mirror_of_the_release_is_told() -> None:
    with pytest.raises(ClusterError, match="no mirror of Debian bookworm"):
        debian.mirror("http://mirror.example/debian trixie main")


def test_images_get_the_names_that_kubeadm_wants() -> None:
    listed = "registry.example/etcd:3.6.5-0\nregistry.example/coredns/coredns:v1.12.1\nregistry.example/pause:3.10.1\n"
    assert node_image.image_names(listed) == {
        "etcd": "registry.example/etcd:3.6.5-0",
        "coredns": "registry.example/coredns/coredns:v1.12.1",
        "pause": "registry.example/pause:3.10.1",
    }


def test_an_archive_holds_each_image_with_its_files_and_links(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("content")
    target = tmp_path / "images.tar"
    image = FileImage(
        "example/one:1",
        {"/usr/bin/program": program},
        links={"/usr/bin/alias": "program"},
        entrypoint=("/usr/bin/program",),
    )
    docker_archive.write_archive(target, [image, FileImage("example/two:1", {"/two": program})])
    with tarfile.open(target) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest"))
        assert [entry["RepoTags"] for entry in manifest] == [["example/one:1"], ["example/two:1"]]
        config = json.load(archive.extractfile(manifest[0]["Config"]) or pytest.fail("no config"))
        assert config["config"]["Entrypoint"] == ["/usr/bin/program"]
        assert manifest[0]["Layers"] == [f"{config['rootfs']['diff_ids'][0].removeprefix('sha256:')}/layer.tar"]
        with tarfile.open(fileobj=archive.extractfile(manifest[0]["Layers"][0])) as layer:
            assert layer.getnames() == ["usr", "usr/bin", "usr/bin/program", "usr/bin/alias"]
            assert layer.getmember("usr/bin/program").mode == 0o755


def test_kubernetes_tools_know_their_version() -> None:
    version = tools.kubernetes_version()
    flags = " ".join(tools.build_flags("kubernetes"))
    assert version.startswith("v1.34.")
    assert f"gitVersion={version}" in flags
    assert "gitMinor=34" in flags


@pytest.mark.parametrize(
    "tool", [*tools.HOST_TOOLS, *tools.API_TOOLS, *tools.NODE_TOOLS, *tools.SOURCE_TOOLS], ids=lambda tool: tool.name
)
def test_every_tool_is_pinned_by_its_module(tool: tools.Tool) -> None:
    assert tool.package in (tools.HERE / tool.module / "go.mod").read_text()
    assert (tools.HERE / tool.module / "go.sum").exists()


def test_a_node_that_is_absent_or_not_ready_is_named() -> None:
    def node(name: str, ready: str) -> dict[str, object]:
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    listed = [node("one", "True"), node("two", "Unknown")]
    assert readiness.nodes_not_ready(listed, wanted=["one", "two", "three"]) == ["three", "two"]


def test_gpu_nodes_are_labelled_as_by_gpu_feature_discovery() -> None:
    assert gpus.labels(4)["nvidia.com/gpu.count"] == "4"
    assert gpus.labels(4)["nvidia.com/gpu.product"] == "NVIDIA-L4"
