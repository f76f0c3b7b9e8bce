"""A first revision that never ran is made anew by corrected settings: once, whole, and under its name."""

import pytest

from triton_operator.api import names

pytestmark = pytest.mark.cluster

CORRECTED = "localhost/triton:corrected"


async def test_what_never_ran_is_made_anew_by_other_settings_once(services, operator, make_operator) -> None:
    async def failed() -> bool:
        return "lastFailure" in (await services.get("a"))["status"]

    async def replaced() -> bool:
        found = await services.children("a")
        templates = [body["spec"]["template"] for body in found["Deployment"]]
        templates += [body["data"]["template"] for body in found["ControllerRevision"]]
        containers = [c for template in templates for c in template["spec"]["containers"]]
        return [c["image"] for c in containers if c["name"] == names.CONTAINER_TRITON] == [CORRECTED] * 2

    await services.apply("a")
    before = await services.complete("a")
    await operator.until(failed)
    await operator.stop()
    operator = make_operator(image=CORRECTED)
    await operator.start()
    await operator.until(replaced)
    after = await services.complete("a")
    for kind, kept in (("Deployment", False), ("ControllerRevision", False), ("Service", True)):
        old, new = ({b["metadata"]["name"]: b["metadata"]["uid"] for b in found[kind]} for found in (before, after))
        assert old.keys() == new.keys()
        assert (old == new) is kept, kind

    await operator.stop()
    operator = make_operator(image=CORRECTED)
    await operator.start()
    await operator.settles()
    assert await operator.writes() == 0
