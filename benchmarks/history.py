"""A random history: what users and others do to some services, and to their children, in one order of many.

Not for: the operator's crashes meanwhile, nor the checks afterwards; that is `benchmarks.soak`.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from benchmarks.api import Api, Refused
from benchmarks.invariants import FOREIGN_GRACE_SECONDS
from benchmarks.services import Wish, service
from triton_operator.api import names
from triton_operator.api.names import Kind

Json = dict[str, Any]
Act = Callable[[str], Awaitable[None]]

MOST_REPLICAS = 4


class History:
    """What happened so far, and what the users want in the end."""

    def __init__(self, api: Api, namespace: str, names_: list[str], chance: random.Random) -> None:
        """Begin.

        Args:
            api: the connection of everybody but the operator.
            namespace: where it happens.
            names_: the services that may exist.
            chance: decides everything.
        """
        self.wishes: dict[str, Wish] = {}
        self.events: list[str] = []
        self._api = api
        self._namespace = namespace
        self._names = names_
        self._chance = chance
        self._marks = 0
        self._former: dict[str, list[Wish]] = {name: [] for name in names_}
        # What may happen to a service, and how often.
        self._acts: tuple[tuple[int, Act], ...] = (
            (6, self._change),
            (3, self._scale),
            (2, self._suspend_or_resume),
            (2, self._go_back),
            (2, self._delete),
            (2, self._make_anew),
            (4, self._edit_child),
            (4, self._delete_child),
            (2, self._lose_record),
            (1, self._spoil_record),
            (2, self._wipe_status),
        )

    async def step(self) -> None:
        """Let one thing happen."""
        name = self._chance.choice(self._names)
        if name not in self.wishes:
            await self._create(name)
            return
        weights = [weight for weight, _ in self._acts]
        ((_, act),) = self._chance.choices(self._acts, weights)
        await act(name)

    async def end(self) -> None:
        """Delete all services."""
        for name in list(self.wishes):
            await self._delete(name)

    def _note(self, what: str) -> None:
        self.events.append(what)

    def _wish(self, name: str, wish: Wish) -> None:
        self.wishes[name] = wish
        self._former[name].append(wish)

    def _new_mark(self) -> str:
        self._marks += 1
        return f"m{self._marks}"

    async def _create(self, name: str) -> None:
        version, replicas = self._chance.randint(1, 3), self._chance.randint(0, MOST_REPLICAS)
        wish = Wish(self._new_mark(), version=version, replicas=replicas, suspend=self._chance.random() < 0.1)
        self._note(f"create {name} {wish}")
        self._wish(name, wish)
        await self._api.create(names.INFERENCE_SERVICE, service(self._namespace, name, wish))

    async def _patch(self, name: str, wish: Wish) -> None:
        self._note(f"patch {name} {wish}")
        self._wish(name, wish)
        await self._api.merge(names.INFERENCE_SERVICE, self._namespace, name, {"spec": wish.spec()})

    async def _change(self, name: str) -> None:
        version = self._chance.randint(1, 3)
        await self._patch(name, replace(self.wishes[name], mark=self._new_mark(), version=version))

    async def _scale(self, name: str) -> None:
        await self._patch(name, replace(self.wishes[name], replicas=self._chance.randint(0, MOST_REPLICAS)))

    async def _suspend_or_resume(self, name: str) -> None:
        await self._patch(name, replace(self.wishes[name], suspend=not self.wishes[name].suspend))

    async def _go_back(self, name: str) -> None:
        former = self._chance.choice(self._former[name])
        await self._patch(name, replace(self.wishes[name], mark=former.mark, version=former.version))

    async def _delete(self, name: str) -> None:
        self._note(f"delete {name}")
        del self.wishes[name]
        await self._api.delete(names.INFERENCE_SERVICE, self._namespace, name)

    async def _make_anew(self, name: str) -> None:
        await self._delete(name)
        await self._create(name)

    async def _wipe_status(self, name: str) -> None:
        self._note(f"wipe the status of {name}")
        await self._api.merge(names.INFERENCE_SERVICE, self._namespace, name, {"status": None}, subresource="status")

    async def _lose_record(self, name: str) -> None:
        self._note(f"delete the record of {name}")
        await self._api.delete(names.CONFIG_MAP, self._namespace, f"{name}-record")

    async def _spoil_record(self, name: str) -> None:
        text = self._chance.choice(["", "{}", "[", '{"schema": 1, "stable": 7}', '{"schema": 99}'])
        self._note(f"write {text!r} into the record of {name}")
        await self._foreign(names.CONFIG_MAP, f"{name}-record", {"data": {"record.json": text}})

    async def _edit_child(self, name: str) -> None:
        of_service: list[tuple[Kind, Json]] = [
            (names.SERVICE, {"spec": {"selector": {"evil": "x"}}}),
            (names.SERVICE, {"spec": {"selector": {names.LABEL_SERVICE: "evil"}}}),
            (names.SERVICE, {"metadata": {"labels": {names.LABEL_MANAGED_BY: None}}}),
            (names.SERVICE, {"metadata": {"labels": {names.LABEL_SERVICE: None}}}),
        ]
        of_revision: list[tuple[Kind, Json]] = [
            (names.DEPLOYMENT, {"spec": {"replicas": self._chance.randint(0, 2 * MOST_REPLICAS)}}),
            (
                names.DEPLOYMENT,
                {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": FOREIGN_GRACE_SECONDS}}}},
            ),
            (names.DEPLOYMENT, {"metadata": {"annotations": None}}),
            (names.POD_DISRUPTION_BUDGET, {"spec": {"maxUnavailable": 0}}),
            (names.POD_DISRUPTION_BUDGET, {"metadata": {"labels": {names.LABEL_REVISION: "evil"}}}),
        ]
        if self._chance.random() < 0.4:
            kind, patch = self._chance.choice(of_service)
            child: str | None = self._chance.choice([name, f"{name}-headless"])
        else:
            kind, patch = self._chance.choice(of_revision)
            child = await self._some_child(kind, name)
        if child is not None:
            self._note(f"edit {kind.kind} {child}: {patch}")
            await self._foreign(kind, child, patch)

    async def _delete_child(self, name: str) -> None:
        kind = self._chance.choice(names.CHILD_KINDS)
        if (child := await self._some_child(kind, name)) is not None:
            self._note(f"delete {kind.kind} {child}")
            await self._api.delete(kind, self._namespace, child)

    async def _some_child(self, kind: Kind, name: str) -> str | None:
        """Pick a child; the choice costs one number whatever there is, so that a seed means the same every time."""
        share = self._chance.random()
        bodies = await self._api.list(kind, self._namespace)
        found = sorted(
            body["metadata"]["name"]
            for body in bodies
            if any(owner["name"] == name for owner in body["metadata"].get("ownerReferences") or ())
        )
        return found[int(share * len(found))] if found else None

    async def _foreign(self, kind: Kind, name: str, patch: Json) -> None:
        with suppress(Refused):  # it is not there (yet, or any more), which is as good a history
            await self._api.merge(kind, self._namespace, name, patch)
