"""Printing the record of a service as text, and reading it: also what another version of the operator has printed.

Not for: what it holds; that is `core.record`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from triton_operator.api.signature import about_from_json
from triton_operator.core.autoscaler import Decision
from triton_operator.core.capacity import Curve
from triton_operator.core.judge import ALTERNATIVES, Counts, Evidence
from triton_operator.core.record import Attempt, Held, Record, Sample, Scale, Shared, Tally, Trial, Warm
from triton_operator.core.resolution import from_json

SCHEMA = 1
KEY = "record.json"
_FAILURE = {"reason": 128, "message": 4096, "revision": 63, "time": 64, "pod": 253}  # texts, and their bounds


def encode(record: Record) -> str:
    """Print a record as JSON, the same text for the same record."""
    values = asdict(record)
    values["about"] = {name: about.to_json() for name, about in record.about.items()}
    values["resolution"] = record.resolution.to_json() if record.resolution else None
    return json.dumps({"schema": SCHEMA} | values, sort_keys=True, separators=(",", ":"))


def print_held(held: Held) -> str:
    """Print why a spec is held as JSON, the same text for the same reason."""
    return json.dumps(asdict(held), sort_keys=True, separators=(",", ":"))


def read_held(text: str) -> Held | None:
    """Read why a spec is held.

    Args:
        text: what `print_held` printed, perhaps of another version of the operator.

    Returns:
        The reason, or None if the text is not one.
    """
    try:
        return _held(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


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
        empty = Record()

        def given(name: str) -> Any:
            return values.get(name, getattr(empty, name))

        return Record(
            stable=_name(given("stable")),
            serving=_names(given("serving")),
            target=_name(given("target")),
            started=_time(given("started")),
            placed=_time(given("placed")),
            homeless=_time(given("homeless")),
            progress=int(given("progress")),
            suspended=bool(given("suspended")),
            resuming=bool(given("resuming")),
            admitted=_names(values["admitted"] if "admitted" in values else _served(values)),
            about={str(name): about_from_json(value) for name, value in given("about").items()},
            failure=_failure(given("failure")),
            resolution=from_json(given("resolution")),
            attempt=_attempt(given("attempt")),
            held=_held(given("held")),
            warm=_warm(given("warm")),
            trial=_trial(given("trial")),
            slots=_names(given("slots")),
            plain=str(given("plain")),
            known={str(name): _time(since) for name, since in given("known").items()},
            restarts=_texts(given("restarts")),
            taken=_texts(given("taken")),
            scale=_scale(given("scale")),
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


def _served(values: Mapping[str, Any]) -> list[str]:
    """List the revisions that served before there were checks."""
    return [*values.get("serving", ()), *([values["stable"]] if values.get("stable") else [])]


def _failure(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Take a failure only as the operator writes it: it goes into the status, where nothing else is allowed."""
    if not value:
        return None
    texts = {name: value[name][:length] for name, length in _FAILURE.items() if isinstance(value.get(name), str)}
    if not {"reason", "message", "time"} <= texts.keys():
        return None
    code = value.get("exitCode")
    return texts | ({"exitCode": code} if isinstance(code, int) and abs(code) < 2**31 else {})


def _attempt(value: Mapping[str, Any] | None) -> Attempt | None:
    if not value:
        return None
    return Attempt(
        key=str(value["key"]),
        token=str(value["token"]),
        since=_time(value["since"]),
        tries=int(value["tries"]),
        last=_time(value["last"]),
        refused=bool(value.get("refused")),
    )


def _held(value: Mapping[str, Any] | None) -> Held | None:
    if not value:
        return None
    texts = {name: str(value[name]) for name in ("spec", "revision", "goal", "reason", "message", "time")}
    return Held(by="person" if value["by"] == "person" else "operator", **texts)


def _warm(value: Mapping[str, Any] | None) -> Warm | None:
    return Warm(str(value["revision"]), _time(value["until"])) if value else None


def _trial(value: Mapping[str, Any] | None) -> Trial | None:
    if not value:
        return None
    return Trial(
        revision=str(value["revision"]),
        steps=str(value["steps"]),
        step=int(value["step"]),
        weight=int(value["weight"]),
        since=_time(value["since"]),
        serving=_time(value["serving"]),
        paused=str(value["paused"]),
        promoted=bool(value["promoted"]),
        bounds=str(value["bounds"]),
        evidence={str(name): _evidence(of) for name, of in value["evidence"].items()},
        tallies={str(name): _tally(of) for name, of in value.get("tallies", {}).items()},
        shared=Shared(**_counts(Shared, value["shared"])),
        edge=_time(value["edge"]),
        source=str(value.get("source", "")),
        samples={
            str(place): Sample(
                str(sample["revision"]),
                int(sample["requests"]),
                int(sample["failed"]),
                _time(sample["at"]),
                timed=int(sample["timed"]),
                slow=int(sample["slow"]),
            )
            for place, sample in value["samples"].items()
        },
        sampled=_time(value["sampled"]),
        heard=_time(value["heard"]),
        trouble=str(value["trouble"]),
        unseen=bool(value.get("unseen")),
        level=_time(value["level"]),
    )


def _scale(value: Mapping[str, Any] | None) -> Scale | None:
    """Read what the autoscaler had decided; what another version had learned otherwise is learned anew."""
    if not value:
        return None
    told, learned = value["decision"], value.get("curve") or {}
    return Scale(
        decision=Decision(
            replicas=int(told["replicas"]),
            because=str(told.get("because", "")),
            capacity=_time(told.get("capacity", 0.0)),
            lead_seconds=_time(told.get("lead_seconds", 0.0)),
            hold_until=_time(told.get("hold_until", 0.0)),
            hold_reason=str(told.get("hold_reason", "")),
            limited_by=str(told.get("limited_by", "")),
            measured_at=_time(told.get("measured_at", 0.0)),
            age_seconds=_time(told.get("age_seconds", 0.0)),
            reason=str(told.get("reason", "Starting")),
            message=str(told.get("message", "")),
            basis=str(told.get("basis", "")),
        ),
        revision=str(value.get("revision", "")),
        curve=Curve(**{field.name: _time(learned[field.name]) for field in fields(Curve) if field.name in learned}),
        felt=_time(value.get("felt", 0.0)),
        hold_seconds=_time(value.get("hold_seconds", 0.0)),
        contested=int(value.get("contested", 0)),
        generation=int(value.get("generation", 0)),
    )


def _evidence(value: Mapping[str, Any]) -> Evidence:
    def ratios(name: str) -> tuple[float, ...]:
        found = tuple(_time(each) for each in value[name])
        if len(found) != ALTERNATIVES:
            raise ValueError(f"{len(found)} ratios are not {ALTERNATIVES}")
        return found

    counts = Counts(**_counts(Counts, value["counts"]))
    return Evidence(counts, harm=ratios("harm"), harmless=ratios("harmless"))


def _counts(of: type[Shared] | type[Counts], value: Mapping[str, Any]) -> dict[str, int]:
    """Take the numbers that this version knows."""
    return {field.name: int(value[field.name]) for field in fields(of) if field.name in value}


def _tally(value: Mapping[str, Any]) -> Tally:
    return Tally(
        good=int(value["good"]),
        bad=int(value["bad"]),
        unclear=int(value["unclear"]),
        last=str(value["last"]),
        value=str(value["value"]),
        trouble=str(value["trouble"]),
        invalid=bool(value["invalid"]),
    )


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()}


def _time(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time")
    return float(value)
