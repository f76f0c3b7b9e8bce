"""What the operator knows of the cluster: the newest version of each service and each child, in memory.

It is fed by watch events, by complete lists and by the answers to our own writes, in any order; the newest
resourceVersion wins. Not for: anything that must survive a restart.
"""

from collections.abc import Iterable
from typing import Any

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.controller.queue import Key
from triton_operator.edges.kubernetes import Object
from triton_operator.edges.wire import Listing

KINDS = (names.INFERENCE_SERVICE, *names.CHILD_KINDS)
"""What the store keeps."""

_KIND_OF = {(kind.api_version, kind.kind): kind for kind in KINDS}
_HEARTBEATS = frozenset({"lastUpdateTime", "lastHeartbeatTime", "lastProbeTime"})


def owner_of(child: Object) -> tuple[Key, str] | None:
    """Find the service that controls an object.

    Returns:
        The service's key and uid, or None when no InferenceService is the object's controller.
    """
    metadata = child["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        group = reference.get("apiVersion", "").partition("/")[0]
        if reference.get("controller") and reference.get("kind") == "InferenceService" and group == names.GROUP:
            return (metadata.get("namespace", ""), reference["name"]), reference["uid"]
    return None


class Store:
    """See the module."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in KINDS}
        self._children: dict[str, set[tuple[Kind, Key]]] = {}
        # When an object went, so that a late older event does not bring it back. A complete list says the same of all
        # that it does not show, so the horizon of the list takes the place of older entries.
        self._gone: dict[Kind, dict[Key, int]] = {kind: {} for kind in KINDS}
        self._horizons: dict[tuple[Kind, str | None], int] = {}

    def get(self, kind: Kind, key: Key) -> Object | None:
        """Return the newest version known of one object; the caller must not change it."""
        return self._objects[kind].get(key)

    def services(self) -> list[Key]:
        """Return the keys of all services."""
        return list(self._objects[names.INFERENCE_SERVICE])

    def children(self, owner_uid: str, kind: Kind) -> list[Object]:
        """Return the children of one kind that a service controls, by name; the caller must not change them."""
        keys = sorted(key for child_kind, key in self._children.get(owner_uid, ()) if child_kind == kind)
        return [self._objects[kind][key] for key in keys]

    def observe(self, event_type: str | None, seen: Object) -> tuple[Key, ...]:
        """Take in a watch event.

        Args:
            event_type: "ADDED", "MODIFIED", "DELETED", or None for an object of a list.
            seen: the object.

        Returns:
            The keys of the services to look at: none when nothing changed that reconciliation reads.
        """
        kind = _kind_of(seen)
        key = _key_of(seen)
        if event_type == "DELETED":
            return self._remove(kind, key, seen)
        if self._is_stale(kind, key, seen):
            return ()
        before = self._objects[kind].get(key)
        self._put(kind, key, seen)
        if before is not None and _essence(kind, before) == _essence(kind, seen):
            return ()
        return _services(kind, (before, seen))

    def saw(self, written: Object) -> None:
        """Take in the answer to a write of our own, so that the next look does not read an older state."""
        kind = _kind_of(written)
        key = _key_of(written)
        if not self._is_stale(kind, key, written):
            self._put(kind, key, written)

    def lost(self, kind: Kind, key: Key, uid: str) -> None:
        """Forget an object that the API server said is gone, unless another one has taken its name since."""
        known = self._objects[kind].get(key)
        if known is not None and known["metadata"]["uid"] == uid:
            self._remove(kind, key, known)

    def replace(self, kind: Kind, namespace: str | None, listing: Listing) -> set[Key]:
        """Take in a complete list: the only thing that shows what was deleted while no watch was open.

        Args:
            kind: the kind listed.
            namespace: the namespace listed, or None for all.
            listing: the list, made with the selectors of the watch.

        Returns:
            The keys of the services to look at because something had changed unseen.
        """
        changed: set[Key] = set()
        for item in listing.items:
            changed.update(self.observe(None, item))
        horizon = _number(listing.resource_version)
        if horizon is None:
            return changed
        present = {_key_of(item) for item in listing.items}
        for key, known in list(self._objects[kind].items()):
            in_scope = namespace is None or key[0] == namespace
            version = _version(known)
            if in_scope and key not in present and version is not None and version <= horizon:
                changed.update(self._remove(kind, key, known))
        scope = (kind, namespace)
        self._horizons[scope] = max(horizon, self._horizons.get(scope, 0))
        gone = self._gone[kind]
        for key in [key for key, at in gone.items() if at <= horizon and (namespace is None or key[0] == namespace)]:
            del gone[key]
        return changed

    def _is_stale(self, kind: Kind, key: Key, seen: Object) -> bool:
        version = _version(seen)
        if version is None:
            return False
        known = self._objects[kind].get(key)
        if known is not None:
            at = _version(known)
            return at is not None and version <= at
        horizons = (self._horizons.get((kind, None), 0), self._horizons.get((kind, key[0]), 0))
        return version <= max(self._gone[kind].get(key, 0), *horizons)

    def _put(self, kind: Kind, key: Key, seen: Object) -> None:
        self._unlink(kind, key)
        owner = owner_of(seen)
        if kind != names.INFERENCE_SERVICE and owner is None:
            return  # not a child of ours, whatever its labels say
        self._objects[kind][key] = seen
        if kind != names.INFERENCE_SERVICE and owner is not None:
            self._children.setdefault(owner[1], set()).add((kind, key))

    def _remove(self, kind: Kind, key: Key, last: Object) -> tuple[Key, ...]:
        known = self._objects[kind].get(key)
        version = _version(last)
        if known is not None and version is not None:
            at = _version(known)
            if at is not None and at > version:
                return ()  # the deletion of a predecessor
        self._unlink(kind, key)
        if version is not None:
            self._gone[kind][key] = max(version, self._gone[kind].get(key, 0))
        return _services(kind, (known, last))

    def _unlink(self, kind: Kind, key: Key) -> None:
        known = self._objects[kind].pop(key, None)
        owner = owner_of(known) if known is not None else None
        if owner is not None and (siblings := self._children.get(owner[1])) is not None:
            siblings.discard((kind, key))
            if not siblings:
                del self._children[owner[1]]


def _services(kind: Kind, versions: Iterable[Object | None]) -> tuple[Key, ...]:
    keys: dict[Key, None] = {}
    for version in versions:
        if version is None:
            continue
        if kind == names.INFERENCE_SERVICE:
            keys[_key_of(version)] = None
        elif (owner := owner_of(version)) is not None:
            keys[owner[0]] = None
    return tuple(keys)


def _kind_of(seen: Object) -> Kind:
    return _KIND_OF[seen["apiVersion"], seen["kind"]]


def _key_of(seen: Object) -> Key:
    return seen["metadata"].get("namespace", ""), seen["metadata"]["name"]


def _version(seen: Object) -> int | None:
    return _number(seen["metadata"].get("resourceVersion", ""))


def _number(resource_version: str) -> int | None:
    return int(resource_version) if resource_version.isdecimal() else None


def _essence(kind: Kind, seen: Object) -> Object:
    """What reconciliation reads of an object: all but versions, heartbeats and who wrote the status when."""
    metadata = {key: value for key, value in seen["metadata"].items() if key != "resourceVersion"}
    metadata["managedFields"] = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in metadata.get("managedFields") or ()
        if entry.get("subresource") != "status"
    ]
    essence = seen | {"metadata": metadata}
    status: Any = essence.pop("status", None)
    if kind != names.POD_DISRUPTION_BUDGET and isinstance(status, dict):
        essence["status"] = status | {
            "conditions": [
                {key: value for key, value in condition.items() if key not in _HEARTBEATS}
                for condition in status.get("conditions") or ()
            ]
        }
    return essence
