"""The short-lived pod that finds out versions and digests with the user's credentials, in the user's namespace.

Not for: what follows from its answer; that is `core.resolution`.
"""

from typing import Any

from triton_operator.api.names import (
    CONTAINER_RESOLVE,
    GROUP,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_RESOLVES,
    OPERATOR,
)
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.resources import sources as from_sources
from triton_operator.resources.children import Owner
from triton_operator.resources.labels import metadata
from triton_operator.resources.placement import Placement, node_affinity
from triton_operator.resources.pod import pod_security, pull_secrets, reader
from triton_operator.resources.sources import Source

Json = dict[str, Any]

NEVER = f"{GROUP}/never"
"""A condition that nobody sets: a pod whose readiness waits for it is never ready."""
SECONDS = 600
"""How long it may run; its own patience with a server that does not answer is shorter."""


def resolver_pod(
    owner: Owner, name: str, spec: InferenceServiceSpec, settings: Settings, sources: tuple[Source, ...]
) -> Json:
    """Build the pod.

    It has the labels and annotations that the user gives to the service's pods, since webhooks go by them, for workload
    identity say, and it runs where those may run. It is none of them: the operator's own labels differ, and it is never
    ready, so that no Service sends it requests, the user's own included. It asks for no GPU and needs no RuntimeClass.

    Args:
        owner: the service.
        name: its name, which stands for what it is to find out.
        spec: what the user asks for.
        settings: what the operator contributes.
        sources: the models, with the versions that are known.

    Returns:
        The pod.
    """
    runtime = spec.runtime
    affinity = node_affinity(Placement(), runtime.node_affinity)
    container = {"name": CONTAINER_RESOLVE} | reader(spec, settings, sources, program="resolve")
    pod: Json = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "readinessGates": [{"conditionType": NEVER}],
        "securityContext": pod_security(spec),
        "containers": [container],
        "volumes": from_sources.volumes(sources, spec.model.credentials),
    }
    optional = {
        "imagePullSecrets": pull_secrets(spec, settings),
        "serviceAccountName": runtime.service_account_name,
        "priorityClassName": runtime.priority_class_name,
        "schedulerName": runtime.scheduler_name,
        "nodeSelector": runtime.node_selector,
        "affinity": {"nodeAffinity": affinity} if affinity else None,
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in runtime.tolerations or []],
    }
    pod |= {key: value for key, value in optional.items() if value}
    own = {LABEL_MANAGED_BY: OPERATOR, LABEL_COMPONENT: "resolver", LABEL_RESOLVES: owner.name}
    labels = {key: value for key, value in (runtime.labels or {}).items() if not key.startswith(f"{GROUP}/")} | own
    described = metadata(name, owner.namespace, labels, owner=owner.name, owner_uid=owner.uid)
    if runtime.annotations:
        described["annotations"] = dict(runtime.annotations)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": described, "spec": pod}
