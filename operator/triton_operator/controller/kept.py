"""What is kept of an object in memory: what somebody reads, packed to a tenth of what it takes as Python objects.

A Deployment is 11 kB of JSON and 48 kB as dicts; packed it takes 3.5 kB, and 0.05 ms to read.
Not for: which version of an object is known; that is `controller.store`.
"""

import marshal
import zlib
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Self

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.controller.queue import Key
from triton_operator.edges.kubernetes import Object

UNPACKED = 256
"""Objects that were read last are kept as they are, too: a reconcile reads each of its own twice."""

# Of marshal's formats the last one whose bytes depend on nothing but the values.
_FORMAT = 2
_HEARTBEATS = frozenset({"lastUpdateTime", "lastHeartbeatTime", "lastProbeTime"})
# What is read of a Deployment's status, which changes five times while its pods start.
_COUNTS = ("replicas", "readyReplicas")
_REFUSED = "ReplicaFailure"


def owner_of(child: Object) -> tuple[Key, str] | None:
    """Find the service that controls an object.

    Returns:
        The service's key and uid, or None when no InferenceService is the object's controller.
    """
    metadata = child["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        group = reference.get("apiVersion", "").partition("/")[0]
        if reference.get("controller") and reference.get("kind") == "InferenceService" and group == names.GROUP:
            key = intern(metadata.get("namespace", "")), intern(reference["name"])
            return key, intern(reference["uid"])
    return None


def version_of(seen: Object) -> int | None:
    """Read an object's resourceVersion; None when it cannot be compared."""
    return number(seen["metadata"].get("resourceVersion", ""))


def number(resource_version: str) -> int | None:
    """Read a resourceVersion as a number; None when it is not one."""
    return int(resource_version) if resource_version.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Kept:
    """One object.

    Attributes:
        version: its resourceVersion, or None when it cannot be compared.
        uid: its uid.
        owner: key and uid of the service that controls it, or None.
        digest: stands for all that reconciliation reads of it; the same digest, nothing to do.
        packed: the object, without what nobody reads.
    """

    version: int | None
    uid: str
    owner: tuple[Key, str] | None
    digest: bytes
    packed: bytes

    @classmethod
    def of(cls, kind: Kind, seen: Object) -> Self:
        """Keep an object; what was given stays as it is."""
        slim = _slim(kind, seen)
        return cls(
            version=version_of(seen),
            uid=seen["metadata"].get("uid", ""),
            owner=owner_of(seen),
            digest=blake2b(marshal.dumps(_essence(kind, slim), _FORMAT), digest_size=16).digest(),
            packed=zlib.compress(marshal.dumps(slim, _FORMAT), 1),
        )

    def unpack(self) -> Object:
        """Give the object; the caller must not change it."""
        return _unpacked(self.packed)


@lru_cache(maxsize=UNPACKED)
def _unpacked(packed: bytes) -> Object:
    body: Object = marshal.loads(zlib.decompress(packed))
    return body


def _slim(kind: Kind, seen: Object) -> Object:
    """Leave out who owns which fields, but for our own, from which drift is told."""
    metadata = dict(seen["metadata"])
    entries = metadata.pop("managedFields", None) or ()
    if kind != names.INFERENCE_SERVICE:
        metadata["managedFields"] = [
            {name: value for name, value in entry.items() if name != "time"}
            for entry in entries
            if entry.get("manager") == names.FIELD_MANAGER and not entry.get("subresource")
        ]
    slim = seen | {"metadata": metadata}
    if kind == names.CONFIG_MAP and seen.get("immutable"):  # the copy of a ConfigMap: that it is there says it all
        return {name: value for name, value in slim.items() if name not in ("data", "binaryData")}
    return slim


def _essence(kind: Kind, slim: Object) -> Object:
    """Pick what reconciliation reads: not versions, heartbeats, others' annotations, nor what others say of a child."""
    metadata = {name: value for name, value in slim["metadata"].items() if name != "resourceVersion"}
    essence = slim | {"metadata": metadata}
    status: Any = essence.pop("status", None) or {}
    if kind == names.INFERENCE_SERVICE:
        conditions = status.get("conditions") or ()
        essence["status"] = status | {
            "conditions": [{k: v for k, v in c.items() if k not in _HEARTBEATS} for c in conditions]
        }
        return essence
    annotations = metadata.pop("annotations", None) or {}
    metadata["annotations"] = annotations.get(names.ANNOTATION_APPLIED)
    if kind == names.DEPLOYMENT:
        refused = [(c.get("status"), c.get("message")) for c in status.get("conditions") or () if c["type"] == _REFUSED]
        essence["status"] = [[status.get(name, 0) for name in _COUNTS], refused]
    if kind in names.ROUTE_KINDS:
        essence["status"] = [
            [{name: value for name, value in c.items() if name != "lastTransitionTime"} for c in of["conditions"]]
            for of in status.get("parents") or ()
            if of.get("conditions")
        ]
    return essence
