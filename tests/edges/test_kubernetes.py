import asyncio
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.edges.errors import AlreadyExists, Conflict, Invalid, NotFound
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.lists import CHUNK, Form

pytestmark = pytest.mark.cluster

OTHER_UID = "11111111-1111-4111-8111-111111111111"


def config_map(namespace: str, name: str = "settings", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name},
        "data": data,
    }


async def read(kube: Kube, namespace: str, name: str = "settings") -> dict[str, Any]:
    found = await kube.get(names.CONFIG_MAP, namespace=namespace, name=name)
    assert found is not None
    return found


async def test_an_object_that_is_not_there_reads_as_none(kube: Kube, namespace: str) -> None:
    assert await kube.get(names.CONFIG_MAP, namespace=namespace, name="absent") is None


async def test_the_first_write_of_a_child_owns_its_fields_as_applied(kube: Kube, namespace: str) -> None:
    created = await kube.create_applied(config_map(namespace, a="1", b="2"), kind=names.CONFIG_MAP)

    (entry,) = created["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == (names.FIELD_MANAGER, "Apply")


async def test_a_field_left_out_of_a_later_apply_is_removed(kube: Kube, namespace: str) -> None:
    await kube.create_applied(config_map(namespace, a="1", b="2"), kind=names.CONFIG_MAP)

    applied = await kube.apply(config_map(namespace, a="1"), kind=names.CONFIG_MAP)

    assert applied["data"] == {"a": "1"}


@pytest.mark.parametrize("data", [pytest.param({"a": "1"}, id="same content"), pytest.param({"a": "2"}, id="other")])
async def test_the_first_write_never_touches_what_exists(kube: Kube, namespace: str, data: dict[str, str]) -> None:
    theirs = await kube.create(config_map(namespace, a="1"), kind=names.CONFIG_MAP)

    with pytest.raises(AlreadyExists):
        await kube.create_applied(config_map(namespace, **data), kind=names.CONFIG_MAP)

    assert await read(kube, namespace) == theirs


async def test_of_two_first_writes_at_once_exactly_one_wins(kube: Kube, namespace: str) -> None:
    bodies = [config_map(namespace, writer=str(writer)) for writer in range(8)]

    results = await asyncio.gather(
        *(kube.create_applied(body, kind=names.CONFIG_MAP) for body in bodies), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 7 + ["dict"]


async def test_a_post_of_a_name_that_is_taken_already_exists(kube: Kube, namespace: str) -> None:
    await kube.create(config_map(namespace), kind=names.CONFIG_MAP)

    with pytest.raises(AlreadyExists):
        await kube.create(config_map(namespace), kind=names.CONFIG_MAP)


async def test_an_apply_that_changes_nothing_keeps_the_resource_version(kube: Kube, namespace: str) -> None:
    created = await kube.create_applied(config_map(namespace, a="1"), kind=names.CONFIG_MAP)

    again = await kube.apply(config_map(namespace, a="1"), kind=names.CONFIG_MAP)

    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_an_apply_to_an_object_made_anew_conflicts(kube: Kube, namespace: str) -> None:
    theirs = await kube.create(config_map(namespace, a="theirs"), kind=names.CONFIG_MAP)
    body = config_map(namespace, a="ours")
    body["metadata"]["uid"] = OTHER_UID

    with pytest.raises(Conflict):
        await kube.apply(body, kind=names.CONFIG_MAP)

    assert await read(kube, namespace) == theirs


async def test_an_apply_to_an_object_that_is_gone_conflicts(kube: Kube, namespace: str) -> None:
    body = config_map(namespace, a="ours")
    body["metadata"]["uid"] = OTHER_UID

    with pytest.raises(Conflict):
        await kube.apply(body, kind=names.CONFIG_MAP)

    assert await kube.get(names.CONFIG_MAP, namespace=namespace, name="settings") is None


async def test_an_apply_takes_a_field_over_from_another_manager(kube: Kube, namespace: str) -> None:
    theirs = await kube.create(config_map(namespace, a="theirs"), kind=names.CONFIG_MAP)
    body = config_map(namespace, a="ours")
    body["metadata"]["uid"] = theirs["metadata"]["uid"]

    assert (await kube.apply(body, kind=names.CONFIG_MAP))["data"] == {"a": "ours"}


async def test_an_update_of_an_older_version_conflicts(kube: Kube, namespace: str) -> None:
    first = await kube.create(config_map(namespace, a="1"), kind=names.CONFIG_MAP)
    await kube.update(first | {"data": {"a": "2"}}, kind=names.CONFIG_MAP)

    with pytest.raises(Conflict):
        await kube.update(first | {"data": {"a": "3"}}, kind=names.CONFIG_MAP)


async def test_an_invalid_object_is_refused_with_the_name_of_the_field(kube: Kube, namespace: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await kube.create(config_map(namespace, "Not_A_Name"), kind=names.CONFIG_MAP)


async def test_deleting_is_done_when_the_object_is_gone(kube: Kube, namespace: str) -> None:
    created = await kube.create(config_map(namespace), kind=names.CONFIG_MAP)
    uid = created["metadata"]["uid"]

    await kube.delete(names.CONFIG_MAP, namespace=namespace, name="settings", uid=uid)
    await kube.delete(names.CONFIG_MAP, namespace=namespace, name="settings", uid=uid)

    assert await kube.get(names.CONFIG_MAP, namespace=namespace, name="settings") is None


async def test_another_object_of_the_same_name_is_not_deleted(kube: Kube, namespace: str) -> None:
    theirs = await kube.create(config_map(namespace), kind=names.CONFIG_MAP)

    with pytest.raises(Conflict):
        await kube.delete(names.CONFIG_MAP, namespace=namespace, name="settings", uid=OTHER_UID)

    assert await read(kube, namespace) == theirs


@pytest.mark.parametrize("form", Form)
async def test_a_list_of_several_pages_is_complete(
    kube: Kube, namespace: str, calls: Any, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    wanted = {f"settings-{number}" for number in range(7)}
    for name in wanted:
        await kube.create(config_map(namespace, name, a="b"), kind=names.CONFIG_MAP)
    monkeypatch.setattr("triton_operator.edges.lists.CHUNK", 3)
    calls.seen.clear()

    found = [page async for page in kube.pages(names.CONFIG_MAP, namespace, form=form)]

    items = [item for page in found for item in page.items]
    assert {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"} == wanted
    assert {(item["apiVersion"], item["kind"]) for item in items} == {("v1", "ConfigMap")}
    assert any("data" in item for item in items) == (form == Form.WHOLE)
    assert calls.seen == [("list", "200")] * 3
    assert [page.is_first for page in found] == [True, False, False]
    assert all(page.resource_version.isdecimal() for page in found)


async def test_a_list_honours_selectors(kube: Kube, namespace: str) -> None:
    labelled = config_map(namespace, "labelled")
    labelled["metadata"]["labels"] = {"a/b": "c"}
    await kube.create(labelled, kind=names.CONFIG_MAP)
    await kube.create(config_map(namespace, "bare"), kind=names.CONFIG_MAP)

    by_label = await kube.list(names.CONFIG_MAP, namespace=namespace, label_selector="a/b in (c, d)")
    by_field = await kube.list(names.CONFIG_MAP, namespace=namespace, field_selector="metadata.name=bare")

    assert [item["metadata"]["name"] for item in by_label] == ["labelled"]
    assert [item["metadata"]["name"] for item in by_field] == ["bare"]


async def test_what_the_api_server_remembers_is_listed_in_one_answer(kube: Kube, namespace: str) -> None:
    for n in range(CHUNK + 1):
        body = config_map(namespace, f"m-{n}")
        body["metadata"]["labels"] = {"a/b": "c"}
        await kube.create(body, kind=names.CONFIG_MAP)
    await kube.create(config_map(namespace, "bare"), kind=names.CONFIG_MAP)
    async with asyncio.timeout(30):
        while True:
            found = await kube.list_cached(names.CONFIG_MAP, namespace=namespace, label_selector="a/b")
            if len(found) > CHUNK:
                break
            await asyncio.sleep(0.1)
    assert {item["metadata"]["name"] for item in found} == {f"m-{n}" for n in range(CHUNK + 1)}


async def test_a_resource_type_is_served_or_not(kube: Kube) -> None:
    assert await kube.served(names.DEPLOYMENT)
    assert await kube.served(names.CONFIG_MAP)
    assert not await kube.served(Kind("apps", "v1", "Absent", "absents"))
    assert not await kube.served(Kind("absent.example.com", "v1", "Absent", "absents"))


async def test_listing_a_type_that_is_not_served_is_not_found(kube: Kube) -> None:
    with pytest.raises(NotFound):
        await kube.list(Kind("absent.example.com", "v1", "Absent", "absents"), namespace=None)


async def test_the_log_of_a_pod_that_is_not_there_is_empty(kube: Kube, namespace: str) -> None:
    assert await kube.log(namespace, "absent", "triton", previous=False, limit_bytes=100) == ""


async def test_a_change_ends_the_wait_for_it(kube: Kube, namespace: str) -> None:
    created = await kube.create(config_map(namespace, a="1"), kind=names.CONFIG_MAP)
    since = created["metadata"]["resourceVersion"]
    waiting = asyncio.create_task(
        kube.changed(names.CONFIG_MAP, namespace=namespace, name="settings", since=since, within_seconds=60)
    )

    await kube.update(created | {"data": {"a": "2"}}, kind=names.CONFIG_MAP)

    assert await waiting


async def test_without_a_change_the_wait_ends_in_time(kube: Kube, namespace: str) -> None:
    created = await kube.create(config_map(namespace, a="1"), kind=names.CONFIG_MAP)
    since = created["metadata"]["resourceVersion"]

    assert not await kube.changed(
        names.CONFIG_MAP, namespace=namespace, name="settings", since=since, within_seconds=0.2
    )


async def test_labels_and_owners_of_a_controller_revision_can_be_changed(kube: Kube, namespace: str) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"namespace": namespace, "name": "a", "labels": {"one": "1"}},
        "revision": 1,
        "data": {"z": ["<&>\u2028é🦀", 1, 2**53 - 1], "a": {"y": None, "b": True, "$(X)": "1e3"}},
    }
    created = await kube.create_applied(body, kind=names.CONTROLLER_REVISION)

    assert created["data"] == body["data"]
    # Any patch: the garbage collector's, too, when the owner is deleted with --cascade=orphan.
    patched = await kube.apply(
        {**body, "metadata": {"namespace": namespace, "name": "a", "labels": {"two": "2"}}, "data": created["data"]},
        kind=names.CONTROLLER_REVISION,
    )
    assert patched["metadata"]["labels"] == {"two": "2"}


async def test_every_character_that_json_can_hold_arrives_as_it_is(kube: Kube, namespace: str) -> None:
    text = "🦀\x7f\x85\u2028\ufeff\uffff\x01é"
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": "characters"},
        "data": {"text": text},
    }
    assert (await kube.apply(body, kind=names.CONFIG_MAP))["data"] == {"text": text}
