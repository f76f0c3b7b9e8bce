"""The operator's own memory of one service, kept in the child ConfigMap `<service>-record`.

It holds what can be worked out from nothing else: pointers to revisions and absolute time stamps. If it is lost, the
pointers are rebuilt from the children (see `core.rollout.recover`).
Not for: what people read; that is the status.
"""

import json
import math
from dataclasses import dataclass, field, fields
from typing import Any

SCHEMA = 1
KEY = "record.json"
_FAILURE = {"reason": 128, "message": 4096, "revision": 63, "time": 64, "pod": 253}  # texts, and their bounds


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one service.

    Attributes:
        stable: the revision that has proven itself, or None before the first one has.
        serving: revisions whose pods are in the Service; more than one while one takes over from another.
        target: the revision that the spec asked for at the last look.
        started: when the work under way began or last got on, in seconds since the epoch; 0 while there is none.
        placed: since when all its pods have had nodes; 0 before that.
        homeless: since when pods of it find no node; 0 while none does.
        progress: the most pods of the target that have been ready since that work began.
        suspended: whether the service was suspended at the last look.
        resuming: whether stable is being brought back before the target goes on.
        kinds: for each revision, the kinds of instances that Triton really loaded, such as KIND_GPU.
        failure: the last failure of the target, as in the status.
    """

    stable: str | None = None
    serving: tuple[str, ...] = ()
    target: str | None = None
    started: float = 0.0
    placed: float = 0.0
    homeless: float = 0.0
    progress: int = 0
    suspended: bool = False
    resuming: bool = False
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failure: dict[str, Any] | None = None


def encode(record: Record) -> str:
    """Print a record as JSON, the same text for the same record."""
    values = {f.name: getattr(record, f.name) for f in fields(Record)}
    return json.dumps({"schema": SCHEMA} | values, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> Record | None:
    """Read a record.

    Args:
        text: what `encode` printed, perhaps of another version of the operator: unknown fields are passed over.

    Returns:
        The record, or None if the text is not one, which counts as a lost record.
    """
    try:
        values = json.loads(text)
        if values["schema"] != SCHEMA:
            return None
        known = {f.name: values[f.name] for f in fields(Record) if f.name in values}
        record = Record(**known)
        return Record(
            stable=_name(record.stable),
            serving=_names(record.serving),
            target=_name(record.target),
            started=_time(record.started),
            placed=_time(record.placed),
            homeless=_time(record.homeless),
            progress=int(record.progress),
            suspended=bool(record.suspended),
            resuming=bool(record.resuming),
            kinds={name: _names(kinds) for name, kinds in record.kinds.items()},
            failure=_failure(record.failure),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _name(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is not a name")


def _names(values: object) -> tuple[str, ...]:
    if isinstance(values, list | tuple) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise TypeError(f"{values!r} are not names")


def _failure(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Take a failure only as the operator writes it: it goes into the status, where nothing else is allowed."""
    if not value:
        return None
    texts = {name: value[name][:length] for name, length in _FAILURE.items() if isinstance(value.get(name), str)}
    if not {"reason", "message", "revision", "time"} <= texts.keys():
        return None
    code = value.get("exitCode")
    return texts | ({"exitCode": code} if isinstance(code, int) and abs(code) < 2**31 else {})


def _time(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time")
    return float(value)
