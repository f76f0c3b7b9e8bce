"""Breaks each bound of the schema in turn: one spec per bound, each with one thing wrong.

Not for: validation rules; their samples are written by hand, see `rule_samples`.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from .crd_tree import ROOT, Json, Steps, places
from .full_spec import EVERY

SPEC = ROOT["properties"]["spec"]
WRONG_TYPES: dict[str, Any] = {"string": 5, "integer": "five", "boolean": "yes", "array": {}, "object": []}


def breaches() -> Iterator[tuple[str, Json, str, str]]:
    """List every breach: a name for the case, the spec, the field that must be named, and what must be said."""
    seen: set[str] = set()
    for full in EVERY:
        for where, node, path in places(full, SPEC):
            if where not in seen:
                seen.add(where)
                yield from _breaches_of(full, where, node, path)


def _breaches_of(full: Json, where: str, node: Json, path: Steps) -> Iterator[tuple[str, Json, str, str]]:
    value = _at(full, path)
    for name, wrong, words in _wrongs(node, value):
        if path:
            spec = deepcopy(full)
            _at(spec, path[:-1])[path[-1]] = wrong
            yield f"{where}-{name}", spec, _field(path), words
    for name in node.get("required", ()):
        spec = deepcopy(full)
        del _at(spec, path)[name]
        yield f"{where}.{name}-required", spec, f"{_field(path)}.{name}", "Required value"
    if keys := node.get("x-kubernetes-list-map-keys"):
        spec = deepcopy(full)
        _at(spec, path).append({key: value[0][key] for key in keys})
        yield f"{where}-duplicate", spec, f"{_field(path)}[{len(value)}]", "Duplicate value"
    if node.get("x-kubernetes-list-type") == "set":
        spec = deepcopy(full)
        _at(spec, path).append(value[0])
        yield f"{where}-duplicate", spec, f"{_field(path)}[{len(value)}]", "Duplicate value"


def _wrongs(node: Json, value: Any) -> Iterator[tuple[str, Any, str]]:
    if node.get("x-kubernetes-int-or-string"):
        yield "number-with-fraction", 0.5, "must be of type integer,string"
        yield "list", [], "must be of type integer,string"
    else:
        yield "type", WRONG_TYPES[node["type"]], f"must be of type {node['type']}"
    if node.get("type") == "integer":
        yield "fraction", 1.5, "must be of type integer"
        yield "huge", 10**30, "should be less than or equal to"
    if "enum" in node:
        yield "enum", node["maximum"] - 1 if node["type"] == "integer" else "Nonsense", "Unsupported value"
    if "minimum" in node:
        yield "minimum", node["minimum"] - 1, "should be greater than or equal to"
    if "maximum" in node:
        yield "maximum", node["maximum"] + 1, "should be less than or equal to"
    if least := node.get("minLength"):
        yield "minLength", "a" * (least - 1), f"should be at least {least} chars long"
    if "maxLength" in node:
        yield "maxLength", "a" * (node["maxLength"] + 1), "Too long"
    if node.get("minItems"):
        yield "minItems", [], "should have at least 1 items"
    if "maxItems" in node:
        yield "maxItems", [value[0]] * (node["maxItems"] + 1), "Too many"
    if "maxProperties" in node:
        some = next(iter(value.values()))
        yield "maxProperties", {f"k{number}": some for number in range(node["maxProperties"] + 1)}, "Too many"
    for rule in node.get("x-kubernetes-validations", ()):
        if rule["rule"].startswith("self.matches(") and node["type"] == "string":
            yield "pattern", "\0", rule["message"]


def _at(value: Any, path: Steps) -> Any:
    for step in path:
        value = value[step]
    return value


def _field(path: Steps) -> str:
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
