"""The pod template of a revision: an init container that prepares the model directory, and Triton.

Not for: the Deployment around it; that is `resources.children`.
"""

import json
import math
from typing import Any

from triton_operator.api.names import CONTAINER_PREPARE, CONTAINER_TRITON, PORT_GRPC, PORT_HTTP, PORT_METRICS
from triton_operator.api.pods import Toleration
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec, Model
from triton_operator.resources.labels import revision_selector
from triton_operator.resources.placement import Placement, node_affinity

Json = dict[str, Any]

# Shutdown, in this order: the pod leaves the Service while it still answers, then Triton finishes what is in flight.
PRE_STOP_SECONDS = 10
EXIT_TIMEOUT_SECONDS = 20
GRACE_SECONDS = PRE_STOP_SECONDS + EXIT_TIMEOUT_SECONDS + 15
# The same where a node is taken back at short notice: 30 s on most clouds, of which the kubelet keeps some.
SHORT_EXIT_TIMEOUT_SECONDS = 10
SHORT_GRACE_SECONDS = PRE_STOP_SECONDS + SHORT_EXIT_TIMEOUT_SECONDS + 5
# gRPC clients are asked to connect anew this often; gRPC spreads it by ±10 %. It must stay below the preStop sleep,
# so that a client has left a pod that is going before Triton stops to listen.
GRPC_CONNECTION_AGE_MILLISECONDS = 8_000
UNSTARTED_GRACE_SECONDS = 1  # nobody can have sent a request to a Triton that has not started
LOST_NODE_SECONDS = 60
PROBE_SECONDS = 5

MODELS = "/models"
SOURCE = "/source"
ADMIN_KEY = "TRITON_OPERATOR_ADMIN_KEY"
ORDER = "TRITON_OPERATOR_PREPARE"  # what the init container is to do, as JSON
RESTRICTED_APIS = "shared-memory,logging,trace"

_LEVELS = {"Error": (1, 0, 0, 0), "Warning": (1, 1, 0, 0), "Info": (1, 1, 1, 0), "Verbose": (1, 1, 1, 1)}
_CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_template(
    spec: InferenceServiceSpec, settings: Settings, *, labels: dict[str, str], placement: Placement
) -> Json:
    """Render the pod template of a revision.

    Args:
        spec: what the user asks for.
        settings: what the operator contributes.
        labels: labels by which the operator finds the pods.
        placement: what the GPUs ask of a node.

    Returns:
        The template, as in a Deployment.
    """
    runtime = spec.runtime
    security: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if runtime.security_context.run_as_user >= 0:
        security |= {"runAsUser": runtime.security_context.run_as_user}
    if runtime.security_context.fs_group >= 0:
        security |= {"fsGroup": runtime.security_context.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    pod: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # As process 1 Triton would ignore SIGTERM until it has loaded, and hold its GPUs for the whole grace period.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": SHORT_GRACE_SECONDS if placement.short_notice else GRACE_SECONDS,
        "securityContext": security,
        "initContainers": [_prepare(spec, settings)],
        "containers": [_triton(spec, settings, placement)],
        "volumes": _volumes(spec, placement),
        "tolerations": _tolerations(spec, placement),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {k: v for k, v in labels.items() if k in revision_selector("")}},
            }
        ],
    }
    affinity = node_affinity(placement, runtime.node_affinity)
    optional = {
        "imagePullSecrets": _pull_secrets(spec, settings),
        "serviceAccountName": runtime.service_account_name,
        "priorityClassName": runtime.priority_class_name,
        "runtimeClassName": runtime.runtime_class_name,
        "schedulerName": runtime.scheduler_name,
        "nodeSelector": runtime.node_selector,
        "affinity": {"nodeAffinity": affinity} if affinity else None,
    }
    pod |= {key: value for key, value in optional.items() if value}
    scraping = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT_METRICS),
        "prometheus.io/path": "/metrics",
    }
    return {
        "metadata": {"labels": (runtime.labels or {}) | labels, "annotations": scraping | (runtime.annotations or {})},
        "spec": pod,
    }


def _prepare(spec: InferenceServiceSpec, settings: Settings) -> Json:
    model = spec.model
    order = {
        "repository": MODELS,
        "models": [
            {
                "name": model.name,
                "version": model.version,
                "uri": model.uri,
                "source": _source_path(model),
                "layout": "flat" if model.uri.startswith("configmap://") else "directory",
                "kind": "KIND_GPU" if spec.gpu.count else None,
                "digest": None,
            }
        ],
    }
    return {
        "name": CONTAINER_PREPARE,
        "image": settings.prepareImage,
        "imagePullPolicy": settings.prepareImagePullPolicy,
        "command": ["python", "-m", "triton_operator.models.prepare"],
        "env": [{"name": ORDER, "value": _literal(json.dumps(order, sort_keys=True))}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": _CONFINED | {"readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS},
            {"name": "source", "mountPath": SOURCE, "readOnly": True},
        ],
    }


def _triton(spec: InferenceServiceSpec, settings: Settings, placement: Placement) -> Json:
    runtime, model = spec.runtime, spec.model
    container: Json = {
        "name": CONTAINER_TRITON,
        "image": runtime.image or settings.tritonImage,
        "args": [*_arguments(spec, placement), *(runtime.args or [])],
        "env": _environment(spec),
        "ports": [
            {"name": "http", "containerPort": PORT_HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": PORT_GRPC, "protocol": "TCP"},
            {"name": "metrics", "containerPort": PORT_METRICS, "protocol": "TCP"},
        ],
        "resources": _resources(spec, placement),
        "securityContext": _CONFINED | {"readOnlyRootFilesystem": runtime.security_context.read_only_root_filesystem},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "startupProbe": _probe("/v2/health/live", math.ceil(runtime.load_timeout_seconds / PROBE_SECONDS))
        | {"terminationGracePeriodSeconds": UNSTARTED_GRACE_SECONDS},
        "readinessProbe": _probe(f"/v2/models/{model.name}/versions/{model.version}/ready", 3),
        "livenessProbe": _probe("/v2/health/live", 3) | {"periodSeconds": 10, "timeoutSeconds": 5},
        "volumeMounts": _mounts(spec, placement),
    }
    if runtime.image_pull_policy:
        container["imagePullPolicy"] = runtime.image_pull_policy
    return container


def _arguments(spec: InferenceServiceSpec, placement: Placement) -> list[str]:
    exit_timeout = SHORT_EXIT_TIMEOUT_SECONDS if placement.short_notice else EXIT_TIMEOUT_SECONDS
    error, warning, info, verbose = _LEVELS[spec.runtime.log.level]
    return [
        "tritonserver",
        f"--model-repository={MODELS}",
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=false",
        f"--exit-timeout-secs={exit_timeout}",
        f"--http-port={PORT_HTTP}",
        f"--grpc-port={PORT_GRPC}",
        f"--metrics-port={PORT_METRICS}",
        f"--grpc-max-connection-age={GRPC_CONNECTION_AGE_MILLISECONDS}",
        f"--http-restricted-api={RESTRICTED_APIS}:triton-operator-admin=$({ADMIN_KEY})",
        f"--grpc-restricted-protocol={RESTRICTED_APIS}:triton-operator-admin=$({ADMIN_KEY})",
        f"--log-error={error}",
        f"--log-warning={warning}",
        f"--log-info={info}",
        f"--log-verbose={verbose}",
        f"--log-format={spec.runtime.log.format.replace('Default', 'default')}",
    ]


def _environment(spec: InferenceServiceSpec) -> list[Json]:
    given = [_dump(variable) for variable in spec.runtime.env or []]
    names = {variable["name"] for variable in given}
    # The pod's own uid is a key that no client knows and nobody has to keep.
    own: list[Json] = [
        {"name": ADMIN_KEY, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}
    ]
    own.append({"name": "HOME", "value": "/tmp"})
    if spec.gpu.count == 0:  # with no GPU asked for, some runtimes show a container all of them
        own.append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"})
    return [variable for variable in own if variable["name"] not in names] + given


def _resources(spec: InferenceServiceSpec, placement: Placement) -> Json:
    given = _dump(spec.runtime.resources) if spec.runtime.resources else {}
    resources = given or {"requests": {"cpu": "1", "memory": "2Gi"}}
    if placement.resource_name:
        resources["limits"] = resources.get("limits", {}) | {placement.resource_name: str(placement.count)}
    return resources


def _probe(path: str, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _mounts(spec: InferenceServiceSpec, placement: Placement) -> list[Json]:
    mounts: list[Json] = [{"name": "models", "mountPath": MODELS, "readOnly": True}]
    if not placement.shared_by_mps:  # the device plugin mounts that of the node, by which MPS works
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    mounts.append({"name": "tmp", "mountPath": "/tmp"})
    if not spec.model.uri.startswith("configmap://"):  # the model directory is linked, not copied
        mounts.append({"name": "source", "mountPath": SOURCE, "readOnly": True})
    return mounts + [_dump(mount) for mount in spec.runtime.volume_mounts or []]


def _volumes(spec: InferenceServiceSpec, placement: Placement) -> list[Json]:
    scheme, _, rest = spec.model.uri.partition("://")
    source: Json
    if scheme == "configmap":
        source = {"configMap": {"name": rest}}
    else:
        source = {"persistentVolumeClaim": {"claimName": rest.split("/", 1)[0], "readOnly": True}}
    own: list[Json] = [{"name": "models", "emptyDir": {}}]
    if not placement.shared_by_mps:
        own.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.runtime.shared_memory}})
    own += [{"name": "tmp", "emptyDir": {}}, {"name": "source"} | source]
    return own + [_dump(volume) for volume in spec.runtime.volumes or []]


def _tolerations(spec: InferenceServiceSpec, placement: Placement) -> list[Json]:
    given = spec.runtime.tolerations or []
    dumped = [_dump(toleration) for toleration in given]
    own = [
        {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute"}
        | {"tolerationSeconds": LOST_NODE_SECONDS}
        for state in ("not-ready", "unreachable")
    ]
    kept = [toleration for toleration in own if not _covered(toleration, given)]
    return kept + [dict(t) for t in placement.tolerations if t not in dumped] + dumped


def _covered(own: Json, given: list[Toleration]) -> bool:
    return any(t.key == own["key"] and t.effect in (None, own["effect"]) for t in given)


def _pull_secrets(spec: InferenceServiceSpec, settings: Settings) -> list[Json]:
    names = [secret.name for secret in spec.runtime.image_pull_secrets or []]
    return [{"name": name} for name in dict.fromkeys([*names, *settings.prepareImagePullSecrets])]


def _source_path(model: Model) -> str:
    if model.uri.startswith("configmap://"):
        return SOURCE
    _, _, path = model.uri.removeprefix("pvc://").partition("/")
    return f"{SOURCE}/{path}".rstrip("/")


def _literal(value: str) -> str:
    """Keep Kubernetes from expanding $(VARIABLE) in a value."""
    return value.replace("$", "$$")


def _dump(model: Any) -> Json:
    dumped: Json = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped
