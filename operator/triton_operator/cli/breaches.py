"""Whether an object keeps to a structural schema and its rules, without a cluster: as an API server would say it.

Types, bounds and fields are looked at here, rules of the Common Expression Language by a library, after the defaults of
the schema have been filled in, as an API server does. Not for: good practice; that is `cli.hints`.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Any

import cel

from triton_operator.api.crd import custom_resource_definition

Json = dict[str, Any]

_RULES = "x-kubernetes-validations"
_EITHER = "x-kubernetes-int-or-string"
_KEYS = "x-kubernetes-list-map-keys"
_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?)(?P<suffix>[KMGTPE]i|[numkMGTPE])?")
_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)} | {
    f"{letter}{i}": Decimal(base) ** power
    for power, letter in enumerate("KMGTPE", start=1)
    for i, base in (("i", 1024), ("", 1000))
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
}


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing that is wrong.

    Attributes:
        field: where, such as spec.model.version.
        message: what, and what to do.
    """

    field: str
    message: str


@cache
def schema() -> Json:
    """Give the structural schema of an InferenceService; it is not to be changed."""
    found: Json = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def breaches(body: Any, schema: Json, field: str) -> tuple[Breach, ...]:
    """List what is wrong with an object.

    Args:
        body: the object, or a part of one.
        schema: the structural schema of it.
        field: what the part is called.

    Returns:
        Types, bounds and unknown fields; where these are as they must be, the rules that are broken.
    """
    found = tuple(_of_schema(body, schema, field))
    if found:
        return found
    return tuple(_of_rules(defaulted(deepcopy(body), schema), schema, field))


def _of_schema(value: Any, schema: Json, field: str) -> Iterator[Breach]:
    type_ = str(schema.get("type", ""))
    if schema.get(_EITHER):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield Breach(field, f"must be a number or a text, and is {_named(value)}")
            return
    elif not isinstance(value, _TYPES[type_]) or (isinstance(value, bool) and type_ != "boolean"):
        yield Breach(field, f"must be of type {type_}, and is {_named(value)}{_quoted(value, type_)}")
        return
    if "enum" in schema and value not in schema["enum"]:
        yield Breach(field, f'Unsupported value: "{value}": supported values: {_listed(schema["enum"])}')
    if isinstance(value, int) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield Breach(field, f"{value} should be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            yield Breach(field, f"{value} should be less than or equal to {schema['maximum']}")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield Breach(field, f"should be at least {schema['minLength']} chars long")
        if len(value) > schema.get("maxLength", len(value)):
            yield Breach(field, f"Too long: may not be more than {schema['maxLength']} characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield Breach(field, f"should match '{schema['pattern']}'")
    elif isinstance(value, list):
        yield from _of_list(value, schema, field)
    elif isinstance(value, dict):
        yield from _of_object(value, schema, field)


def _of_list(value: list[Any], schema: Json, field: str) -> Iterator[Breach]:
    if len(value) < schema.get("minItems", 0):
        yield Breach(field, f"should have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", len(value)):
        yield Breach(field, f"Too many: must have at most {schema['maxItems']} items")
        return
    seen: list[Any] = []
    for number, item in enumerate(value):
        keys = schema.get(_KEYS)
        identity = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
        if (keys or schema.get("x-kubernetes-list-type") == "set") and identity in seen:
            yield Breach(f"{field}[{number}]", f"Duplicate value: {identity}")
        seen.append(identity)
        yield from _of_schema(item, schema["items"], f"{field}[{number}]")


def _of_object(value: Json, schema: Json, field: str) -> Iterator[Breach]:
    known = schema.get("properties") or {}
    for name in schema.get("required", ()):
        if value.get(name) is None and "default" not in known.get(name, {}):
            yield Breach(f"{field}.{name}", "Required value")
    if len(value) > schema.get("maxProperties", len(value)):
        yield Breach(field, f"Too many: must have at most {schema['maxProperties']} items")
        return
    for name, child in value.items():
        if name in known:
            if child is not None:  # an API server drops what is null
                yield from _of_schema(child, known[name], f"{field}.{name}")
        elif "additionalProperties" in schema:
            yield from _of_schema(child, schema["additionalProperties"], f"{field}.{name}")
        else:
            near = get_close_matches(str(name), known, n=1)
            hint = f"; is {near[0]} meant?" if near else f"; there are {', '.join(sorted(known))}"
            yield Breach(f"{field}.{name}", f"unknown field{hint}")


def defaulted(value: Any, schema: Json) -> Any:
    """Fill in the defaults of a schema, and drop what is null, in place; give what it has become.

    Args:
        value: an object, or a part of one.
        schema: the structural schema of it.
    """
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        for name in [name for name, child in value.items() if child is None]:
            del value[name]
        for name, child in known.items():
            if "default" in child:
                value.setdefault(name, deepcopy(child["default"]))
        for name, child in value.items():
            if inner := known.get(name) or schema.get("additionalProperties"):
                value[name] = defaulted(child, inner)
    elif isinstance(value, list):
        return [defaulted(item, schema["items"]) for item in value]
    return value


def _of_rules(value: Any, schema: Json, field: str) -> Iterator[Breach]:
    for rule in schema.get(_RULES, ()):
        if "oldSelf" not in rule["rule"] and not _keeps(value, rule["rule"]):
            yield Breach(field + str(rule.get("fieldPath", "")), str(rule["message"]))
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        for name, child in value.items():
            if inner := known.get(name) or schema.get("additionalProperties"):
                yield from _of_rules(child, inner, f"{field}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _of_rules(item, schema["items"], f"{field}[{number}]")


def _keeps(value: Any, rule: str) -> bool:
    """Say whether a value keeps a rule; one that cannot be worked out is broken, as an API server has it."""
    context = cel.Context({"self": value}, _FUNCTIONS)
    try:
        return bool(_program(rule).execute(context))
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError):
        return False


@cache
def _program(rule: str) -> cel.Program:
    return cel.compile(rule)


def _quantity(text: str) -> Decimal:
    """Read a quantity of Kubernetes.

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(f"{text} is no quantity")
    return Decimal(match["number"]) * _SUFFIXES[match["suffix"] or ""]


def _substring(text: str, first: int, last: int | None = None) -> str:
    return text[first:last]


# What Kubernetes adds to the language, as far as the CRD's rules use it; a quantity goes between them as its text.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": str.split,
    "substring": _substring,
    "indexOf": str.find,
    "lowerAscii": str.lower,
    "isSorted": lambda items: list(items) == sorted(items),
    "isQuantity": lambda text: _QUANTITY.fullmatch(text) is not None,
    "quantity": lambda text: text if _quantity(text) is not None else "",
    "isGreaterThan": lambda one, other: _quantity(one) > _quantity(other),
    "compareTo": lambda one, other: (_quantity(one) > _quantity(other)) - (_quantity(one) < _quantity(other)),
}


def _named(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", dict: "an object", list: "a list"}
    return names.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")


def _quoted(value: Any, type_: str) -> str:
    if isinstance(value, str) and type_ in ("integer", "boolean"):
        return ": leave the quotes out"
    return ": put it in quotes" if type_ == "string" and not isinstance(value, dict | list) else ""


def _listed(values: list[Any]) -> str:
    return ", ".join(f'"{value}"' for value in values)
