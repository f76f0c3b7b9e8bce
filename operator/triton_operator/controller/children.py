"""Writing one child: create it, put it right, leave it alone, or say why it cannot be.

Not for: which children there should be; that is `core.decide`.
"""

from typing import Any, Protocol

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.controller.kept import owner_of
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.core.drift import is_as_applied, stamped
from triton_operator.core.world import Problem
from triton_operator.edges.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from triton_operator.edges.kubernetes import Kube

Json = dict[str, Any]

PROBLEM_LENGTH = 1024


class Observer(Protocol):
    """Whoever counts what is applied."""

    def applied(self, kind: Kind, *, changed: bool) -> None:
        """Count one child that was looked at: written, or found as it should be."""


class Waits(Exception):
    """A name is still taken by what is going away, which the text names; look again soon."""


class Writer:
    """Writes the children of services."""

    def __init__(self, kube: Kube, store: Store, observer: Observer) -> None:
        self._kube = kube
        self._store = store
        self._observer = observer

    async def write(self, kind: Kind, body: Json) -> Problem | None:
        """Have a child as it should be, with as few writes as that takes.

        Args:
            kind: its type.
            body: what we mean.

        Returns:
            None, or why only the user can help: its name is taken, or the API server refuses it.

        Raises:
            Waits: a predecessor of that name is still being deleted.
            ApiError: the write failed and may be tried again.
        """
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        live = self._store.get(kind, key)
        try:
            if live is None:
                live = await self._create(kind, body)
                if live is None:
                    return None
            return await self._put_right(kind, body, live)
        except (Forbidden, Invalid) as error:
            return refused(kind, key[1], error)

    async def remember(self, body: Json) -> Problem | None:
        """Write the record; the resourceVersion that was read is the precondition, which fences a deposed leader.

        Args:
            body: the ConfigMap.

        Returns:
            None, or that its name is taken.

        Raises:
            Waits: a predecessor of that name is still being deleted.
            ApiError: the write failed; a Conflict says that somebody else wrote it.
        """
        kind = names.CONFIG_MAP
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        live = self._store.get(kind, key)
        if live is None:
            try:
                self._saw(kind, await self._kube.create(body, kind=kind))
                return None
            except (Forbidden, Invalid) as error:
                return refused(kind, key[1], error)
            except AlreadyExists:
                live = await self._kube.get(kind, namespace=key[0], name=key[1])
        if live is None:
            raise Waits(f"{kind.kind} {key[1]}")
        if problem := _foreign(kind, body, live):
            return problem
        self._store.saw(live)
        if live.get("data") == body["data"]:
            self._observer.applied(kind, changed=False)
            return None
        version = live["metadata"]["resourceVersion"]
        exact = body | {"metadata": body["metadata"] | {"resourceVersion": version}}
        try:
            self._saw(kind, await self._kube.update(exact, kind=kind))
        except (Conflict, NotFound):
            await self._look_again(kind, key, live)
            raise
        except (Forbidden, Invalid) as error:
            return refused(kind, key[1], error)
        return None

    async def _create(self, kind: Kind, body: Json) -> Json | None:
        """Create a child; return the object that has its name if there is one."""
        try:
            # A ControllerRevision too, though a POST would cost half: its data are compared as bytes, and a later
            # patch, whoever's, spells those of a POST differently and is refused.
            self._saw(kind, await self._kube.create_applied(stamped(body), kind=kind))
            return None
        except AlreadyExists:
            metadata = body["metadata"]
            live = await self._kube.get(kind, namespace=metadata["namespace"], name=metadata["name"])
            if live is None:
                raise Waits(f"{kind.kind} {metadata['name']}") from None
            return live

    async def _put_right(self, kind: Kind, body: Json, live: Json) -> Problem | None:
        if problem := _foreign(kind, body, live):
            return problem
        self._store.saw(live)
        if kind == names.CONTROLLER_REVISION:  # its data are immutable; its number tells when it was asked for last
            body = body | {"data": live.get("data"), "revision": max(live["revision"], body["revision"])}
        if is_as_applied(live, body):
            self._observer.applied(kind, changed=False)
            return None
        exact = stamped(body)
        exact["metadata"] = exact["metadata"] | {"uid": live["metadata"]["uid"]}
        if kind == names.SERVICE or (kind == names.DEPLOYMENT and _shrinks(live, body)):
            # Where traffic or capacity could be lost, only the very state that was looked at is changed: this fences
            # a leader that was frozen and wakes up deposed.
            exact["metadata"] |= {"resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            self._saw(kind, await self._kube.apply(exact, kind=kind))
        except (Conflict, NotFound):
            await self._look_again(kind, (body["metadata"]["namespace"], body["metadata"]["name"]), live)
            raise
        return None

    async def _look_again(self, kind: Kind, key: Key, live: Json) -> None:
        """Learn what became of an object that was not as it had been seen."""
        newest = await self._kube.get(kind, namespace=key[0], name=key[1])
        if newest is None or newest["metadata"]["uid"] != live["metadata"]["uid"]:
            self._store.lost(kind, key, live["metadata"]["uid"])
        if newest is not None:
            self._store.saw(newest)

    def _saw(self, kind: Kind, written: Json) -> None:
        self._store.saw(written)
        self._observer.applied(kind, changed=True)


def refused(kind: Kind, name: str, error: Forbidden | Invalid) -> Problem:
    """Say that the API server does not take a write, and why.

    Args:
        kind: type of the child.
        name: name of the child.
        error: its answer: a quota, a policy, a webhook, a missing permission, a field.

    Returns:
        The problem.

    Raises:
        Waits: the namespace is going away, and the service with it.
    """
    if "being terminated" in error.message:
        raise Waits("the namespace") from error
    reason, verb = ("Forbidden", "forbids") if isinstance(error, Forbidden) else ("Refused", "refuses")
    return Problem(reason, f"the API server {verb} the {kind.kind} {name}: {error.message}"[:PROBLEM_LENGTH])


def _shrinks(live: Json, body: Json) -> bool:
    return bool(body["spec"]["replicas"] < live["spec"].get("replicas", 1))


def _foreign(kind: Kind, body: Json, live: Json) -> Problem | None:
    """Say whether an object is not ours to write.

    Raises:
        Waits: it is ours, or was a predecessor's, and is going away.
    """
    metadata = body["metadata"]
    wanted = metadata["ownerReferences"][0]
    owner = owner_of(live)
    if owner is not None and owner[0] == (metadata["namespace"], wanted["name"]):
        if owner[1] != wanted["uid"] or "deletionTimestamp" in live["metadata"]:
            raise Waits(f"{kind.kind} {metadata['name']}")
        return None
    return Problem(
        "NameConflict",
        f"the {kind.kind} {metadata['name']} exists and is not this service's: delete or rename it, or give the service"
        " another name",
    )
