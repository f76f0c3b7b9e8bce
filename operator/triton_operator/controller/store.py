"""What the operator knows of the cluster: the newest version of each service and each child, in memory.

It is fed by watch events, by complete lists and by the answers to our own writes, in any order; the newest
resourceVersion wins. Not for: anything that must survive a restart.
"""

from collections.abc import Collection, Iterable
from sys import intern

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.controller.kept import Kept, number, version_of
from triton_operator.controller.queue import Key
from triton_operator.core.claims import Claim, Claims, claims_of, joined
from triton_operator.edges.kubernetes import Object

KINDS = (names.INFERENCE_SERVICE, *names.CHILD_KINDS)
"""What the store keeps; of `names.OPTIONAL_KINDS` those that the cluster serves."""

_KIND_OF = {(kind.api_version, kind.kind): kind for kind in (*KINDS, *names.OPTIONAL_KINDS)}


def key_of(seen: Object) -> Key:
    """Give an object's namespace and name."""
    return intern(seen["metadata"].get("namespace", "")), intern(seen["metadata"]["name"])


class Store:
    """See the module."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Kept]] = {kind: {} for kind in _KIND_OF.values()}
        self._served: tuple[Kind, ...] = ()
        self._children: dict[str, set[tuple[Kind, Key]]] = {}
        self._autoscaled: set[Key] = set()
        self._claims: dict[Key, dict[Kind, Claims]] = {}
        self._claimants: dict[Claim, set[tuple[Kind, Key]]] = {}
        # When an object went, so that a late older event does not bring it back. A complete list says the same of all
        # that it does not show, so the horizon of the list takes the place of older entries.
        self._gone: dict[Kind, dict[Key, int]] = {kind: {} for kind in _KIND_OF.values()}
        self._horizons: dict[tuple[Kind, str | None], int] = {}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that the cluster serves, of those that are kept."""
        return (*KINDS, *self._served)

    def serve(self, served: Iterable[Kind]) -> bool:
        """Note which optional kinds the cluster serves, and forget what is no longer served.

        Args:
            served: some of `names.OPTIONAL_KINDS`.

        Returns:
            Whether they are others than before.
        """
        before, self._served = self._served, tuple(served)
        for kind in set(before) - set(self._served):
            for key in list(self._objects[kind]):
                self._forget(kind, key, None)
        return before != self._served

    def get(self, kind: Kind, key: Key) -> Object | None:
        """Return the newest version known of one object, as far as it is kept; the caller must not change it."""
        known = self._objects[kind].get(key)
        return known.unpack() if known is not None else None

    def services(self) -> list[Key]:
        """Return the keys of all services."""
        return list(self._objects[names.INFERENCE_SERVICE])

    def autoscaled(self) -> list[Key]:
        """Return the keys of the services whose replicas are the operator's to tell, or to recommend."""
        return sorted(self._autoscaled)

    def children(self, owner_uid: str, kind: Kind) -> list[Object]:
        """Return the children of one kind that a service controls, by name; the caller must not change them."""
        keys = sorted(key for child_kind, key in self._children.get(owner_uid, ()) if child_kind == kind)
        return [self._objects[kind][key].unpack() for key in keys]

    def claimants(self, wanted: Claims) -> list[tuple[Key, Claims]]:
        """Return the routes of services that claim some of the same requests, with all that they claim."""
        keys = {key for claim in wanted.listeners for _, key in self._claimants.get(claim, ())}
        return [(key, joined(self._claims[key].values())) for key in sorted(keys)]

    def observe(self, event_type: str | None, seen: Object) -> tuple[Key, ...]:
        """Take in a watch event.

        Args:
            event_type: "ADDED", "MODIFIED", "DELETED", or None for an object of a list.
            seen: the object.

        Returns:
            The keys of the services to look at: none when nothing changed that reconciliation reads.
        """
        kind = _kind_of(seen)
        key = key_of(seen)
        if event_type == "DELETED":
            last = Kept.of(kind, seen)
            return self._forget(kind, key, last.version, last)
        if self._is_stale(kind, key, version_of(seen)):
            return ()
        before = self._objects[kind].get(key)
        now = Kept.of(kind, seen)
        self._put(kind, key, now)
        if before is not None and before.digest == now.digest:
            return ()
        return _services(kind, key, (before, now))

    def saw(self, written: Object) -> None:
        """Take in the answer to a write of our own, so that the next look does not read an older state."""
        kind = _kind_of(written)
        key = key_of(written)
        if not self._is_stale(kind, key, version_of(written)):
            self._put(kind, key, Kept.of(kind, written))

    def lost(self, kind: Kind, key: Key, uid: str) -> None:
        """Forget an object that the API server said is gone, unless another one has taken its name since."""
        known = self._objects[kind].get(key)
        if known is not None and known.uid == uid:
            self._forget(kind, key, known.version)

    def sweep(self, kind: Kind, namespace: str | None, present: Collection[Key], resource_version: str) -> set[Key]:
        """Forget what a complete list did not show: only such a list tells what was deleted while no watch was open.

        Args:
            kind: the kind listed, with the selectors of the watch.
            namespace: the namespace listed, or None for all.
            present: what the list showed, all of it taken in or known.
            resource_version: of the list.

        Returns:
            The keys of the services to look at because of that.
        """
        changed: set[Key] = set()
        horizon = number(resource_version)
        if horizon is None:
            return changed
        for key, known in list(self._objects[kind].items()):
            in_scope = namespace is None or key[0] == namespace
            if in_scope and key not in present and known.version is not None and known.version <= horizon:
                changed.update(self._forget(kind, key, known.version))
        scope = (kind, namespace)
        self._horizons[scope] = max(horizon, self._horizons.get(scope, 0))
        gone = self._gone[kind]
        for key in [key for key, at in gone.items() if at <= horizon and (namespace is None or key[0] == namespace)]:
            del gone[key]
        return changed

    def _is_stale(self, kind: Kind, key: Key, version: int | None) -> bool:
        if version is None:
            return False
        known = self._objects[kind].get(key)
        if known is not None:
            return known.version is not None and version <= known.version
        horizons = (self._horizons.get((kind, None), 0), self._horizons.get((kind, key[0]), 0))
        return version <= max(self._gone[kind].get(key, 0), *horizons)

    def _put(self, kind: Kind, key: Key, now: Kept) -> None:
        self._unlink(kind, key)
        if kind == names.INFERENCE_SERVICE:
            self._objects[kind][key] = now
            if _is_autoscaled(now.unpack()):
                self._autoscaled.add(key)
        elif now.owner is not None:  # else it is not a child of ours, whatever its labels say
            self._objects[kind][key] = now
            self._children.setdefault(now.owner[1], set()).add((kind, key))
            if kind in names.ROUTE_KINDS:
                claimed = claims_of(now.unpack())
                self._claims.setdefault(key, {})[kind] = claimed
                for claim in claimed.listeners:
                    self._claimants.setdefault(claim, set()).add((kind, key))

    def _forget(self, kind: Kind, key: Key, version: int | None, *last: Kept) -> tuple[Key, ...]:
        known = self._objects[kind].get(key)
        if known is not None and version is not None and known.version is not None and known.version > version:
            return ()  # the deletion of a predecessor
        self._unlink(kind, key)
        if version is not None:
            self._gone[kind][key] = max(version, self._gone[kind].get(key, 0))
        return _services(kind, key, (known, *last))

    def _unlink(self, kind: Kind, key: Key) -> None:
        known = self._objects[kind].pop(key, None)
        if kind == names.INFERENCE_SERVICE:
            self._autoscaled.discard(key)
        if kind in names.ROUTE_KINDS and (claimed := self._claims.get(key, {}).pop(kind, None)):
            if not self._claims[key]:
                del self._claims[key]
            for claim in claimed.listeners:
                self._claimants[claim].discard((kind, key))
                if not self._claimants[claim]:
                    del self._claimants[claim]
        owner = known.owner if known is not None else None
        if owner is not None and (siblings := self._children.get(owner[1])) is not None:
            siblings.discard((kind, key))
            if not siblings:
                del self._children[owner[1]]


def _is_autoscaled(service: Object) -> bool:
    autoscaling = (service.get("spec") or {}).get("autoscaling") or {"mode": "Off"}
    return bool(autoscaling.get("mode") != "Off")


def _services(kind: Kind, key: Key, versions: Iterable[Kept | None]) -> tuple[Key, ...]:
    found = [version for version in versions if version is not None]
    if kind == names.INFERENCE_SERVICE:
        return (key,) if found else ()
    return tuple(dict.fromkeys(version.owner[0] for version in found if version.owner is not None))


def _kind_of(seen: Object) -> Kind:
    return _KIND_OF[seen["apiVersion"], seen["kind"]]
