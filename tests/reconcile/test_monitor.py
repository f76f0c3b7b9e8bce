"""The PodMonitor of a service on a real API server that has the kind, as the Prometheus Operator defines it."""

from typing import Any

import pytest

from triton_operator.api import names

pytestmark = pytest.mark.cluster


async def test_a_service_keeps_one_monitor_as_it_should_be(services, operator) -> None:
    await services.apply("a")

    async def monitor() -> Any:
        return await services.get("a-metrics", names.POD_MONITOR)

    made = await operator.until(monitor)
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceService", "a", True)
    (endpoint,) = made["spec"]["podMetricsEndpoints"]
    assert {of["targetLabel"] for of in endpoint["relabelings"]} == {"inference_service", "revision"}  # none is dropped
    await services.patch(
        names.POD_MONITOR,
        "a-metrics",
        [{"op": "replace", "path": "/spec/podMetricsEndpoints/0/interval", "value": "1h"}],
    )

    async def is_right() -> bool:
        found = await monitor()
        return bool(found and found["spec"] == made["spec"])

    await operator.until(is_right)
