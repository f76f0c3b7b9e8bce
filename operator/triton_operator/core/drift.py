"""Whether a child still is as we applied it, told from its field ownership.

The API server takes a field from our manager's set as soon as somebody else changes or removes it, so ownership shows
drift exactly, without comparing values that the server may have rewritten (1000m to 1, say).
Not for: putting it right; that is an apply.
"""

import hashlib
import json
from typing import Any

from triton_operator.api.names import ANNOTATION_APPLIED, FIELD_MANAGER

Json = dict[str, Any]

_IMPLIED = {"protocol": "TCP"}  # keys of list items that the API server fills in
_IDENTITY = frozenset({"name", "namespace", "uid", "resourceVersion"})


def fingerprint(body: Json) -> str:
    """Fingerprint what is to be applied.

    Args:
        body: the object, without the fingerprint.

    Returns:
        32 hexadecimal digits, the same for the same content.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stamped(body: Json) -> Json:
    """Write a body's fingerprint into its annotations, in a copy."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {}) | {ANNOTATION_APPLIED: fingerprint(body)}
    return body | {"metadata": metadata | {"annotations": annotations}}


def is_as_applied(live: Json, body: Json) -> bool:
    """Say whether a live object still is what applying a body would make of it.

    Args:
        live: the object, with managedFields.
        body: what we mean, without the fingerprint.

    Returns:
        False if the body differs from the one applied last, or a field of it is no longer ours.
    """
    annotations = live["metadata"].get("annotations") or {}
    wanted = stamped(body)
    if annotations.get(ANNOTATION_APPLIED) != wanted["metadata"]["annotations"][ANNOTATION_APPLIED]:
        return False
    return any(
        _owned(_content(wanted), entry.get("fieldsV1") or {})
        for entry in live["metadata"].get("managedFields") or []
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
    )


def applied(live: Json) -> Json:
    """Pick out of a live object the fields that we have applied, leaving out what the API server filled in.

    Args:
        live: the object, with managedFields.

    Returns:
        The part of it that is ours; {} if nothing is.
    """
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return _picked(live, entry.get("fieldsV1") or {})
    return {}


def _picked(value: Json, tree: Json) -> Json:
    return {
        key: _picked_value(item, branch) for key, item in value.items() if (branch := tree.get(f"f:{key}")) is not None
    }


def _picked_value(value: Any, branch: Json) -> Any:
    if isinstance(value, dict) and branch:
        return _picked(value, branch)
    keyed = [(json.loads(key[2:]), below) for key, below in branch.items() if key.startswith("k:")]
    if isinstance(value, list) and keyed:
        return [
            _picked(item, below) if below else item
            for item in value
            for key, below in keyed
            if all(item.get(name) == wanted for name, wanted in key.items())
        ]
    return value


def _content(body: Json) -> Json:
    metadata = {key: value for key, value in body["metadata"].items() if key not in _IDENTITY}
    return {key: value for key, value in body.items() if key not in {"apiVersion", "kind"}} | {"metadata": metadata}


def _owned(value: Json, tree: Json) -> bool:
    for key, item in value.items():
        branch = tree.get(f"f:{key}")
        if branch is None:
            return False
        if isinstance(item, dict) and branch and not _owned(item, branch):
            return False
        if isinstance(item, list) and branch and not all(_item_owned(entry, branch) for entry in item):
            return False
    return True


def _item_owned(entry: Any, branch: Json) -> bool:
    """Find a list item in the branch of its list: by key fields (k:), by value (v:); atomic lists have no items."""
    keyed = [(json.loads(key[2:]), below) for key, below in branch.items() if key.startswith("k:")]
    if keyed and isinstance(entry, dict):
        given = _IMPLIED | entry
        return any(
            all(given.get(name) == value for name, value in key.items()) and (not below or _owned(entry, below))
            for key, below in keyed
        )
    values = [json.loads(key[2:]) for key in branch if key.startswith("v:")]
    return entry in values if values else True
