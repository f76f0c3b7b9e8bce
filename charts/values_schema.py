"""The values of the chart, as values.yaml has them, and the JSON schema that Helm checks them by.

The schema has the structure of values.yaml. What a value may be follows from the operator's own settings where it
becomes one of them, from Kubernetes' types, or from `BOUNDS`. Not for: writing files; see `generate`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from triton_operator.api.settings import Settings

Json = dict[str, Any]

_APIS = ("io.k8s.api.core.v1.", "io.k8s.api.networking.v1.", "io.k8s.apim")

_LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_HOST = r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?"


def _text(pattern: str, most: int) -> Json:
    return {"type": "string", "maxLength": most, "pattern": pattern}


def _or_empty(schema: Json) -> Json:
    return schema | {"pattern": f"^$|{schema['pattern']}"}


_KEY = _text(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", 317)
_LABELS: Json = {"type": "object", "propertyNames": _KEY, "additionalProperties": _text(_LABEL_VALUE, 63)}
_ANNOTATIONS: Json = {"type": "object", "propertyNames": _KEY, "additionalProperties": {"type": "string"}}
_NAME = _text(_OBJECT_NAME, 253)
_REFERENCE = {"type": "object", "additionalProperties": False, "required": ["name"], "properties": {"name": _NAME}}
_REFERENCES = {"type": "array", "items": _REFERENCE}
_REGISTRY = _or_empty(_text(f"^{_HOST}(/{_PATH})?$", 255))
_REPOSITORY = _text(f"^{_PATH}$", 255)
_TAG = _text(r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$", 128)
_DIGEST = _or_empty(_text(r"^sha256:[0-9a-f]{64}$", 71))
_PORT: Json = {"type": "integer", "minimum": 1, "maximum": 65535}
_QUANTITIES: Json = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|[KMGTPE]i?)?$"},
}

BOUNDS: dict[str, Json] = {
    "replicas": {"type": "integer", "minimum": 0, "maximum": 10},
    "imageRegistry": _REGISTRY,
    "image.registry": _REGISTRY,
    "image.repository": _REPOSITORY,
    "image.tag": _or_empty(_TAG),
    "image.digest": _DIGEST,
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": _REFERENCES,
    "prepare.imagePullSecrets": _REFERENCES,
    "triton.image.registry": _REGISTRY,
    "triton.image.repository": _REPOSITORY,
    "triton.image.tag": _TAG,
    "triton.image.digest": _DIGEST,
    "watch.namespaces": {"uniqueItems": True},
    "watch.selector": {"pattern": "^[-A-Za-z0-9_./=!<>(), ]*$"},  # what Kubernetes' selectors are written with
    "gpu.profile": {"additionalProperties": False},  # a value, though values.yaml has it as a map
    "prometheus.caConfigMap": _or_empty(_NAME),
    "prometheus.tokenFile": _text(r"^(/[^\s]*)?$", 1024),
    "podMonitor.labels": _LABELS,
    "serviceMonitor.intervalSeconds": {"type": "integer", "minimum": 1, "maximum": 3600},
    "serviceMonitor.labels": _LABELS,
    "prometheusRule.labels": _LABELS,
    "prometheusRule.runbookUrl": _text(r"^https?://[^\s\"'{}]*[^\s\"'{}/]$", 1024),
    "prometheusRule.notReadyMinutes": {"type": "integer", "minimum": 1, "maximum": 100000},
    "prometheusRule.failedRequestsPercent": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "dashboards.namespace": _or_empty(_NAME),
    "dashboards.labels": _LABELS,
    "dashboards.annotations": _ANNOTATIONS,
    "networkPolicy.ingressFrom": {"type": "array", "items": {"$ref": "#/definitions/NetworkPolicyPeer"}},
    "networkPolicy.apiServerPorts": {"type": "array", "items": _PORT, "minItems": 1, "uniqueItems": True},
    "networkPolicy.prometheusPort": _PORT,
    "networkPolicy.extraEgress": {
        "type": "array",
        "items": {"$ref": "#/definitions/NetworkPolicyEgressRule"},
    },
    "prometheus.headers": {"type": "object", "additionalProperties": _text("^[ -~]*$", 4096)},
    "serviceAccount.name": _or_empty(_NAME),
    "serviceAccount.annotations": _ANNOTATIONS,
    "podDisruptionBudget.maxUnavailable": {
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": "^(100|[1-9][0-9]?)%$",
    },
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES},
    },
    "securityContext.runAsUser": {"type": ["integer", "null"], "minimum": 1, "maximum": 4294967294},
    "priorityClassName": _or_empty(_NAME),
    "nodeSelector": _LABELS,
    "tolerations": {"type": "array", "items": {"$ref": "#/definitions/Toleration"}},
    "affinity": {"$ref": "#/definitions/Affinity"},
    "commonLabels": _LABELS,
    "podLabels": _LABELS,
    "podAnnotations": _ANNOTATIONS,
    "nameOverride": _text(_LABEL_VALUE, 52),
    "fullnameOverride": _or_empty(_text(r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 52)),  # names a Service too, with a suffix
}


@dataclass(frozen=True, slots=True)
class Value:
    """A key of values.yaml.

    Attributes:
        path: the keys that lead to it, joined by dots.
        default: what values.yaml has.
        description: its comment.
        is_section: whether it only holds other values.
    """

    path: str
    default: Any
    description: str
    is_section: bool


def read_values(text: str) -> list[Value]:
    """Read values.yaml with its comments.

    Args:
        text: the file. Each key but those inside a value stands below a comment that begins with `# --`.

    Returns:
        All values and sections, in the file's order.

    Raises:
        ValueError: a key has no such comment.
    """
    found: list[Value] = []
    defaults = yaml.safe_load(text)
    comment: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            comment = [bare.removeprefix("# -- ")]
        elif bare.startswith("# "):
            comment.append(bare.removeprefix("# "))
        elif key := re.match(r"( *)(\w+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            dotted = ".".join(path)
            inside = any(not value.is_section and dotted.startswith(f"{value.path}.") for value in found)
            if not inside:
                if not comment:
                    raise ValueError(f"values.yaml: {dotted} has no comment that begins with `# --`")
                default = defaults
                for part in path:
                    default = default[part]
                is_section = isinstance(default, dict) and dotted not in BOUNDS
                found.append(Value(dotted, default, " ".join(comment), is_section))
            comment = []
    return found


def values_schema(values: list[Value]) -> Json:
    """Make the schema that Helm checks values by: every key is known, and a misspelt one is an error.

    Args:
        values: those of values.yaml.

    Returns:
        The JSON schema, draft 7, which Helm 3 knows too.

    Raises:
        ValueError: BOUNDS names what is not in values.yaml, or nothing says what a value may be.
    """
    if unknown := BOUNDS.keys() - {value.path for value in values}:
        raise ValueError(f"BOUNDS has what values.yaml has not: {', '.join(sorted(unknown))}")
    root: Json = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "required": [],
        "properties": {"global": {"type": "object", "description": "Helm gives it to every subchart; not read."}},
    }
    for value in values:
        *parents, name = value.path.split(".")
        section = root
        for parent in parents:
            section = section["properties"][parent]
        section["properties"][name] = {"description": value.description} | (
            {"type": "object", "additionalProperties": False, "required": [], "properties": {}}
            if value.is_section
            else _allowed(value)
        )
        if "null" not in section["properties"][name].get("type", ()):
            section["required"].append(name)
    return root | {"definitions": _kubernetes_types("Affinity", "NetworkPolicyEgressRule", "Toleration")}


def _allowed(value: Value) -> Json:
    """Say what a value may be."""
    bounds = _of_settings(value.path) | BOUNDS.get(value.path, {})
    if not bounds and isinstance(value.default, bool):
        bounds = {"type": "boolean"}
    if not bounds:
        raise ValueError(f"values.yaml: nothing says what {value.path} may be: add it to BOUNDS")
    return bounds


def _of_settings(path: str) -> Json:
    """Find the schema of the operator's setting of the same path; {} when there is none."""
    schema = Settings.model_json_schema()
    found: Json = schema
    for part in path.split("."):
        found = _resolved(found, schema).get("properties", {}).get(part, {})
    inlined: Json = _inlined(found, schema)
    return {key: value for key, value in inlined.items() if key not in ("title", "description", "x-plain")}


def _resolved(node: Json, schema: Json) -> Json:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _inlined(node: Any, schema: Json) -> Any:
    """Put what is referred to in its place, and leave defaults out: the operator knows them."""
    if isinstance(node, list):
        return [_inlined(item, schema) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: item for key, item in _resolved(node, schema).items() if key not in ("title", "default")}
    if "properties" in found:
        properties = {name: _inlined(item, schema) for name, item in found.pop("properties").items()}
        return {key: _inlined(item, schema) for key, item in found.items()} | {"properties": properties}
    return {key: _inlined(item, schema) for key, item in found.items()}


def _kubernetes_types(*names: str) -> Json:
    """Collect Kubernetes' own types and what they refer to, without descriptions."""
    folder = f"v{kubernetes_validate.latest_version()}-local-strict"
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / folder / "_definitions.json"
    definitions = json.loads(source.read_text(encoding="utf-8"))["$defs"]
    full = {name.rpartition(".")[2]: name for name in definitions if name.startswith(_APIS)}
    collected: Json = {}

    def bare(node: Any) -> Any:
        if isinstance(node, list):
            return [bare(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return {"$ref": f"#/definitions/{take(node['$ref'].rpartition('.')[2])}"}
        dropped = ("description", "format")
        return {key: bare(item) for key, item in node.items() if key not in dropped or not isinstance(item, str)}

    def take(name: str) -> str:
        if name not in collected:
            collected[name] = {}  # there before it is complete, so that a type may refer to itself
            collected[name] = bare(definitions[full[name]])
        return name

    for name in names:
        take(name)
    return dict(sorted(collected.items()))
