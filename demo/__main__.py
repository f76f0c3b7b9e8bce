"""Serve a real model on a real cluster: install the chart, apply an example, ask it, roll out a good and a bad version.

Not for: tests; see e2e/.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster import evidence, prometheus
from cluster.forward import forwarded
from cluster.processes import ClusterError, run
from cluster.provider import Cluster, GivenCluster, current
from demo import canary, plot

ROOT = Path(__file__).parent.parent
SYSTEM, NAMESPACE, SERVICE = "triton-operator-system", "demo", "digits"
READY_SECONDS = 180
SHADES = " ░▒▓█"

console = Console(highlight=False)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Serve a real model on the local cluster.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what the canaries did, as .svg or .png")
    arguments = parser.parse_args()
    started = time.monotonic()
    cluster = current()
    try:
        step("Install the operator: helm upgrade --install triton-operator charts/triton-operator")
        install(cluster)
        step("Apply a model and an InferenceService: kubectl apply -k examples/digits")
        apply(cluster)
        step("Watch it: kubectl get tisvc -w")
        watch(cluster)
        step("Ask it, by tritonclient over HTTP and over gRPC")
        ask(cluster)
        if canary.has_gateway(cluster):
            played = canary.play(cluster, NAMESPACE, console, step, samples()[7]["pixels"])
            if arguments.plot:
                plot.draw(played, arguments.plot)
        else:
            console.print("[dim]No Gateway gateways/inference here: no canaries are shown.[/]")
        step("What the cluster has now: kubectl get tisvc,deployments,services,pods -n demo")
        console.print(kubectl(cluster, "get", "tisvc,deployments,services,pods", "-o", "wide").rstrip(), soft_wrap=True)
    except ClusterError as error:
        console.print(f"\n{error}", style="red", markup=False, soft_wrap=True)
        console.print(f"logs of the cluster: {evidence.keep('demo')}", markup=False, soft_wrap=True)
        return 1
    except Exception:
        console.print(f"logs of the cluster: {evidence.keep('demo')}", markup=False, soft_wrap=True)
        raise
    console.print(f"\n[green]Done in {time.monotonic() - started:.0f} s.[/] What to try next:")
    for command, effect in (
        ('eval "$(.venv/bin/python -m cluster env)"', "kubectl and helm for this cluster"),
        (f"kubectl scale tisvc {SERVICE} -n {NAMESPACE} --replicas=3", "one more pod"),
        (f"kubectl describe tisvc {SERVICE} -n {NAMESPACE}", "conditions and events"),
        (f"kubectl patch tisvc {SERVICE} -n {NAMESPACE} --type=merge -p 'spec: {{suspend: true}}'", "free its pods"),
        (f"kubectl delete tisvc {SERVICE} -n {NAMESPACE}", "nothing is left"),
        *([] if isinstance(cluster, GivenCluster) else [("make clean", "remove the cluster")]),
    ):
        console.print(Text(f"  {command}", style="bold"), Text(f"   # {effect}", style="dim"), soft_wrap=True)
    return 0


def install(cluster: Cluster) -> None:
    """Install or upgrade the chart with the images that the cluster has."""
    images = cluster.load()
    helm(cluster, "upgrade", "--install", "triton-operator", ROOT / "charts" / "triton-operator",
         "--namespace", SYSTEM, "--create-namespace", "--take-ownership", "--force-conflicts",
         "--wait", "--timeout", "120s",
         *image_values(images.operator.by_content, images.triton.by_content), *prometheus_values(cluster))  # fmt: skip
    console.print(kubectl(cluster, "get", "pods", namespace=SYSTEM).rstrip())


def image_values(operator: str, triton: str) -> list[str]:
    """Give the chart's values that name two images.

    Args:
        operator: the operator's image, with tag.
        triton: Triton's image, with tag.

    Returns:
        Arguments of helm.
    """
    values = []
    for place, reference in (("image", operator), ("triton.image", triton)):
        name, _, tag = reference.rpartition(":")
        registry, _, repository = name.partition("/")
        values += [f"{place}.registry={registry}", f"{place}.repository={repository}", f"{place}.tag={tag}"]
    return [word for value in values for word in ("--set-string", value)]


def prometheus_values(cluster: Cluster) -> list[str]:
    """Give the chart's value that leads to the local cluster's Prometheus, if this is one."""
    with suppress(ClusterError):
        cluster.kubectl("get", "service", prometheus.NAME, f"--namespace={prometheus.NAMESPACE}")
        return ["--set-string", f"prometheus.url={prometheus.URL}"]
    return []


def apply(cluster: Cluster) -> None:
    """Apply the example into a namespace that enforces the restricted Pod Security profile."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace).encode())
    console.print(kubectl(cluster, "apply", "-k", ROOT / "examples" / "digits").rstrip())


def watch(cluster: Cluster) -> None:
    """Show the service until it is ready.

    Raises:
        ClusterError: it has failed, or took too long; the message is its own.
    """
    deadline = time.monotonic() + READY_SECONDS
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            service = json.loads(kubectl(cluster, "get", "tisvc", SERVICE, "-o", "json"))
            live.update(view(service))
            conditions = {c["type"]: c for c in service["status"].get("conditions", [])}
            current_generation = service["status"]["observedGeneration"] == service["metadata"]["generation"]
            if current_generation and conditions["Ready"]["status"] == "True":
                return
            if (current_generation and conditions["Stalled"]["status"] == "True") or time.monotonic() > deadline:
                said = conditions.get("Ready", {}).get("message", "the operator has not looked at it")
                raise ClusterError(f"{SERVICE} is not ready: {said}")
            time.sleep(0.5)


def view(service: dict[str, Any]) -> Group:
    """Draw the status of a service."""
    status = service["status"]
    table = Table(box=None, pad_edge=False)
    for column in ("CONDITION", "STATUS", "REASON", "MESSAGE"):
        table.add_column(column)
    colours = {"True": "green", "False": "dim", "Unknown": "yellow"}
    for condition in status.get("conditions", []):
        table.add_row(
            condition["type"],
            Text(condition["status"], style=colours[condition["status"]]),
            condition["reason"],
            condition["message"],
        )
    wanted, ready = service["spec"].get("replicas", 1), status.get("readyReplicas", 0)
    bar = Text("█" * ready, style="green") + Text("░" * max(0, wanted - ready), style="dim")
    return Group(Text(f"{SERVICE}: {status.get('phase', 'Pending')}  pods ") + bar + Text(f" {ready}/{wanted}"), table)


def ask(cluster: Cluster) -> None:
    """Send every sample digit over both protocols and show what comes back.

    Raises:
        ClusterError: an answer is wrong.
    """
    digits_shown = samples()
    pixels = np.array([sample["pixels"] for sample in digits_shown], dtype=np.float32)
    address = cluster.tools / "kubectl", cluster.environment(), f"service/{SERVICE}"
    with forwarded(*address, 8000, 8001, namespace=NAMESPACE) as ports:
        answers = {
            "HTTP": timed(lambda: infer(over_http, f"127.0.0.1:{ports[8000]}", pixels)),
            "gRPC": timed(lambda: infer(over_grpc, f"127.0.0.1:{ports[8001]}", pixels)),
        }
    console.print(picture(pixels[7]))
    for protocol, (probabilities, seconds) in answers.items():
        digits = probabilities.argmax(axis=1).tolist()
        console.print(
            f"over {protocol:4}: the ten digits read as {digits} in {1000 * seconds:.1f} ms;"
            f" the one above is a {digits[7]} ({probabilities[7].max():.0%} sure)"
        )
        if digits != [sample["digit"] for sample in digits_shown]:
            raise ClusterError(f"over {protocol} the model read {digits}")


def samples() -> list[dict[str, Any]]:
    """Read the sample digits: each with its 64 pixels and the digit that it shows."""
    found: list[dict[str, Any]] = json.loads((Path(__file__).parent / "digits.json").read_text())
    return found


def infer(client: Any, address: str, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Ask for the probabilities of digits.

    Args:
        client: tritonclient.http or tritonclient.grpc.
        address: host and port.
        pixels: float32 of shape [n, 64], 0 to 16.

    Returns:
        float32 of shape [n, 10].
    """
    tensor = client.InferInput("PIXELS", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels)
    with client.InferenceServerClient(address) as connection:
        result: np.ndarray[Any, Any] = connection.infer("digits", [tensor]).as_numpy("PROBABILITIES")
    return result


def timed(call: Callable[[], np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], float]:
    """Call, and tell how many seconds it took."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def picture(pixels: np.ndarray[Any, Any]) -> str:
    """Draw a digit of 64 pixels, 0 to 16, with block characters."""
    rows = pixels.reshape(8, 8)
    return "\n".join("".join(SHADES[min(4, int(value) // 4)] * 2 for value in row) for row in rows)


def step(title: str) -> None:
    """Print the heading of a step."""
    console.print(f"\n[bold cyan]==> {title}[/]", soft_wrap=True)


def kubectl(cluster: Cluster, *words: str | Path, namespace: str = NAMESPACE) -> str:
    """Run kubectl in the demo's namespace."""
    return cluster.kubectl(f"--namespace={namespace}", *words)


def helm(cluster: Cluster, *words: str | Path) -> str:
    """Run helm against the cluster."""
    return run([cluster.tools / "helm", *words], environment=cluster.environment(), timeout_seconds=180)


if __name__ == "__main__":
    sys.exit(main())
