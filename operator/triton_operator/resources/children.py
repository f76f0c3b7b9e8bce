"""The children of a service around its pods: Deployment, Services, PodDisruptionBudget, ControllerRevision, record.

Each builder returns the object as server-side apply wants it: only the fields that the operator means.
Not for: the pod template; that is `resources.pod`.
"""

from dataclasses import dataclass
from typing import Any

from triton_operator.api.names import (
    ANNOTATION_REJECTED,
    ANNOTATION_RESTARTED,
    ANNOTATION_STABLE,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    LABEL_SERVICE,
    POD_DISRUPTION_BUDGET,
    PORT_GRPC,
    PORT_HTTP,
    SERVICE,
    Kind,
)
from triton_operator.resources.labels import NO_REVISION, metadata, revision_labels, revision_selector, service_labels

Json = dict[str, Any]

_PORTS = [
    {"name": "http", "port": PORT_HTTP, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
    {"name": "grpc", "port": PORT_GRPC, "targetPort": "grpc", "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
]


@dataclass(frozen=True, slots=True)
class Owner:
    """The InferenceService that children belong to."""

    name: str
    namespace: str
    uid: str


def record_name(service: str) -> str:
    """Name the record of a service."""
    return f"{service}-record"


def headless_name(service: str) -> str:
    """Name the headless twin of a service's Service."""
    return f"{service}-headless"


def deployment(
    owner: Owner,
    revision: str,
    *,
    template: Json,
    replicas: int,
    progress_deadline_seconds: int,
    restarted: str | None,
    surge: bool,
) -> Json:
    """Build the Deployment of a revision.

    Args:
        owner: the service.
        revision: name of the revision.
        template: its frozen pod template.
        replicas: pods to run, 0 or more.
        progress_deadline_seconds: after this long without one more ready pod its condition Progressing is False.
        restarted: when a person had its pods restarted, RFC 3339, or None.
        surge: whether a restart may make a pod before it ends another.

    Returns:
        The Deployment. It rolls, pod by pod, only when a person has its pods restarted.
    """
    if restarted:
        annotations = template["metadata"].get("annotations", {}) | {ANNOTATION_RESTARTED: restarted}
        template = template | {"metadata": template["metadata"] | {"annotations": annotations}}
    return _child(DEPLOYMENT, owner, revision, revision_labels(owner.name, revision)) | {
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": progress_deadline_seconds,
            "selector": {"matchLabels": revision_selector(revision)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": int(surge), "maxUnavailable": int(not surge)},
            },
            "template": template,
        }
    }


def revision_service(owner: Owner, revision: str) -> Json:
    """Build the Service of one revision."""
    return _service(owner, revision, revision_labels(owner.name, revision), revision_selector(revision))


def stable_service(owner: Owner, serving: tuple[str, ...], *, stable: str | None = None) -> Json:
    """Build the Service that callers use.

    Args:
        owner: the service.
        serving: revisions in service: one narrows the selector to it; several widen it to all pods of the service;
            without any it selects none.
        stable: which of several has proven itself, while another one is on trial; None where none is.

    Returns:
        The Service, named like the InferenceService.
    """
    body = _service(owner, owner.name, service_labels(owner.name), serving_selector(owner.name, serving))
    if stable:
        body["metadata"]["annotations"] = {ANNOTATION_STABLE: stable}
    return body


def headless_service(owner: Owner, serving: tuple[str, ...]) -> Json:
    """Build the headless twin, for clients that balance gRPC by themselves."""
    body = _service(owner, headless_name(owner.name), service_labels(owner.name), serving_selector(owner.name, serving))
    body["spec"]["clusterIP"] = "None"
    return body


def serving_selector(service: str, serving: tuple[str, ...]) -> dict[str, str]:
    """Select the pods in service: of one revision, of all while one takes over from another, or none."""
    if len(serving) > 1:
        return {LABEL_SERVICE: service}
    return {LABEL_SERVICE: service} | revision_selector(serving[0] if serving else NO_REVISION)


def budget(owner: Owner, revision: str) -> Json:
    """Build the PodDisruptionBudget of a revision: one pod at a time, and broken pods always."""
    return _child(POD_DISRUPTION_BUDGET, owner, revision, revision_labels(owner.name, revision)) | {
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": revision_selector(revision)},
        }
    }


def controller_revision(owner: Owner, revision: str, *, number: int, data: Json, rejected: str | None) -> Json:
    """Build the ControllerRevision that keeps a revision.

    Args:
        owner: the service.
        revision: name of the revision.
        number: its number, 1 or more: the greatest is that of the revision that was asked for last.
        data: the revision, see `core.revision.to_data`.
        rejected: why its spec is held, see `core.record_text.print_held`, or None.

    Returns:
        The ControllerRevision; of one that exists only the annotation and the number ever change.
    """
    body = _child(CONTROLLER_REVISION, owner, revision, revision_labels(owner.name, revision))
    if rejected:
        body["metadata"]["annotations"] = {ANNOTATION_REJECTED: rejected}
    return body | {"revision": number, "data": data}


def record(owner: Owner, text: str, key: str) -> Json:
    """Build the ConfigMap that keeps the record."""
    return _child(CONFIG_MAP, owner, record_name(owner.name), service_labels(owner.name)) | {"data": {key: text}}


def config_map_copy(owner: Owner, name: str, content: Json | None) -> Json:
    """Build the immutable copy of a ConfigMap.

    Args:
        owner: the service.
        name: name of the copy.
        content: the ConfigMap; None for an empty copy.
    """
    found = content or {}
    filled = {field: found[field] for field in ("data", "binaryData") if found.get(field)}
    return _child(CONFIG_MAP, owner, name, service_labels(owner.name)) | {"immutable": True} | filled


def _service(owner: Owner, name: str, labels: dict[str, str], selector: dict[str, str]) -> Json:
    return _child(SERVICE, owner, name, labels) | {
        "spec": {"type": "ClusterIP", "selector": selector, "ports": [dict(port) for port in _PORTS]}
    }


def _child(kind: Kind, owner: Owner, name: str, labels: dict[str, str]) -> Json:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata(name, owner.namespace, labels, owner=owner.name, owner_uid=owner.uid),
    }
