"""The pod template of a revision: an init container that prepares the model directory, and Triton.

Not for: the Deployment around it; that is `resources.children`.
"""

import math
from decimal import Decimal
from typing import Any

from triton_operator.api.names import (
    ANNOTATION_GPU,
    CONTAINER_PREPARE,
    CONTAINER_TRITON,
    PORT_GRPC,
    PORT_HTTP,
    PORT_METRICS,
)
from triton_operator.api.pods import Toleration
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.resources import sources as from_sources
from triton_operator.resources.labels import revision_selector
from triton_operator.resources.placement import Placement, node_affinity
from triton_operator.resources.sources import MODELS, VOLUME_BYTES, Source

Json = dict[str, Any]

# Shutdown, in this order: the pod leaves the Service while it still answers, then Triton finishes what is in flight.
PRE_STOP_SECONDS = 10
EXIT_TIMEOUT_SECONDS = 20
GRACE_SECONDS = PRE_STOP_SECONDS + EXIT_TIMEOUT_SECONDS + 15
# The same where a node is taken back at short notice: 30 s on most clouds, of which the kubelet keeps some.
SHORT_EXIT_TIMEOUT_SECONDS = 10
SHORT_GRACE_SECONDS = PRE_STOP_SECONDS + SHORT_EXIT_TIMEOUT_SECONDS + 5
# gRPC clients are asked to connect anew this often; gRPC spreads it by ±10 %. A client may come to a pod that is going
# until the nodes' proxies know, here within 4 s in 97 of 100 cases; by the end of the preStop sleep it must have left,
# since Triton unloads its models while it still hears gRPC, and answers NOT_FOUND.
PROXY_SECONDS = 4
GRPC_CONNECTION_AGE_MILLISECONDS = 5_000
UNSTARTED_GRACE_SECONDS = 1  # nobody can have sent a request to a Triton that has not started
LOST_NODE_SECONDS = 60
PROBE_SECONDS = 5

ADMIN_KEY = "TRITON_OPERATOR_ADMIN_KEY"
RESTRICTED_APIS = "shared-memory,logging,trace"

_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)}
_UNITS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
_LEVELS = {"Error": (1, 0, 0, 0), "Warning": (1, 1, 0, 0), "Info": (1, 1, 1, 0), "Verbose": (1, 1, 1, 1)}
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_template(
    spec: InferenceServiceSpec,
    settings: Settings,
    *,
    labels: dict[str, str],
    placement: Placement,
    sources: tuple[Source, ...],
) -> Json:
    """Render the pod template of a revision.

    Args:
        spec: what the user asks for.
        settings: what the operator contributes.
        labels: labels by which the operator finds the pods.
        placement: what the GPUs ask of a node.
        sources: the model, with its version, and the models that it depends on.

    Returns:
        The template, as in a Deployment.
    """
    runtime = spec.runtime
    pod: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # As process 1 Triton would ignore SIGTERM until it has loaded, and hold its GPUs for the whole grace period.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": SHORT_GRACE_SECONDS if placement.short_notice else GRACE_SECONDS,
        "securityContext": pod_security(spec),
        "initContainers": [_prepare(spec, settings, sources)],
        "containers": [_triton(spec, settings, placement, sources)],
        "volumes": _volumes(spec, placement, sources),
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
        "imagePullSecrets": pull_secrets(spec, settings),
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
    annotations = scraping | (runtime.annotations or {})
    if placement.resource_name:  # the limits alone do not tell it from other devices, such as rdma/hca
        annotations[ANNOTATION_GPU] = placement.resource_name
    return {"metadata": {"labels": (runtime.labels or {}) | labels, "annotations": annotations}, "spec": pod}


def pod_security(spec: InferenceServiceSpec) -> Json:
    """Give the security context of a service's pods."""
    given = spec.runtime.security_context
    security: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if given.run_as_user >= 0:
        security |= {"runAsUser": given.run_as_user}
    if given.fs_group >= 0:
        security |= {"fsGroup": given.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return security


def reader(spec: InferenceServiceSpec, settings: Settings, sources: tuple[Source, ...], *, program: str) -> Json:
    """Build a container that reads the sources of models.

    Args:
        spec: what the user asks for.
        settings: what the operator contributes.
        sources: the models.
        program: module of `triton_operator.models` that it runs.

    Returns:
        The container, without its name.
    """
    return {
        "image": settings.prepareImage,
        "imagePullPolicy": settings.prepareImagePullPolicy,
        "command": ["python", "-m", f"triton_operator.models.{program}"],
        "env": [from_sources.order(sources)],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": CONFINED | {"readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": from_sources.mounts(sources, spec.model.credentials),
    }


def _prepare(spec: InferenceServiceSpec, settings: Settings, sources: tuple[Source, ...]) -> Json:
    container: Json = {"name": CONTAINER_PREPARE} | reader(spec, settings, sources, program="prepare")
    container["volumeMounts"].insert(0, {"name": "models", "mountPath": MODELS})
    scratch = spec.model.scratch
    if scratch and scratch.size:
        container["env"].append({"name": VOLUME_BYTES, "value": str(_bytes(scratch.size))})
        if not scratch.storage_class_name:
            container["resources"]["requests"]["ephemeral-storage"] = scratch.size
    return container


def _bytes(quantity: str) -> int:
    """Read a quantity of Kubernetes as whole bytes."""
    number = quantity.rstrip("KMGTPEikm")
    return int(Decimal(number) * _UNITS[quantity.removeprefix(number)])


def _triton(spec: InferenceServiceSpec, settings: Settings, placement: Placement, sources: tuple[Source, ...]) -> Json:
    runtime, model = spec.runtime, sources[0]
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
        "securityContext": CONFINED | {"readOnlyRootFilesystem": runtime.security_context.read_only_root_filesystem},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "startupProbe": _probe("/v2/health/live", math.ceil(runtime.load_timeout_seconds / PROBE_SECONDS))
        | {"terminationGracePeriodSeconds": UNSTARTED_GRACE_SECONDS},
        "readinessProbe": _probe(f"/v2/models/{model.name}/versions/{model.version}/ready", 3),
        "livenessProbe": _probe("/v2/health/live", 3) | {"periodSeconds": 10, "timeoutSeconds": 5},
        "volumeMounts": _mounts(spec, placement, sources),
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


def _mounts(spec: InferenceServiceSpec, placement: Placement, sources: tuple[Source, ...]) -> list[Json]:
    mounts: list[Json] = [{"name": "models", "mountPath": MODELS, "readOnly": True}]
    if not placement.shared_by_mps:  # the device plugin mounts that of the node, by which MPS works
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    mounts.append({"name": "tmp", "mountPath": "/tmp"})
    mounts += from_sources.linked_mounts(sources)
    return mounts + [_dump(mount) for mount in spec.runtime.volume_mounts or []]


def _volumes(spec: InferenceServiceSpec, placement: Placement, sources: tuple[Source, ...]) -> list[Json]:
    own: list[Json] = [{"name": "models"} | _scratch(spec)]
    if not placement.shared_by_mps:
        own.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.runtime.shared_memory}})
    own += [{"name": "tmp", "emptyDir": {}}, *from_sources.volumes(sources, spec.model.credentials)]
    return own + [_dump(volume) for volume in spec.runtime.volumes or []]


def _scratch(spec: InferenceServiceSpec) -> Json:
    scratch = spec.model.scratch
    if scratch and scratch.storage_class_name:
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": scratch.storage_class_name,
            "resources": {"requests": {"storage": scratch.size}},
        }
        return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
    return {"emptyDir": {"sizeLimit": scratch.size} if scratch and scratch.size else {}}


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


def pull_secrets(spec: InferenceServiceSpec, settings: Settings) -> list[Json]:
    """List the Secrets that pull images."""
    names = [secret.name for secret in spec.runtime.image_pull_secrets or []]
    return [{"name": name} for name in dict.fromkeys([*names, *settings.prepareImagePullSecrets])]


def _dump(model: Any) -> Json:
    dumped: Json = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped
