"""Labels, selectors and owner references of a service's children.

Not for: users' labels; those are copied only where spec.runtime.labels says so.
"""

from typing import Any

from triton_operator.api.names import (
    API_VERSION,
    INFERENCE_SERVICE,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    LABEL_SERVICE,
    OPERATOR,
)

Json = dict[str, Any]


def service_labels(service: str) -> dict[str, str]:
    """Give the labels of a child that belongs to the service as a whole."""
    return {LABEL_MANAGED_BY: OPERATOR, LABEL_SERVICE: service}


def revision_labels(service: str, revision: str) -> dict[str, str]:
    """Give the labels of a child, or pod, that belongs to one revision of a service."""
    return {
        LABEL_COMPONENT: "model-server",
        LABEL_MANAGED_BY: OPERATOR,
        LABEL_SERVICE: service,
        LABEL_REVISION: revision,
    }


NO_REVISION = "none"
"""Stands for a revision where none may be selected; the names of revisions have a hyphen."""


def revision_selector(revision: str) -> dict[str, str]:
    """Select the pods of one revision."""
    return {LABEL_REVISION: revision}


def metadata(name: str, namespace: str, labels: dict[str, str], *, owner: str, owner_uid: str) -> Json:
    """Build the metadata of a child.

    Args:
        name: name of the child.
        namespace: namespace of the child and of its owner.
        labels: labels of the child.
        owner: name of the InferenceService.
        owner_uid: uid of the InferenceService.

    Returns:
        The metadata, with the InferenceService as controller.
    """
    return {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": INFERENCE_SERVICE.kind,
                "name": owner,
                "uid": owner_uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
