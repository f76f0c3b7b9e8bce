"""Prometheus in the cluster: it scrapes the proxies of Envoy Gateway. And the kind PodMonitor, which nobody heeds here.

Not for: what is asked of it; that is the operator's.
"""

import json
from pathlib import Path
from typing import Any

from cluster import debian, tools
from cluster.cache import Cache, key
from cluster.engine import Engine
from cluster.gateway import HERE, SYSTEM, Kubectl
from cluster.processes import run
from cluster.progress import step

Json = dict[str, Any]

NAMESPACE = "monitoring"
NAME = "prometheus"
URL = f"http://{NAME}.{NAMESPACE}.svc:9090"
REPOSITORY = "localhost/prometheus"
SCRAPE_SECONDS = 5
PACKAGE = "prometheus"
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"

_PROXIES = "envoy-metrics"
_PROXY_PORT = 19001
_CONFIG: Json = {
    "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "4s"},
    "scrape_configs": [
        {
            "job_name": "envoy",
            "metrics_path": "/stats/prometheus",
            # Debian's Prometheus does not discover pods: a headless Service lists them.
            "dns_sd_configs": [
                {
                    "names": [f"{_PROXIES}.{SYSTEM}.svc.cluster.local"],
                    "type": "A",
                    "port": _PROXY_PORT,
                    "refresh_interval": f"{SCRAPE_SECONDS}s",
                }
            ],
        }
    ],
}


def build_image(cache: Cache, engine: Engine, base: str | None) -> str:
    """Build the image when the engine has none, and return its name; the cache's lock must be held."""
    program = debian.program_of(cache, PACKAGE, "usr/bin/prometheus")
    recipe = HERE / "prometheus" / "Containerfile"
    name = f"{REPOSITORY}:{key(HERE, [recipe], program.parent.name, base or '')}"
    if not engine.has_image(name):
        arguments = {"BASE": base} if base else {}
        with step("building the Prometheus image", about_seconds=10):
            engine.build(program.parent, containerfile=recipe, tags=[name], arguments=arguments, secrets={})
        engine.remove_superseded(REPOSITORY, keep=name)
    return name


def install(kubectl: Kubectl, *, image: str) -> None:
    """Run one Prometheus, at `prometheus.monitoring.svc:9090`, and install the CRD of PodMonitors."""
    with step("installing Prometheus", about_seconds=10):
        kubectl("apply", "--server-side", "--force-conflicts", f"--filename={pod_monitors()}")
        body = {"apiVersion": "v1", "kind": "List", "items": _objects(image)}
        kubectl("apply", "-f", "-", stdin=json.dumps(body).encode())
        kubectl("rollout", "status", f"deployment/{NAME}", f"--namespace={NAMESPACE}", "--timeout=90s")


def pod_monitors() -> Path:
    """Fetch the CRD of PodMonitors out of the Go module of the Prometheus Operator."""
    source = tools.HERE / "prometheus-operator"
    told = json.loads(run(["go", "mod", "download", "-json", _OPERATOR], cwd=source))
    return Path(told["Dir"]) / "example" / "prometheus-operator-crd" / "monitoring.coreos.com_podmonitors.yaml"


def _objects(image: str) -> list[Json]:
    place = {"name": NAME, "namespace": NAMESPACE}
    labels = {"app": NAME}
    container = {
        "name": NAME,
        "image": image,
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/data",
            "--storage.tsdb.retention.time=2h",
        ],
        "ports": [{"name": "http", "containerPort": 9090}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}, {"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}, {"name": "data", "emptyDir": {}}],
    }
    deployment = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    proxies = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"app.kubernetes.io/component": "proxy", "app.kubernetes.io/managed-by": "envoy-gateway"},
        "ports": [{"name": "metrics", "port": _PROXY_PORT, "targetPort": _PROXY_PORT}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _PROXIES, "namespace": SYSTEM},
            "spec": proxies,
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {"prometheus.yml": json.dumps(_CONFIG)}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place, "spec": deployment},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 9090, "targetPort": "http"}]},
        },
    ]
