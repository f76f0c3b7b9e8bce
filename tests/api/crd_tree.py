"""The committed CRD as a tree: its nodes, its rules, and the place of each node in a spec.

Not for: generating the CRD; that is `triton_operator.api.schema`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
Steps = tuple[str | int, ...]

FILE = Path(__file__).parents[2] / "crds" / "inferenceservices.serving.triton-operator.dev.yaml"
CRD: Json = yaml.safe_load(FILE.read_text(encoding="utf-8"))
VERSION: Json = CRD["spec"]["versions"][0]
ROOT: Json = VERSION["schema"]["openAPIV3Schema"]


def nodes(node: Json = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Json]]:
    """Walk the schema: each node with its path, such as spec.runtime.env[].name or spec.runtime.labels{}."""
    yield ".".join(path).replace(".[]", "[]").replace(".{}", "{}"), node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, (*path, name))
    if "items" in node:
        yield from nodes(node["items"], (*path, "[]"))
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], (*path, "{}"))


def messages() -> list[str]:
    """List the messages of all validation rules, each once."""
    found = [rule["message"] for _, node in nodes() for rule in node.get("x-kubernetes-validations", ())]
    return list(dict.fromkeys(found))


def places(value: Any, node: Json, path: Steps = (), where: str = "spec") -> Iterator[tuple[str, Json, Steps]]:
    """Find where a spec holds each node: the node's path, the node, and the keys and indices that lead there."""
    yield where, node, path
    if isinstance(value, dict):
        for name, child in value.items():
            if name in node.get("properties", {}):
                yield from places(child, node["properties"][name], (*path, name), f"{where}.{name}")
            elif "additionalProperties" in node:
                yield from places(child, node["additionalProperties"], (*path, name), where + "{}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from places(child, node["items"], (*path, index), where + "[]")
