"""The record is read back as it was written; anything else counts as lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.signature import About, Signature, Tensor
from triton_operator.core.judge import Counts, Evidence
from triton_operator.core.record import Record, Sample, Shared, Tally, Trial
from triton_operator.core.record_text import decode, encode

NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
RECORDS = st.builds(
    Record,
    stable=st.none() | NAMES,
    serving=st.lists(NAMES, max_size=3).map(tuple),
    target=st.none() | NAMES,
    started=st.floats(0, 1e12),
    progress=st.integers(0, 1000),
    suspended=st.booleans(),
    resuming=st.booleans(),
    admitted=st.lists(NAMES, max_size=2).map(tuple),
    about=st.dictionaries(
        NAMES,
        st.builds(
            lambda name, shape, kind, decoupled: About(
                Signature((Tensor(name, "FP32", shape),), (), 4), (kind,), decoupled
            ),
            NAMES,
            st.lists(st.integers(-1, 9), max_size=2).map(tuple),
            NAMES,
            st.booleans(),
        ),
        max_size=2,
    ),
    failure=st.none()
    | st.fixed_dictionaries(
        {name: NAMES for name in ("reason", "message", "revision", "time")}, optional={"pod": NAMES}
    ),
)


@given(record=RECORDS)
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert decode(encode(record)) == record
    assert encode(record) == encode(decode(encode(record)) or Record())


TRIAL = Trial(
    revision="vision-b",
    steps="s",
    step=1,
    weight=10,
    since=5.0,
    serving=4.0,
    evidence={"errors": Evidence(Counts(canary=9, stable=90, canary_bad=1, stable_bad=2))},
    tallies={"mine": Tally(good=1, last="PASS", value="3")},
    shared=Shared(weight=10, canary=9, requests=99, astray=50, astray_canary=1),
    samples={"pod": Sample("vision-b", 9, 1, 6.0, timed=9, slow=2)},
    sampled=6.0,
    heard=6.0,
    trouble="t",
    unseen=True,
    level=5.0,
)


def test_a_trial_is_read_back_and_what_a_later_version_adds_is_passed_over() -> None:
    record = Record(stable="vision-a", target="vision-b", trial=TRIAL)
    assert decode(encode(record)) == record

    def extended(value: Any) -> Any:
        if isinstance(value, dict):
            named = value.keys() & {"evidence", "tallies", "samples", "known", "about", "restarts", "taken"}
            kept = {
                k: {n: extended(v) for n, v in of.items()} if k in named else extended(of) for k, of in value.items()
            }
            return kept | {"later": 1}
        return value

    assert decode(json.dumps(extended(json.loads(encode(record))))) == record


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="list"),
        pytest.param('"schema"', id="text"),
        pytest.param("{}", id="no schema"),
        pytest.param('{"schema": 2}', id="other schema"),
        pytest.param('{"schema": 1, "serving": 5}', id="number for a list"),
        pytest.param('{"schema": 1, "started": "soon"}', id="text for a time"),
        pytest.param('{"schema": 1, "about": []}', id="list for a map"),
        pytest.param('{"schema": 1, "about": {"a": 1}}', id="number in a map"),
        pytest.param('{"schema": 1, "failure": 5}', id="number for a failure"),
        pytest.param('{"schema": 1, "started": NaN}', id="not a number"),
        pytest.param('{"schema": 1, "started": 1e999}', id="infinity"),
        pytest.param('{"schema": 1, "serving": "vision-a"}', id="text for a list"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_record_counts_as_lost(text: str) -> None:
    assert decode(text) is None


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    field=st.sampled_from(["stable", "serving", "target", "started", "about", "admitted", "failure", "resuming"]),
)
def test_no_text_makes_reading_fail(value: Any, field: str) -> None:
    record = decode(json.dumps({"schema": 1, field: value}))
    assert record is None or isinstance(record.serving, tuple)


def test_fields_of_another_version_of_the_operator_are_passed_over() -> None:
    assert decode('{"schema": 1, "stable": "a", "step": 3}') == Record(stable="a", admitted=("a",))


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"reason": "X", "message": "m", "revision": "a-1"}, id="no time"),
        pytest.param({"reason": 1, "message": "m", "revision": "a-1", "time": "t"}, id="a reason that is no text"),
        pytest.param(["x"], id="a list"),
    ],
)
def test_a_failure_that_the_operator_did_not_write_is_dropped_and_the_record_kept(failure: object) -> None:
    text = encode(Record(stable="a-1")).replace('"failure":null', f'"failure":{json.dumps(failure)}')
    record = decode(text)
    assert record is None or (record.stable == "a-1" and record.failure is None)


def test_what_served_before_there_were_checks_counts_as_checked() -> None:
    assert decode('{"schema": 1, "serving": ["a"], "stable": "b"}') == Record(
        stable="b", serving=("a",), admitted=("a", "b")
    )
