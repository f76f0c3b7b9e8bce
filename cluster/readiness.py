"""Whether a cluster is well: nodes ready, DNS running, and a Service that answers from every node.

Not for: whether what was deployed into it works.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from cluster.engine import Engine
from cluster.processes import ClusterError, CommandFailed

Kubectl = Callable[..., str]

# CoreDNS through the address of its Service, asked on the node itself: kube-proxy's rules, the routes and the pod.
ASK_SERVICE = """
exec 3<>"/dev/tcp/$1/9153" && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q 200
"""


def wait_until_well(kubectl: Kubectl, engine: Engine, nodes: Iterable[str], *, patience_seconds: float) -> None:
    """Ask until nothing is wrong.

    Args:
        kubectl: Runs kubectl with the words it is given and returns its output.
        engine: Runs the nodes' containers.
        nodes: The nodes' names.
        patience_seconds: How long to ask.

    Raises:
        ClusterError: Something was still wrong at the end; the message says what.
    """
    names = sorted(nodes)
    deadline = time.monotonic() + patience_seconds
    while trouble := _trouble(kubectl, engine, names):
        if time.monotonic() > deadline:
            raise ClusterError(f"the cluster is not well after {patience_seconds:.0f} s: {trouble}")
        time.sleep(1)


def _trouble(kubectl: Kubectl, engine: Engine, nodes: list[str]) -> str:
    """What is wrong; empty when all is well."""
    try:
        kubectl("get", "--raw", "/readyz", timeout_seconds=10)
        listed = json.loads(kubectl("get", "nodes", "--output", "json", timeout_seconds=10))["items"]
        unready = nodes_not_ready(listed, wanted=nodes)
        if unready:
            return f"not ready: {', '.join(unready)}"
        for workload in ("deployment/coredns", "daemonset/kube-proxy"):
            kubectl("--namespace=kube-system", "rollout", "status", workload, "--timeout=5s", timeout_seconds=15)
        address = kubectl(
            *("--namespace=kube-system", "get", "service", "kube-dns", "--output=jsonpath={.spec.clusterIP}"),
            timeout_seconds=10,
        )
        for node in nodes:
            engine.run("exec", node, "timeout", "5", "bash", "-c", ASK_SERVICE, "bash", address, timeout_seconds=15)
    except CommandFailed as failed:
        return str(failed)
    return ""


def nodes_not_ready(listed: list[dict[str, Any]], *, wanted: Iterable[str]) -> list[str]:
    """Those of the wanted nodes that are absent or not Ready."""
    ready = {
        node["metadata"]["name"]
        for node in listed
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return sorted(set(wanted) - ready)
