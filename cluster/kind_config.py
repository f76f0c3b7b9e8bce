"""The configuration of the kind cluster: nodes, address ranges, the port for gateways, the folder of claims.

Not for: what a node does with it (cluster/node).
"""

from pathlib import Path
from typing import Any

from cluster.processes import ClusterError

# RFC 2544 benchmark space: no user's network uses it.
POD_RANGE = "198.18.0.0/17"
SERVICE_RANGE = "198.19.0.0/16"
NODE_RANGES = tuple(f"198.18.{block}.0/24" for block in range(240, 255))
NODES = 3
GATEWAY_NODE_PORT = 30080
VOLUMES = "/tmp/hostpath_pv"


def kind_config(*, gateway_port: int, volumes: Path | None) -> dict[str, Any]:
    """One control plane and two workers.

    Args:
        gateway_port: The port of 127.0.0.1 that leads to NodePort 30080.
        volumes: The host's folder behind every claim; None where the node image brings its own provisioner.
    """
    nodes: list[dict[str, Any]] = [{"role": "control-plane"}, {"role": "worker"}, {"role": "worker"}]
    nodes[0]["extraPortMappings"] = [
        {"containerPort": GATEWAY_NODE_PORT, "hostPort": gateway_port, "listenAddress": "127.0.0.1"}
    ]
    config: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"podSubnet": POD_RANGE, "serviceSubnet": SERVICE_RANGE, "kubeProxyMode": "iptables"},
        "nodes": nodes,
    }
    if volumes is not None:
        for node in nodes:
            node["extraMounts"] = [{"hostPath": str(volumes), "containerPath": VOLUMES}]
        config["kubeadmConfigPatches"] = [_volumes_of_controller_manager()]
    return config


def _volumes_of_controller_manager() -> str:
    """The provisioner makes a claim's folder in its own container: give it the nodes' folder."""
    return "\n".join(
        [
            "kind: ClusterConfiguration",
            "controllerManager:",
            "  extraVolumes:",
            f"    - {{name: claims, hostPath: {VOLUMES}, mountPath: {VOLUMES}, pathType: DirectoryOrCreate}}",
            "",
        ]
    )


def free_node_range(taken: str) -> str:
    """The first range for the nodes' network that no network of the engine has.

    Args:
        taken: Text in which the ranges of all networks occur.
    """
    for block in NODE_RANGES:
        if block not in taken:
            return block
    raise ClusterError("no network is free for another cluster: remove one (`podman network ls` lists them)")
