"""The operator's own memory of one service, kept in the child ConfigMap `<service>-record`.

It holds what can be worked out from nothing else: pointers to revisions and absolute time stamps. If it is lost, the
pointers are rebuilt from the children, and a rejection from the revision that it is of (see `core.rollout.recover`).
Not for: what people read; that is the status.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from triton_operator.api.signature import About, about_from_json
from triton_operator.core.judge import ALTERNATIVES, Counts, Evidence
from triton_operator.core.resolution import Resolution, from_json

SCHEMA = 1
KEY = "record.json"
_FAILURE = {"reason": 128, "message": 4096, "revision": 63, "time": 64, "pod": 253}  # texts, and their bounds


@dataclass(frozen=True, slots=True)
class Attempt:
    """Looking up what a spec's sources resolve to.

    Attributes:
        key: what is asked, see `core.resolution.key_of`.
        token: names the refresh that asks; "" where the spec does.
        since: when it began, in seconds since the epoch.
        tries: how often a pod was made for it.
        last: when the last one was.
        refused: whether the last answer was one that waiting does not mend.
    """

    key: str
    token: str = ""
    since: float = 0.0
    tries: int = 0
    last: float = 0.0
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A spec that is not carried out until it changes, and what is instead.

    Attributes:
        spec: stands for the spec, see `core.goal`.
        revision: the revision that it asks for.
        goal: the revision that is to serve.
        by: who rejected it: the operator, as it failed, or a person.
        reason: one word.
        message: why.
        time: when, as in the status.
    """

    spec: str
    revision: str
    goal: str
    by: Literal["operator", "person"]
    reason: str
    message: str
    time: str


@dataclass(frozen=True, slots=True)
class Warm:
    """The revision that served before, kept for instant return.

    Attributes:
        revision: its name.
        until: until when, in seconds since the epoch.
    """

    revision: str
    until: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of one pod, or of one backend of a proxy, when they were read last.

    Attributes:
        revision: whose requests were counted.
        requests: requests that ended since the program that counts them began.
        failed: those of them that failed.
        timed: requests whose duration was counted.
        slow: those of them that took longer than they may.
        at: when they were counted, in seconds since the epoch.
    """

    revision: str
    requests: int
    failed: int
    at: float
    timed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """How Gateways have shared requests out under one weight.

    Attributes:
        weight: share of the canary that they had taken over, in percent; 0 before.
        canary: requests that went to the canary since then.
        requests: all of them.
        astray: requests after which it was certain that they are shared out otherwise, and were counted anew; 0 before.
        astray_canary: those of them that went to the canary.
    """

    weight: int = 0
    canary: int = 0
    requests: int = 0
    astray: int = 0
    astray_canary: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What the values of a person's own metric have come to.

    Attributes:
        good: values that were good.
        bad: values that were bad.
        unclear: how often in a row there was neither.
        last: what the last one was: PASS, FAIL or CONTINUE; "" before the first.
        value: the last one; "" where there was none.
        trouble: why it could not be had when it was asked for last; "" where it could.
        invalid: whether that is for the query itself.
    """

    good: int = 0
    bad: int = 0
    unclear: int = 0
    last: str = ""
    value: str = ""
    trouble: str = ""
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary under way: how far it is, and what it has shown.

    Attributes:
        revision: the revision on trial.
        steps: stands for the steps that it goes by.
        step: index of the step that it is at; their number when it is past the last one.
        weight: the weight of the last step that set one, in percent; what the pods carry may be less.
        since: when the step began to count, in seconds since the epoch; 0 before.
        serving: when its first weight was asked for, or a person let it go on; 0 before.
        paused: why it stays where it is until a person acts, one word; "" where it does not.
        promoted: whether it takes over, pod by pod.
        bounds: stands for the bounds by which it is judged.
        evidence: what its requests have shown beside those of stable, by metric.
        tallies: what the values of the person's own metrics have come to, by metric.
        shared: how requests were shared out under the weight of now.
        edge: the duration in milliseconds above which requests were counted as slow; 0 where none was.
        source: stands for which requests they count; counters of others are no sequels.
        samples: by whose they are, the counters read last; empty where the next look begins anew.
        sampled: when they were asked for last; 0 before.
        heard: when there was an answer last; 0 before.
        trouble: what was amiss with it; "" for nothing.
        unseen: whether requests of some kind were counted of which nobody tells whether they failed.
        level: since when the weight has been taken over; 0 before.
    """

    revision: str
    steps: str
    step: int = 0
    weight: int = 0
    since: float = 0.0
    serving: float = 0.0
    paused: str = ""
    promoted: bool = False
    bounds: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    shared: Shared = Shared()
    edge: float = 0.0
    source: str = ""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    sampled: float = 0.0
    heard: float = 0.0
    trouble: str = ""
    unseen: bool = False
    level: float = 0.0


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
        admitted: revisions that passed the checks before traffic, or came before there were any.
        about: for each revision, what its Triton says about it.
        failure: the last failure of the target, as in the status.
        resolution: what the sources of the spec resolved to, or None while that is not known.
        attempt: the look at the sources that is under way or has failed, or None.
        held: a spec that is not carried out, or None.
        restarts: for revisions that a person had restarted, when, as in the annotation of their pods.
        warm: the revision that served before, while its pods are kept, or None.
        trial: the canary under way, or None.
        known: backends of the HTTPRoute that all Gateways have, and since when, in seconds since the epoch.
        slots: the revisions that the two backends of the HTTPRoute are, "" for a free one; () where there are none.
        plain: stands for the Gateways of which one takes no filters of backends; "" where all do, as far as is known.
        taken: for each action the value of its annotation that was taken last.
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
    admitted: tuple[str, ...] = ()
    about: dict[str, About] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    resolution: Resolution | None = None
    attempt: Attempt | None = None
    held: Held | None = None
    warm: Warm | None = None
    trial: Trial | None = None
    slots: tuple[str, ...] = ()
    plain: str = ""
    known: Mapping[str, float] = field(default_factory=dict)
    restarts: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)


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
        shared=Shared(**{name: int(count) for name, count in value["shared"].items()}),
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


def _evidence(value: Mapping[str, Any]) -> Evidence:
    def ratios(name: str) -> tuple[float, ...]:
        found = tuple(_time(each) for each in value[name])
        if len(found) != ALTERNATIVES:
            raise ValueError(f"{len(found)} ratios are not {ALTERNATIVES}")
        return found

    counts = Counts(**{name: int(count) for name, count in value["counts"].items()})
    return Evidence(counts, harm=ratios("harm"), harmless=ratios("harmless"))


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
