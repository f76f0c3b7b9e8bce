"""InferenceServices as an API server shows them: a manifest, the CRD's defaults, and the status written last."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.core.simulator import OWNER, SERVICE, Cluster
from triton_operator.api.names import API_VERSION, INFERENCE_SERVICE
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.cli.breaches import defaulted, schema

Json = dict[str, Any]


def manifest(spec: InferenceServiceSpec, **metadata: Any) -> Json:
    """Give what a person has in Git."""
    return {
        "apiVersion": API_VERSION,
        "kind": INFERENCE_SERVICE.kind,
        "metadata": {"name": SERVICE, "namespace": OWNER.namespace} | metadata,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True),
    }


def live(given: Json, *, generation: int, status: Json, resource_version: int = 1) -> Json:
    """Give what an API server shows of a manifest that was applied."""
    body: Json = defaulted(deepcopy({key: value for key, value in given.items() if key != "status"}), schema())
    body["metadata"] |= {
        "creationTimestamp": "2026-12-01T12:00:00Z",
        "generation": generation,
        "resourceVersion": str(resource_version),
        "uid": OWNER.uid,
    }
    return body | {"status": deepcopy(status)}


def shown(cluster: Cluster) -> Json:
    """Give the service of a simulated cluster as it is now."""
    return live(
        manifest(cluster.spec),
        generation=cluster.generation,
        status=cluster.status,
        resource_version=cluster.writes + 1,
    )


class Watched(Cluster):
    """A cluster whose service is looked at after each tick in which it has changed."""

    look: Callable[["Watched"], None] | None = None
    _last: tuple[int, Json] | None = None

    def tick(self, *, controllers: bool = True) -> None:
        super().tick(controllers=controllers)
        now = (self.generation, self.status)
        if self.look and now != self._last:
            self._last = now
            self.look(self)
