"""A spec that is held stays held when the record is lost: the ControllerRevision says so, too."""

import json
from typing import Any

import pytest

from triton_operator.api import names

pytestmark = pytest.mark.cluster

ANNOTATIONS = {action: f"/metadata/annotations/{names.GROUP}~1{action}" for action in ("undo", "retry")}


async def ask(services: Any, action: str, value: str) -> None:
    place = "/metadata/annotations"
    annotations = (await services.get("a"))["metadata"].get("annotations")
    operation = {"op": "add", "path": ANNOTATIONS[action], "value": value}
    if annotations is None:
        operation = {"op": "add", "path": place, "value": {f"{names.GROUP}/{action}": value}}
    await services.patch(names.INFERENCE_SERVICE, "a", [operation])


async def revisions(services: Any) -> list[str]:
    """Names of the kept revisions, the oldest first."""
    kept = (await services.children("a"))["ControllerRevision"]
    return [body["metadata"]["name"] for body in sorted(kept, key=lambda body: body["revision"])]


async def said(services: Any) -> dict[str, str]:
    """What the ControllerRevisions say of a rejection."""
    kept = (await services.children("a"))["ControllerRevision"]
    texts = {b["metadata"]["name"]: b["metadata"]["annotations"].get(names.ANNOTATION_REJECTED) for b in kept}
    return {name: text for name, text in texts.items() if text is not None}


async def deployments(services: Any) -> list[str]:
    return [body["metadata"]["name"] for body in (await services.children("a"))["Deployment"]]


async def lose_record(services: Any, operator: Any) -> None:
    """Delete the record and wait for the next one."""
    before = await services.get("a-record", names.CONFIG_MAP)
    await services.kube.delete(names.CONFIG_MAP, namespace=services.namespace, name="a-record", uid=None)

    async def is_back() -> bool:
        found = await services.get("a-record", names.CONFIG_MAP)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await operator.until(is_back)


async def is_rejected(services: Any) -> dict[str, Any] | None:
    return (await services.get("a"))["status"].get("rejected")


async def assert_held(services: Any, operator: Any, *, goal: str, rejected: str) -> None:
    """Lose the record, restart, and see that nothing is tried again nor written twice."""
    before = await is_rejected(services)
    assert before is not None
    text = (await said(services))[rejected]
    assert json.loads(text)["goal"] == goal
    for _ in range(2):
        await lose_record(services, operator)
        assert await is_rejected(services) == before
        assert await deployments(services) == [goal]
        assert await said(services) == {rejected: text}
    await operator.stop()
    await operator.start()
    await operator.settles()
    assert await operator.writes() == 0
    assert await is_rejected(services) == before
    assert await deployments(services) == [goal]


async def test_what_a_person_went_back_from_stays_so_without_the_record(services: Any, operator: Any) -> None:
    await services.apply("a")
    await services.complete("a")
    await services.apply("a", version=2)
    await services.complete("a", revisions=2)
    first, second = await revisions(services)
    await ask(services, "undo", f"{first}/1")

    async def is_undone() -> bool:
        return await deployments(services) == [first] and set(await said(services)) == {second}

    await operator.until(is_undone)
    await assert_held(services, operator, goal=first, rejected=second)
    await ask(services, "retry", f"{second}/2")

    async def is_tried() -> bool:
        return second in await deployments(services) and await said(services) == {}

    await operator.until(is_tried)
    await lose_record(services, operator)
    assert await is_rejected(services) is None


async def test_what_has_failed_is_not_tried_again_without_the_record(services: Any, operator: Any) -> None:
    await services.apply("a")
    await services.complete("a")
    (first,) = await revisions(services)
    ready = {"type": "Ready", "status": "True"}
    await services.patch_status(await _pod(services, operator, first), {"phase": "Running", "conditions": [ready]})

    async def is_ready() -> bool:
        return bool((await services.condition("a", "Ready")).get("status") == "True")

    await operator.until(is_ready)
    await services.apply("a", version=2)

    async def is_begun() -> bool:
        return len(await deployments(services)) == 2

    await operator.until(is_begun)
    second = next(name for name in await deployments(services) if name != first)
    said_so = json.dumps({"reason": "BadConfig", "message": "it is broken"})
    ended = {"exitCode": 1, "reason": "Error", "message": said_so, "startedAt": None, "finishedAt": None}
    container = {"name": names.CONTAINER_PREPARE, "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    await services.patch_status(
        await _pod(services, operator, second),
        {"phase": "Pending", "initContainerStatuses": [container | {"state": {"terminated": ended}}]},
    )

    async def is_given_up() -> bool:
        return await deployments(services) == [first] and set(await said(services)) == {second}

    await operator.until(is_given_up)
    assert (await is_rejected(services) or {})["reason"] == "BadConfig"
    await assert_held(services, operator, goal=first, rejected=second)


async def _pod(services: Any, operator: Any, revision: str) -> Any:
    """Wait for the pod of a revision."""
    selector = f"{names.LABEL_REVISION}={revision}"

    async def made() -> Any:
        found = await services.kube.list(names.POD, namespace=services.namespace, label_selector=selector)
        return found[0] if found else None

    return await operator.until(made)


async def test_a_revision_that_is_asked_for_again_gets_the_greatest_number_once(services: Any, operator: Any) -> None:
    await services.apply("a")
    await services.complete("a")
    await services.apply("a", version=2)
    await services.complete("a", revisions=2)
    first, second = await revisions(services)
    before = {b["metadata"]["name"]: b["data"] for b in (await services.children("a"))["ControllerRevision"]}
    await services.apply("a")

    async def is_renumbered() -> bool:
        return await revisions(services) == [second, first] and await deployments(services) == [first]

    await operator.until(is_renumbered)
    await services.complete("a", revisions=2)
    assert {b["metadata"]["name"]: b["data"] for b in (await services.children("a"))["ControllerRevision"]} == before
    await operator.stop()
    await operator.start()
    await operator.settles()
    assert await operator.writes() == 0
