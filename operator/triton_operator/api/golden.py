"""Golden requests: V2 inference requests in JSON with the outputs that they must give, kept in a ConfigMap.

Each key of the ConfigMap holds one: the body that one would post to /v2/models/M/infer, with `outputs` that hold the
data expected, and perhaps a `tolerance`.
Not for: sending them; that is `edges.golden`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

RELATIVE = 1e-3
ABSOLUTE = 1e-5
MOST_REQUESTS = 50
MOST_CHARACTERS = 4096

_WHOLE = {
    f"{kind}{bits}": (0 if kind == "UINT" else -(2 ** (bits - 1)), 2 ** (bits if kind == "UINT" else bits - 1) - 1)
    for kind in ("INT", "UINT")
    for bits in (8, 16, 32, 64)
}
_REAL = ("FP16", "FP32", "FP64")


class GoldenRequestsInvalid(Exception):
    """A golden request cannot be read; the text names the key and the place."""


@dataclass(frozen=True, slots=True)
class Values:
    """A tensor of a request, or an expected one; `data` is flat, in row-major order; no shape means any."""

    name: str
    datatype: str
    shape: tuple[int, ...] | None
    data: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Golden:
    """One golden request.

    Attributes:
        key: the ConfigMap's key.
        inputs: what is sent.
        outputs: what must come back.
        relative: the difference allowed, as a part of the expected value.
        absolute: the difference allowed beside it; NaN equals NaN.
        parameters: the request's parameters, by name.
    """

    key: str
    inputs: tuple[Values, ...]
    outputs: tuple[Values, ...]
    relative: float
    absolute: float
    parameters: tuple[tuple[str, str | int | bool], ...]


def parse(data: Mapping[str, str]) -> tuple[Golden, ...]:
    """Read the golden requests of a ConfigMap.

    Args:
        data: its data.

    Returns:
        The requests, by key.

    Raises:
        GoldenRequestsInvalid: one cannot be read, or there are none or more than 50.
    """
    if not 0 < len(data) <= MOST_REQUESTS:
        raise GoldenRequestsInvalid(f"the ConfigMap holds {len(data)} keys: 1 to {MOST_REQUESTS} are allowed")
    return _parsed(tuple(sorted(data.items())))


@lru_cache(maxsize=16)  # a ConfigMap of 1 MiB takes a tenth of a second
def _parsed(data: tuple[tuple[str, str], ...]) -> tuple[Golden, ...]:
    return tuple(_golden(key, text) for key, text in data)


def mismatch(golden: Golden, answered: Mapping[str, tuple[Sequence[int], Sequence[Any]]]) -> str | None:
    """Say how an answer differs from what is expected.

    Args:
        golden: the request.
        answered: shape and flat data of each output, by name.

    Returns:
        The first difference, at most 4096 characters, or None if there is none.
    """
    for expected in golden.outputs:
        place = f"golden request {golden.key}, output {expected.name}"
        if expected.name not in answered:
            return f"{place}: it is missing in the answer"[:MOST_CHARACTERS]
        shape, data = answered[expected.name]
        if expected.shape is not None and tuple(shape) != expected.shape:
            return f"{place}: expected shape {list(expected.shape)}, got {list(shape)}"[:MOST_CHARACTERS]
        if len(data) != len(expected.data):
            return f"{place}: expected {len(expected.data)} elements, got {len(data)}"[:MOST_CHARACTERS]
        for index, (want, got) in enumerate(zip(expected.data, data, strict=True)):
            if not _equal(want, got, golden):
                words = f"{place}, index {index}: expected {_short(want)}, got {_short(got)}"
                return words[:MOST_CHARACTERS]
    return None


def _equal(want: Any, got: Any, golden: Golden) -> bool:
    if isinstance(want, bool) or not isinstance(want, int | float) or isinstance(got, bool | str):
        return bool(want == got)
    if isinstance(want, int) and isinstance(got, int) and want == got:
        return True
    if math.isnan(want) or math.isnan(got):
        return math.isnan(want) and math.isnan(got)
    if math.isinf(want) or math.isinf(got):
        return bool(want == got)
    return bool(abs(got - want) <= golden.absolute + golden.relative * abs(want))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _golden(key: str, text: str) -> Golden:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GoldenRequestsInvalid(f"{key}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise GoldenRequestsInvalid(f"{key}: a JSON object is expected")
    if unknown := sorted(body.keys() - {"id", "inputs", "outputs", "parameters", "tolerance"}):
        raise GoldenRequestsInvalid(f"{key}: {unknown[0]!r} is not known here")
    tolerance = body.get("tolerance", {})
    if not isinstance(tolerance, dict) or tolerance.keys() - {"relative", "absolute"}:
        raise GoldenRequestsInvalid(f"{key}: tolerance holds relative and absolute, and nothing else")
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict) or not all(isinstance(value, str | int) for value in parameters.values()):
        raise GoldenRequestsInvalid(f"{key}: parameters: strings, booleans and whole numbers are expected")
    return Golden(
        key=key,
        inputs=_tensors(key, "inputs", body.get("inputs"), needs_shape=True),
        outputs=_tensors(key, "outputs", body.get("outputs"), needs_shape=False),
        relative=_bound(key, "relative", tolerance.get("relative", RELATIVE)),
        absolute=_bound(key, "absolute", tolerance.get("absolute", ABSOLUTE)),
        parameters=tuple(parameters.items()),
    )


def _bound(key: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise GoldenRequestsInvalid(f"{key}: tolerance.{name}: a number of 0 or more is expected")
    return float(value)


def _tensors(key: str, part: str, listed: Any, *, needs_shape: bool) -> tuple[Values, ...]:
    if not isinstance(listed, list) or not listed:
        raise GoldenRequestsInvalid(f"{key}: {part}: a list of at least one tensor is expected")
    return tuple(_tensor(f"{key}: {part}[{i}]", value, needs_shape=needs_shape) for i, value in enumerate(listed))


def _tensor(place: str, value: Any, *, needs_shape: bool) -> Values:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise GoldenRequestsInvalid(f"{place}: an object with a name is expected")
    datatype = value.get("datatype")
    if datatype not in (*_WHOLE, *_REAL, "BOOL", "BYTES"):
        raise GoldenRequestsInvalid(f"{place}.datatype: {datatype!r} is not one that can be compared")
    shape = value.get("shape")
    if shape is None and needs_shape:
        raise GoldenRequestsInvalid(f"{place}.shape: it is missing")
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if shape is not None and not whole:
        raise GoldenRequestsInvalid(f"{place}.shape: whole numbers of 0 or more are expected")
    if "data" not in value:
        raise GoldenRequestsInvalid(f"{place}.data: it is missing")
    data = tuple(_flat(value["data"]))
    for index, element in enumerate(data):
        if not _fits(datatype, element):
            raise GoldenRequestsInvalid(f"{place}.data, index {index}: {_short(element)} is not {datatype}")
    if shape is not None and math.prod(shape) != len(data):
        raise GoldenRequestsInvalid(f"{place}.data: shape {shape} wants {math.prod(shape)} elements, found {len(data)}")
    return Values(value["name"], datatype, tuple(shape) if shape is not None else None, data)


def _fits(datatype: str, element: Any) -> bool:
    if datatype == "BYTES":
        return isinstance(element, str)
    if datatype == "BOOL":
        return isinstance(element, bool)
    if isinstance(element, bool):
        return False
    if datatype in _WHOLE:
        least, most = _WHOLE[datatype]
        return isinstance(element, int) and least <= element <= most
    return isinstance(element, int | float)


def _flat(data: Any) -> list[Any]:
    """Flatten nested lists in row-major order, however deep they are."""
    flat: list[Any] = []
    rest = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest.extend(reversed(value))
        else:
            flat.append(value)
    return flat
