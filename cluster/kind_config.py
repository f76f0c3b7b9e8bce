"""The configuration of the kind cluster: nodes, address ranges, the gateways' port, the claims' folder, the audit log.

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
AUDIT_POLICY = "/etc/kubernetes/audit/policy.yaml"
AUDIT_LOGS = "/var/log/kubernetes/audit"
# The namespace that the operator is installed into; the requests of its service accounts are noted.
AUDITED = "triton-operator-system"
# A node counts as lost after this time; its kubelet says every four seconds that it is there.
NODE_GRACE_SECONDS = 20


def kind_config(*, gateway_port: int, audit_policy: Path, volumes: Path | None) -> dict[str, Any]:
    """One control plane and two workers.

    Args:
        gateway_port: The port of 127.0.0.1 that leads to NodePort 30080.
        audit_policy: The host's file with `audit_policy`.
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
        "kubeadmConfigPatches": [_audit_of_api_server(), _grace_of_nodes(), _reports_of_kubelets()],
    }
    nodes[0]["extraMounts"] = [{"hostPath": str(audit_policy), "containerPath": AUDIT_POLICY, "readOnly": True}]
    if volumes is not None:
        for node in nodes:
            node.setdefault("extraMounts", []).append({"hostPath": str(volumes), "containerPath": VOLUMES})
        config["kubeadmConfigPatches"].append(_volumes_of_controller_manager())
    return config


def audit_policy() -> dict[str, Any]:
    """What the API server notes: each request of the audited service accounts, without bodies, and nothing else."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        # A watch is noted when it begins, not only when it ends, which may be after the tests.
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": [f"system:serviceaccounts:{AUDITED}"]}, {"level": "None"}],
    }


def _audit_of_api_server() -> str:
    """At most 128 MB of log are kept."""
    policy = AUDIT_POLICY.rpartition("/")[0]
    return "\n".join(
        [
            "kind: ClusterConfiguration",
            "apiServer:",
            "  extraArgs:",
            f"    audit-policy-file: {AUDIT_POLICY}",
            f"    audit-log-path: {AUDIT_LOGS}/audit.log",
            '    audit-log-maxsize: "32"',
            '    audit-log-maxbackup: "3"',
            "  extraVolumes:",
            f"    - {{name: audit-policy, hostPath: {policy}, mountPath: {policy}, readOnly: true}}",
            f"    - {{name: audit-logs, hostPath: {AUDIT_LOGS}, mountPath: {AUDIT_LOGS}, pathType: DirectoryOrCreate}}",
            "",
        ]
    )


def _grace_of_nodes() -> str:
    """A lost node is told of after 20 s instead of 50 s."""
    return "\n".join(
        [
            "kind: ClusterConfiguration",
            "controllerManager:",
            "  extraArgs:",
            f"    node-monitor-grace-period: {NODE_GRACE_SECONDS}s",
            "",
        ]
    )


def _reports_of_kubelets() -> str:
    """A kubelet renews its Lease after a quarter of its duration."""
    return "\n".join(
        [
            "kind: KubeletConfiguration",
            f"nodeLeaseDurationSeconds: {NODE_GRACE_SECONDS - 4}",
            "",
        ]
    )


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
