"""Write docs/reference/api.md from the CustomResourceDefinition; `python docs/api_reference.py --check` only compares.

Not for: the values of the chart; those are in its own README.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triton_operator.api.crd import COLUMNS, custom_resource_definition
from triton_operator.api.names import API_VERSION

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "api.md"
HEAD = f"""<!-- Generated from the CustomResourceDefinition by `make crds`; do not edit. -->
# InferenceService

`{API_VERSION}`, namespaced, short name `tisvc`, category `triton`. `kubectl explain tisvc.spec --recursive` says the
same of the version that a cluster has.

- The API server refuses what breaks a bound or a rule below, and unknown fields where kubectl validates strictly.
  `kubectl triton lint -f FILE` finds the same without a cluster ([kubectl triton](../kubectl-triton.md#files)).
- **\\*** marks what must be given. A default is filled in by the API server, and does not count as a difference in Git.
- `/scale` reads and writes `spec.replicas`. Conditions, phases and reasons are in [status](../status.md).
"""


def reference() -> str:
    """Print the page, byte for byte the same each time."""
    version = custom_resource_definition()["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    sections = [HEAD, "`metadata.name` is bounded, too.\n", *_rules(schema), _columns(), "## spec\n"]
    for part in ("spec", "status"):
        if part == "status":
            sections.append("## status\n")
        for number, (path, node) in enumerate(_objects(part, schema["properties"][part])):
            heading = [f"### {path}\n"] if number else []
            sections += [*heading, f"{_plain(node['description'])}\n", _table(path, node), *_rules(node)]
    return "\n".join(sections)


def _objects(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Give each object that has fields, with its path, before those in it."""
    if "properties" in node:
        yield path, node
        for name, child in node["properties"].items():
            yield from _objects(f"{path}.{name}", child)
    elif "items" in node:
        described = {"description": node.get("description", "")} | node["items"]
        yield from _objects(f"{path}[]", described)


def _table(path: str, node: Json) -> str:
    required = node.get("required", ())
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in node["properties"].items():
        star = "**\\***" if name in required else ""
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""
        said = [field.get("description", ""), *_said(field)]
        meaning = " ".join(part for part in said if part)
        rows.append(f"| `{name}`{star} | {_type(f'{path}.{name}', field)} | {default} | {_cell(meaning)} |")
    return "\n".join(rows) + "\n"


def _type(path: str, field: Json) -> str:
    """Name a type; that of an object leads to its section."""
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match field["type"]:
        case "array":
            return f"list of {_type(f'{path}[]', field['items'])}"
        case "object" if "properties" in field:
            return f"[object](#{anchor(path)})"
        case "object":
            return f"map of {_type(path, field['additionalProperties'])}"
        case other:
            return str(other)


def _said(field: Json) -> Iterator[str]:
    """Say the bounds and rules of one field, and those of the items of a list or map."""
    if enum := field.get("enum"):
        yield f"One of {', '.join(f'`{value}`' for value in enum)}."
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        yield f"{low} to {high}." if high < 2**31 - 1 else f"{low} or more."
    elif low is not None or high is not None:
        yield f"{low} or more." if high is None else f"At most {high}."
    for word, least, most in (
        ("items", "minItems", "maxItems"),
        ("entries", "minProperties", "maxProperties"),
        ("characters", "minLength", "maxLength"),
    ):
        if most in field:
            yield f"{field[least]} to {field[most]} {word}." if field.get(least) else f"At most {field[most]} {word}."
    if keys := field.get("x-kubernetes-list-map-keys"):
        yield f"Told apart by {', '.join(f'`{key}`' for key in keys)}."
    if pattern := field.get("pattern"):
        yield f"Matches `{pattern}`."
    if "properties" not in field:
        yield from (f"Else: “{rule['message']}”." for rule in field.get("x-kubernetes-validations", ()))
    inner = field.get("items") or field.get("additionalProperties")
    if isinstance(inner, dict) and "properties" not in inner and (said := " ".join(_said(inner))):
        yield f"Each: {said}"


def _rules(node: Json) -> list[str]:
    """List what an object must keep to, in the words of the API server."""
    told = [f"- {_plain(rule['message'])}" for rule in node.get("x-kubernetes-validations", ())]
    return ["Refused otherwise, in these words:\n", "\n".join(told) + "\n"] if told else []


def _columns() -> str:
    rows = ["## Columns of kubectl get\n", "| column | shows | |", "|---|---|---|"]
    for column in COLUMNS:
        wide = "with `-o wide`" if column.get("priority") else ""
        rows.append(f"| {column['name']} | {column['description']} | {wide} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Keep Markdown from reading signs in a text, but for what stands in backticks."""
    parts = text.split("`")
    parts[::2] = (re.sub(r"[*<]|\b_\B|\B_\b|\B_\B", r"\\\g<0>", part) for part in parts[::2])
    return "`".join(parts)


def anchor(heading: str) -> str:
    """Give the anchor that GitHub makes of the heading of a section."""
    return "".join(c for c in heading.lower() if c.isalnum() or c in "-_")


def main() -> int:
    """Write the page, or with --check say whether the file is as it would be written."""
    parser = argparse.ArgumentParser(description="Write the API reference.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is stale")
    text = reference()
    if not parser.parse_args().check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.relative_to(ROOT)} is stale: run `make crds`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
