"""Golden requests: what can be read, and what counts as the same answer."""

import json
import math
from typing import Any

import pytest

from triton_operator.api.golden import GoldenRequestsInvalid, mismatch, parse

X = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [[1.0, 2.0]]}
Y = {"name": "Y", "datatype": "FP32", "shape": [1, 2], "data": [10.0, 0.0]}


def body(**changes: Any) -> str:
    return json.dumps({"inputs": [X], "outputs": [Y]} | changes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param({}, "holds 0 keys", id="empty"),
        pytest.param({"a.json": "{"}, "a.json: not JSON", id="not JSON"),
        pytest.param({"a.json": "[]"}, "a.json: a JSON object", id="no object"),
        pytest.param({"a.json": body(input=[])}, "a.json: 'input' is not known", id="unknown field"),
        pytest.param({"a.json": body(outputs=[])}, "a.json: outputs: a list", id="nothing expected"),
        pytest.param({"a.json": body(inputs=[X | {"datatype": "FP31"}])}, "a.json: inputs[0].datatype: 'FP31'", id="datatype"),  # noqa: E501
        pytest.param({"a.json": body(inputs=[X | {"shape": [3]}])}, "a.json: inputs[0].data: shape [3] wants 3 elements, found 2", id="count"),  # noqa: E501
        pytest.param({"a.json": body(inputs=[X | {"shape": [-1, 2]}])}, "a.json: inputs[0].shape", id="open shape"),
        pytest.param({"a.json": body(inputs=[X | {"data": [1, "2"]}])}, "inputs[0].data, index 1: '2' is not FP32", id="element"),  # noqa: E501
        pytest.param({"a.json": body(outputs=[{"name": "Y", "datatype": "INT8", "data": [128]}])}, "outputs[0].data, index 0: 128 is not INT8", id="range"),  # noqa: E501
        pytest.param({"a.json": body(tolerance={"relative": -1})}, "a.json: tolerance.relative", id="tolerance"),
        pytest.param({"a.json": body(tolerance={"rel": 1})}, "a.json: tolerance holds", id="unknown tolerance"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_key_and_place(data: dict[str, str], said: str) -> None:
    with pytest.raises(GoldenRequestsInvalid) as told:
        parse(data)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("got", "differs"),
    [
        pytest.param([10.0, 0.0], None, id="the same"),
        pytest.param([10.009, 0.000009], None, id="within both tolerances"),
        pytest.param([10.02, 0.0], "golden request a, output Y, index 0: expected 10.0, got 10.02", id="too far"),
        pytest.param([10.0, math.nan], "golden request a, output Y, index 1: expected 0.0, got nan", id="not a number"),
        pytest.param([math.inf, 0.0], "golden request a, output Y, index 0: expected 10.0, got inf", id="infinite"),
    ],
)
def test_numbers_are_compared_within_the_tolerance(got: list[float], differs: str | None) -> None:
    (golden,) = parse({"a": body()})
    assert mismatch(golden, {"Y": ((1, 2), got)}) == differs


def test_a_tolerance_of_nothing_wants_the_very_number() -> None:
    (golden,) = parse({"a": body(tolerance={"relative": 0, "absolute": 0})})
    assert mismatch(golden, {"Y": ((1, 2), [10.000001, 0.0])}) is not None
    assert mismatch(golden, {"Y": ((1, 2), [10.0, 0.0])}) is None


def test_a_missing_output_another_shape_and_another_text_are_told() -> None:
    (golden,) = parse({"a": body(outputs=[{"name": "T", "datatype": "BYTES", "shape": [1], "data": ["cat"]}])})
    assert mismatch(golden, {}) == "golden request a, output T: it is missing in the answer"
    assert mismatch(golden, {"T": ((1, 1), ["cat"])}) == "golden request a, output T: expected shape [1], got [1, 1]"
    assert mismatch(golden, {"T": ((1,), ["dog"])}) == "golden request a, output T, index 0: expected 'cat', got 'dog'"
    assert len(mismatch(golden, {"T": ((1,), ["d" * 10_000])}) or "") <= 4096
