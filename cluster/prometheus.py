"""Prometheus in the cluster: it scrapes the proxies of Envoy Gateway, and pods that ask for it by their annotations.

And the kind PodMonitor, which nobody heeds here.

Not for: what is asked of it; that is the operator's.
"""

import json
from pathlib import Path
from typing import Any

from cluster import tools
from cluster.cache import Cache, key
from cluster.engine import Engine
from cluster.gateway import HERE, Kubectl
from cluster.processes import run
from cluster.progress import step

Json = dict[str, Any]

NAMESPACE = "monitoring"
NAME = "prometheus"
URL = f"http://{NAME}.{NAMESPACE}.svc:9090"
REPOSITORY = "localhost/prometheus"
SCRAPE_SECONDS = 5
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"

_PROXY_PORT = 19001


def _pods(job: str, *rules: Json, path: str = "/metrics") -> Json:
    """A job that scrapes pods, whose series have the labels that a PodMonitor gives them."""
    names = ({"source_labels": [f"__meta_kubernetes_{of}"], "target_label": to} for of, to in _NAMED.items())
    return {
        "job_name": job,
        "metrics_path": path,
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [*rules, *names],
    }


_NAMED = {"namespace": "namespace", "pod_name": "pod"}
_MANAGED = "__meta_kubernetes_pod_label_app_kubernetes_io_managed_by"
_COMPONENT = "__meta_kubernetes_pod_label_app_kubernetes_io_component"
_ADDRESS = {"target_label": "__address__"}
_CONFIG: Json = {
    "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "4s"},
    "scrape_configs": [
        _pods(
            "envoy",
            {"source_labels": [_MANAGED, _COMPONENT], "regex": "envoy-gateway;proxy", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_pod_ip"], "replacement": f"$1:{_PROXY_PORT}"} | _ADDRESS,
            path="/stats/prometheus",
        ),
        # By the annotations, as a Prometheus without its operator does.
        _pods(
            "pods",
            {
                "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
                "regex": "true",
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_pod_container_init"], "regex": "false", "action": "keep"},
            {
                "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_port"],
                "target_label": "__meta_kubernetes_pod_container_port_number",
                "action": "keepequal",
            },
        ),
    ],
}


def build_image(cache: Cache, engine: Engine) -> str:
    """Build the image when the engine has none, and return its name; the cache's lock must be held."""
    program = tools.build(cache, [tools.PROMETHEUS])[tools.PROMETHEUS.name]
    recipe = HERE / "prometheus" / "Containerfile"
    name = f"{REPOSITORY}:{key(HERE, [recipe], program.parent.name)}"
    if not engine.has_image(name):
        with step("building the Prometheus image", about_seconds=10):
            engine.build(program.parent, containerfile=recipe, tags=[name], arguments={}, secrets={})
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
        "serviceAccountName": NAME,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}, {"name": "data", "emptyDir": {}}],
    }
    deployment = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    may = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": may},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": role,
            "subjects": [subject],
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
