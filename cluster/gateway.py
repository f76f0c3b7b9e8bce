"""Envoy Gateway in the cluster, and one Gateway that services are reached through from this machine.

Not for: routes; those are made by the operator.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import images, tools
from cluster.cache import Cache, files_below, key
from cluster.engine import Engine
from cluster.kind_config import GATEWAY_NODE_PORT
from cluster.processes import run
from cluster.progress import step

Kubectl = Callable[..., str]
Json = dict[str, Any]

SYSTEM = "envoy-gateway-system"
NAMESPACE = "gateways"
NAME = "inference"
CONTROL = "envoy-gateway"
ENVOY_REPOSITORY = "localhost/envoy"
CONTROL_REPOSITORY = "localhost/envoy-gateway"
HERE = Path(__file__).parent / "images"


def build_images(cache: Cache, engine: Engine, base: str | None) -> tuple[str, str]:
    """Build the images of Envoy Gateway and of Envoy when the engine has none; the cache's lock must be held.

    Returns:
        Their names.
    """
    program = tools.build(cache, [tools.ENVOY_GATEWAY])[tools.ENVOY_GATEWAY.name]
    recipe = HERE / "envoy-gateway" / "Containerfile"
    control = f"{CONTROL_REPOSITORY}:{key(HERE, [recipe], program.parent.name)}"
    if not engine.has_image(control):
        with step("building the Envoy Gateway image", about_seconds=5):
            engine.build(program.parent, containerfile=recipe, tags=[control], arguments={}, secrets={})
        engine.remove_superseded(CONTROL_REPOSITORY, keep=control)
    envoy = f"{ENVOY_REPOSITORY}:{key(HERE, files_below(HERE / 'envoy'), base or '')}"
    if not engine.has_image(envoy):
        with step("building the Envoy image", about_seconds=30), images.pip_secrets() as secrets:
            engine.build(
                HERE / "envoy",
                containerfile=HERE / "envoy" / "Containerfile",
                tags=[envoy],
                arguments={"BASE": base} if base else {},
                secrets=secrets,
            )
        engine.remove_superseded(ENVOY_REPOSITORY, keep=envoy)
    return control, envoy


def install(cache: Cache, kubectl: Kubectl, helm: Callable[..., str], *, control: str, envoy: str) -> None:
    """Install Envoy Gateway by its own chart, and make the Gateway `inference` in the namespace `gateways`.

    Args:
        cache: where the chart is made ready; its lock must be held.
        kubectl: runs kubectl.
        helm: runs helm.
        control: image of Envoy Gateway.
        envoy: image of Envoy.
    """
    with step("installing Envoy Gateway", about_seconds=30):
        helm("upgrade", "--install", "eg", chart(cache), "--namespace", SYSTEM, "--create-namespace",
             "--wait", "--timeout", "180s",
             "--set", f"global.images.envoyGateway.image={control}",
             "--set", "global.images.envoyGateway.pullPolicy=IfNotPresent",
             "--set", "deployment.envoyGateway.resources.requests.cpu=20m")  # fmt: skip
        kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": _gateway(envoy)}).encode(),
        )
        kubectl(
            "wait",
            f"gateway/{NAME}",
            f"--namespace={NAMESPACE}",
            "--for=condition=Programmed",
            "--timeout=120s",
            timeout_seconds=130,
        )


def service_of(kubectl: Kubectl) -> str:
    """The name of the Service of the Gateway's proxies, in the namespace `SYSTEM`; its port is 80."""
    selector = f"--selector=gateway.envoyproxy.io/owning-gateway-name={NAME}"
    (found,) = json.loads(kubectl("get", "services", f"--namespace={SYSTEM}", selector, "--output=json"))["items"]
    return str(found["metadata"]["name"])


def chart(cache: Cache) -> Path:
    """Take the chart out of the Go module, whose values are a template."""
    source = tools.HERE / tools.ENVOY_GATEWAY.module
    found = run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/gateway"],
        cwd=source,
        environment={"GOFLAGS": "-mod=mod"},
    )
    chart = Path(found.strip()) / "charts" / "gateway-helm"
    target = cache.folder("charts") / f"{tools.folder_of(cache, tools.ENVOY_GATEWAY.module).name}"
    if not target.exists():
        with cache.published(target) as making:
            shutil.copytree(chart, making, copy_function=shutil.copyfile)
            for path in (making, *making.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            values = (making / "values.tmpl.yaml").read_text()
            for name, value in {"GatewayImage": "envoy-gateway", "GatewayImagePullPolicy": "IfNotPresent"}.items():
                values = values.replace(f"${{{name}}}", value)
            (making / "values.yaml").write_text(values)
    return target


def _gateway(envoy: str) -> list[Json]:
    """One Gateway for routes of all namespaces, at a NodePort that kind publishes."""
    port = {"name": "http-80", "port": 80, "protocol": "TCP", "nodePort": GATEWAY_NODE_PORT}
    kubernetes = {
        "envoyDeployment": {
            "container": {"image": envoy, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}
        },
        # With the policy Local the published port is dead when Envoy runs on another node.
        "envoyService": {
            "type": "NodePort",
            "externalTrafficPolicy": "Cluster",
            "patch": {"value": {"spec": {"ports": [port]}}},
        },
    }
    api, group = "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": "envoy"},
            "spec": {"controllerName": f"{group}/gatewayclass-controller"},
        },
        {
            "apiVersion": f"{group}/v1alpha1",
            "kind": "EnvoyProxy",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "provider": {"type": "Kubernetes", "kubernetes": kubernetes},
                # Without it nobody sees which gRPC calls on an HTTPRoute have failed.
                "telemetry": {"metrics": {"enableGRPCStats": True}},
            },
        },
        {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": "envoy",
                "infrastructure": {"parametersRef": {"group": group, "kind": "EnvoyProxy", "name": NAME}},
                "listeners": [
                    {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
                ],
            },
        },
    ]
