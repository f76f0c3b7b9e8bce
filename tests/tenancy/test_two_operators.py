"""Two operators in one cluster, each installed by the chart, with its permissions alone: each keeps to its own."""

import re
from typing import Any

import pytest

from benchmarks.services import Wish
from benchmarks.services import service as written_by_user
from triton_operator.api import names

from .conftest import Release, Site

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]


def team(name: str, **more: Any) -> Json:
    """Values of the chart for the operator of a team: its services, and images of its own."""
    image = {"triton": {"image": {"tag": f"of-{name}"}}, "image": {"tag": f"of-{name}"}}
    return {"watch": {"selector": f"team={name}"}} | image | more


async def apply(site: Site, namespace: str, name: str, labels: Json, wish: Wish) -> None:
    body = written_by_user(namespace, name, wish)
    body["metadata"]["labels"] = labels
    await site.api.apply(body)


async def ready(site: Site, namespace: str, name: str, *, replicas: int) -> bool:
    body = await site.api.get(names.INFERENCE_SERVICE, namespace, name)
    assert body is not None
    status = body.get("status", {})
    whole = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    current = status.get("observedGeneration") == body["metadata"]["generation"]
    return whole and current and status.get("readyReplicas") == replicas


async def children(site: Site, namespace: str, service: str) -> dict[tuple[str, str], Json]:
    found = {}
    for kind in names.CHILD_KINDS:
        for body in await site.api.list(kind, namespace):
            if body["metadata"].get("labels", {}).get(names.LABEL_SERVICE) == service:
                found[kind.kind, body["metadata"]["name"]] = body
    return found


def uids(found: dict[tuple[str, str], Json]) -> dict[tuple[str, str], str]:
    return {key: body["metadata"]["uid"] for key, body in found.items()}


def touched(site: Site, release: Release) -> set[str]:
    """The services that a release has written anything of."""
    return {re.split("[-.]", request.name)[0] for request in site.written(release) if request.name}


async def test_each_operator_writes_only_what_its_selector_selects(site: Site) -> None:
    red, blue = await site.install("red-1", **team("red-1")), await site.install("blue-1", **team("blue-1"))
    here = await site.make_namespace("users-1")
    await apply(site, here, "ruby", {"team": "red-1"}, Wish("m"))
    await apply(site, here, "sky", {"team": "blue-1"}, Wish("m"))
    await apply(site, here, "moss", {"team": "green-1"}, Wish("m"))
    for name in ("ruby", "sky"):
        await site.until(lambda name=name: ready(site, here, name, replicas=1), f"{name} is ready", red, blue)
    assert touched(site, red) == {"ruby"}
    assert touched(site, blue) == {"sky"}
    assert await children(site, here, "moss") == {}
    for release in (red, blue):
        assert site.compared(release).missing == ()


async def test_a_service_that_changes_hands_is_taken_over_as_it_is(site: Site) -> None:
    red, blue = await site.install("red-2", **team("red-2")), await site.install("blue-2", **team("blue-2"))
    here = await site.make_namespace("users-2")
    await apply(site, here, "gem", {"team": "red-2"}, Wish("m", replicas=2))
    await apply(site, here, "ruby", {"team": "red-2"}, Wish("m"))  # stays
    await site.until(lambda: ready(site, here, "gem", replicas=2), "red has it ready", red)
    await site.until(lambda: ready(site, here, "ruby", replicas=1), "red has the other one ready", red)

    async def told() -> bool:  # the last thing that red writes of them
        events = await site.api.list(names.EVENT, here)
        return {e["regarding"]["name"] for e in events if e["reason"] == "Serving"} == {"gem", "ruby"}

    await site.until(told, "red has told that they serve", red)
    before = await children(site, here, "gem")
    pods = {pod["metadata"]["uid"] for pod in await site.api.list(names.POD, here)}
    reds = len(site.written(red))
    assert "of-red-2" in str(template := _deployment(before)["spec"]["template"])

    await apply(site, here, "gem", {"team": "blue-2"}, Wish("m", replicas=2))

    async def taken_over() -> bool:
        return (await blue.replica.read()).total("services") == 1 and (await red.replica.read()).total("services") == 1

    await site.until(taken_over, "blue knows the service, and red no longer", red, blue)
    await red.replica.stop()  # and looks at everything anew, with children in sight whose service it does not see
    red.replica.start()
    await red.replica.leads()
    await apply(site, here, "gem", {"team": "blue-2"}, Wish("m", replicas=3))
    await site.until(lambda: ready(site, here, "gem", replicas=3), "blue scales it", blue)

    after = await children(site, here, "gem")
    assert uids(after) == uids(before)
    assert _deployment(after)["spec"]["template"] == template  # though blue's own images are others
    assert _deployment(after)["metadata"]["generation"] == _deployment(before)["metadata"]["generation"] + 1
    assert pods <= {pod["metadata"]["uid"] for pod in await site.api.list(names.POD, here)}
    assert [request for request in site.written(red, after=reds) if request.name.startswith("gem")] == []
    assert {r.resource for r in site.written(blue)} <= {
        "inferenceservices/status", "configmaps", "deployments", "events"
    }, site.written(blue)  # fmt: skip
    assert [r.verb for r in site.written(blue) if r.resource == "deployments"] == ["patch"]

    # The next revision is blue's, with blue's images.
    await apply(site, here, "gem", {"team": "blue-2"}, Wish("other", replicas=1))
    await site.until(lambda: ready(site, here, "gem", replicas=1), "blue replaces it", blue)
    deployment = _deployment(await children(site, here, "gem"))
    assert "of-blue-2" in str(deployment["spec"]["template"])
    assert "of-red-2" not in str(deployment["spec"]["template"])
    for release in (red, blue):
        assert site.compared(release).missing == ()


async def test_a_service_that_changes_hands_in_the_midst_of_a_rollout_is_finished_by_the_other(site: Site) -> None:
    red, blue = await site.install("red-3", **team("red-3")), await site.install("blue-3", **team("blue-3"))
    here = await site.make_namespace("users-3")
    await apply(site, here, "gem", {"team": "red-3"}, Wish("m0"))
    await site.until(lambda: ready(site, here, "gem", replicas=1), "red has it ready", red)
    for turn in range(1, 7):  # spec and label change at once, while the last change is still being carried out
        await apply(site, here, "gem", {"team": ("red-3", "blue-3")[turn % 2]}, Wish(f"m{turn}", replicas=1 + turn % 3))
    await site.until(lambda: ready(site, here, "gem", replicas=1), "it is ready in the end", red, blue)

    async def one_is_left() -> bool:
        found = await children(site, here, "gem")
        return [kind for kind, _ in found].count("Deployment") == 1 and "m6" in str(_deployment(found))

    await site.until(one_is_left, "only the last revision runs", red, blue)
    for release in (red, blue):
        assert site.compared(release).missing == ()
        assert "Traceback" not in release.replica.tail()


async def test_an_operator_of_some_namespaces_works_beside_one_with_a_selector_for_all(site: Site) -> None:
    here, there = await site.make_namespace("users-4"), await site.make_namespace("others-4")
    some = await site.install("some-4", watch={"namespaces": [here]}, crds={"install": False})
    everywhere = await site.install("all-4", **team("blue-4"))
    await apply(site, here, "own", {}, Wish("m"))
    await apply(site, there, "sky", {"team": "blue-4"}, Wish("m"))
    await apply(site, there, "nobodys", {}, Wish("m"))
    await site.until(lambda: ready(site, here, "own", replicas=1), "own is ready", some)
    await site.until(lambda: ready(site, there, "sky", replicas=1), "sky is ready", everywhere)
    assert touched(site, some) == {"own"}
    assert touched(site, everywhere) == {"sky"}
    assert {request.namespace for request in site.asked(some) if request.resource} == {here, "some-4"}
    for release in (some, everywhere):
        assert site.compared(release).missing == ()


async def test_two_operators_that_both_select_a_service_do_not_undo_each_others_writes(site: Site) -> None:
    one = await site.install("one-5", **team("red-5"))
    here = await site.make_namespace("users-5")
    two = await site.install("two-5", watch={"namespaces": [here]}, triton={"image": {"tag": "of-two"}})
    await apply(site, here, "gem", {"team": "red-5"}, Wish("m", replicas=1))
    await site.until(lambda: ready(site, here, "gem", replicas=1), "it is ready", one, two)
    before = _deployment(await children(site, here, "gem"))
    await apply(site, here, "gem", {"team": "red-5"}, Wish("m", replicas=3))
    await site.until(lambda: ready(site, here, "gem", replicas=3), "it is scaled", one, two)
    after = _deployment(await children(site, here, "gem"))
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert after["spec"]["template"] == before["spec"]["template"]


def _deployment(found: dict[tuple[str, str], Json]) -> Json:
    (body,) = (body for (kind, _), body in found.items() if kind == "Deployment")
    return body
