"""Another provider of GPUs in the settings moves no pod; what it cannot give is refused, and harms nothing."""

import pytest

pytestmark = pytest.mark.cluster


async def test_a_change_of_the_provider_holds_for_new_revisions_only(services, operator, make_operator) -> None:
    await services.apply("a", gpu={"minMemory": "20Gi"})
    await services.complete("a")
    before = (await services.children("a"))["Deployment"]
    await operator.stop()
    operator = make_operator(provider="gke")
    await operator.start()
    await operator.settles()
    assert await operator.writes() == 0

    async def refused() -> bool:
        found = await services.condition("a", "Accepted")
        return found.get("reason") == "UnsupportedByProvider" and "spec.gpu.minMemory" in found["message"]

    await services.apply("a", gpu={"minMemory": "30Gi"})  # GKE has no label for it
    await operator.until(refused)
    assert [body["spec"] for body in (await services.children("a"))["Deployment"]] == [body["spec"] for body in before]

    async def accepted() -> bool:
        return (await services.condition("a", "Accepted")).get("status") == "True"

    await services.apply("a", gpu={"products": ["nvidia-l4"]})
    await operator.until(accepted)
    await services.complete("a", revisions=2)
    pods = [body["spec"]["template"]["spec"] for body in (await services.children("a"))["Deployment"]]
    assert len([pod for pod in pods if "cloud.google.com/gke-accelerator" in str(pod["affinity"])]) == 1


async def test_a_first_spec_that_cannot_be_placed_makes_nothing_until_it_is_corrected(services, operator) -> None:
    async def refused() -> bool:
        return (await services.condition("a", "Accepted")).get("reason") == "UnsupportedByProvider"

    await services.apply("a", gpu={"nodePool": "l4"})  # the GPU operator knows no pools
    await operator.until(refused)
    children = await services.children("a")
    assert {kind for kind, bodies in children.items() if bodies} == {"ConfigMap"}
    assert (await services.condition("a", "Stalled"))["status"] == "True"

    await services.apply("a", gpu={"count": 1})
    await services.complete("a")
