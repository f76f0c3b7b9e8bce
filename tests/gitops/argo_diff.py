"""Argo CD's default comparison of a custom resource: a three-way merge of Git, what was applied, and what is live.

What was not applied is first taken out of the live object, also from items of lists; then Git's changes and removals
are merged into it. Not for: server-side diff, which asks the API server.
"""

from typing import Any

Json = dict[str, Any]


def is_synced(git: Json, live: Json, applied: Json) -> bool:
    """Say whether Argo CD shows an object as Synced.

    Args:
        git: the manifest as it is in Git.
        live: the object in the cluster.
        applied: the manifest as it was applied last.
    """
    git, live, applied = _compared(git), _compared(live), _compared(applied)
    patch = _merged(_removed(applied, git), _changed(_kept(applied, live), git))
    return bool(_patched(live, patch) == live)


def _compared(body: Json) -> Json:
    """Leave out what Argo CD does not look at."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "namespace"}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}


def _changed(old: Json, new: Json) -> Json:
    """Give additions and changes; lists are changed as a whole."""
    found = {}
    for key, value in new.items():
        if key in old and isinstance(value, dict) and isinstance(old[key], dict):
            if below := _changed(old[key], value):
                found[key] = below
        elif key not in old or value != old[key]:
            found[key] = value
    return found


def _removed(old: Json, new: Json) -> Json:
    """Give what is there no more, as null."""
    found: Json = {}
    for key, value in old.items():
        if key not in new:
            found[key] = None
        elif isinstance(value, dict) and isinstance(new[key], dict) and (below := _removed(value, new[key])):
            found[key] = below
    return found


def _kept(reference: Any, live: Any) -> Any:
    """Take out of a live object what a reference does not have."""
    if isinstance(reference, dict) and isinstance(live, dict):
        return {key: _kept(value, live[key]) for key, value in reference.items() if key in live}
    if isinstance(reference, list) and isinstance(live, list):
        return [_kept(reference[i], item) if i < len(reference) else item for i, item in enumerate(live)]
    return live


def _merged(one: Json, other: Json) -> Json:
    below = {
        key: _merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
        for key, value in other.items()
    }
    return one | below


def _patched(live: Json, patch: Json) -> Json:
    """Apply a JSON merge patch (RFC 7386)."""
    found = dict(live)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            found[key] = _patched(found[key] if isinstance(found.get(key), dict) else {}, value)
        else:
            found[key] = value
    return found
