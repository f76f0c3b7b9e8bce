"""The PodMonitor of a service: how a Prometheus that the Prometheus Operator runs finds the counters of its pods.

Not for: other Prometheuses; those find the pods by their annotations, see `resources.pod`.
"""

from typing import Any

from triton_operator.api.names import LABEL_REVISION, LABEL_SERVICE, POD_MONITOR
from triton_operator.api.settings import PodMonitor
from triton_operator.resources.children import Owner
from triton_operator.resources.labels import metadata, service_labels

Json = dict[str, Any]

_TOLD = {"inference_service": LABEL_SERVICE, "revision": LABEL_REVISION}


def monitor_name(service: str) -> str:
    """Name the PodMonitor of a service."""
    return f"{service}-metrics"


def pod_monitor(owner: Owner, settings: PodMonitor) -> Json:
    """Build the PodMonitor of a service: all its pods, of every revision.

    Args:
        owner: the service.
        settings: what the administrator says of all of them.

    Returns:
        The PodMonitor. Series get the labels `inference_service` and `revision` beside those that Prometheus adds.
    """
    labels = settings.labels | service_labels(owner.name)
    return {
        "apiVersion": POD_MONITOR.api_version,
        "kind": POD_MONITOR.kind,
        "metadata": metadata(monitor_name(owner.name), owner.namespace, labels, owner=owner.name, owner_uid=owner.uid),
        "spec": {
            "selector": {"matchLabels": {LABEL_SERVICE: owner.name}},
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": f"{settings.intervalSeconds}s",
                    "relabelings": [
                        {"sourceLabels": [_discovered(label)], "targetLabel": target} for target, label in _TOLD.items()
                    ],
                }
            ],
        },
    }


def _discovered(label: str) -> str:
    """Write the label of a pod as Prometheus does when it discovers it."""
    return "__meta_kubernetes_pod_label_" + "".join(c if c.isalnum() else "_" for c in label)
