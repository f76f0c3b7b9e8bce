"""From pydantic models to structural OpenAPI schemas, as the Kubernetes API wants them in a CRD.

Not for: the CRD around the schemas; that is `api.crd`.
"""

import re
from typing import Any

from pydantic import BaseModel

Json = dict[str, Any]

_KEPT = frozenset(
    {
        "type", "format", "description", "enum", "default", "nullable", "required", "properties", "items",
        "additionalProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
        "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties",
    }
)  # fmt: skip
_RULES = "x-kubernetes-validations"
_PLAIN = "x-plain"


def cel(rule: str, message: str, *, field_path: str | None = None, optional_old_self: bool = False) -> Json:
    """Make one validation rule of the Common Expression Language for `json_schema_extra`.

    Args:
        rule: expression over `self`; true for a valid value.
        message: what the user reads when it is false: the field and the remedy.
        field_path: the field below the rule's place that is wrong, such as ".name"; None: the place itself.
        optional_old_self: whether `oldSelf` is an optional, so that the rule runs at creation too.

    Returns:
        The rule as an entry of `x-kubernetes-validations`.
    """
    entry: Json = {"rule": rule, "message": message}  # the reason is FieldValueInvalid where none is given
    if field_path:
        entry["fieldPath"] = field_path
    if optional_old_self:
        entry["optionalOldSelf"] = True
    return entry


def literal(text: str) -> str:
    """Write a text, such as a regular expression, as a string of the Common Expression Language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def rules(*entries: Json) -> Json:
    """Gather validation rules for `json_schema_extra` of a model or field."""
    return {_RULES: list(entries)}


def plain(message: str) -> Json:
    """Say a `pattern` in words: the CRD then has it as a validation rule with this message, for `json_schema_extra`.

    Args:
        message: what the user reads when the pattern does not match: the field and the remedy.
    """
    return {_PLAIN: message}


def keyed_by(*keys: str) -> Json:
    """Mark a list as a map: its items are told apart, and merged, by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: Json = {"x-kubernetes-list-type": "atomic"}
SET: Json = {"x-kubernetes-list-type": "set"}


def structural_schema(model: type[BaseModel]) -> Json:
    """Print a model as a structural schema.

    Args:
        model: the root model; models it refers to are inlined.

    Returns:
        The schema, as a dict for YAML.

    Raises:
        TypeError: the model is recursive, or holds what has no structural form; the message has its path.
    """
    root = model.model_json_schema(by_alias=True)
    return _node(root, root.get("$defs", {}), (model.__name__,))


def _node(node: Json, definitions: Json, path: tuple[str, ...]) -> Json:
    if reference := node.get("$ref"):
        name = reference.rsplit("/", 1)[-1]
        if f"${name}" in path:
            raise TypeError(f"{'.'.join(path)}: recursive models cannot be structural")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        node, path = _laid_over(definitions[name], beside), (*path, f"${name}")
    if union := node.get("anyOf"):
        return _union(node, union, definitions, path)
    if "const" in node:
        node = node | {"enum": [node["const"]]}
    if "enum" in node:
        node = {"type": "string", **node}
    if _PLAIN in node:
        node = _plain(node)
    out: Json = {k: v for k, v in node.items() if k in _KEPT or k.startswith("x-kubernetes-")}
    if out.get("default", ...) is None:
        del out["default"]
    if "properties" in out:
        out["properties"] = {k: _node(v, definitions, (*path, k)) for k, v in out["properties"].items()}
    if "items" in out:
        out["items"] = _node(out["items"], definitions, (*path, "[]"))
    extra = out.pop("additionalProperties", None)
    if keyed := node.get("patternProperties"):  # a pattern of keys has no structural form: it needs a rule
        if _RULES not in out:
            raise TypeError(f"{'.'.join(path)}: keys with a pattern need a CEL rule")
        (extra,) = keyed.values()
    if isinstance(extra, dict) and extra:
        out["additionalProperties"] = _node(extra, definitions, (*path, "{}"))
    elif "type" not in out:
        raise TypeError(f"{'.'.join(path)}: a field without a type would take anything")
    elif out["type"] == "object" and "properties" not in out:
        raise TypeError(f"{'.'.join(path)}: an object without properties would take anything")
    return out


def _laid_over(inner: Json, outer: Json) -> Json:
    entries = [*inner.get(_RULES, ()), *outer.get(_RULES, ())]
    return inner | outer | (rules(*entries) if entries else {})


def _plain(node: Json) -> Json:
    needless = {"minLength"} if node.get("minLength") == 1 and not re.search(node["pattern"], "") else set()
    rest = {k: v for k, v in node.items() if k not in {"pattern", _PLAIN, *needless}}
    text = "self" if node.get("type") == "string" else "string(self)"
    return rest | rules(cel(f"{text}.matches({literal(node['pattern'])})", node[_PLAIN]), *node.get(_RULES, ()))


def _union(node: Json, union: list[Json], definitions: Json, path: tuple[str, ...]) -> Json:
    rest = {k: v for k, v in node.items() if k not in {"anyOf", "title"}}
    members = [member for member in union if member.get("type") != "null"]
    if len(members) == 1:
        return _node(_laid_over(members[0], rest), definitions, path)
    if {member.get("type") for member in members} == {"integer", "string"}:
        both: Json = {k: v for m in (*members, rest) for k, v in m.items() if k not in {"type", "default"}}
        both = _plain(both) if _PLAIN in both else both
        kept = {k: v for k, v in both.items() if k in _KEPT or k == _RULES}
        return {"x-kubernetes-int-or-string": True} | kept
    raise TypeError(f"{'.'.join(path)}: a union has no structural form; use optional members and a CEL rule")
