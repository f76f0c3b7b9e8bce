"""Write what the chart has of other files: the CRD's template, dashboards, values.schema.json, the README's table.

Not for: what is written by hand, values.yaml first of all.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dashboards import DASHBOARDS, grafana
from values_schema import Value, read_values, values_schema

ROOT = Path(__file__).parent.parent
CHART = Path(__file__).parent / "triton-operator"
CRDS = ROOT / "crds"


def crd_template(text: str) -> str:
    """Make a template of a CRD: installed and kept as values say, and labelled like the rest of the release.

    Args:
        text: the CRD.

    Returns:
        The template.

    Raises:
        ValueError: the CRD does not begin as the generator of CRDs writes it.
    """
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    head, name, rest = re.split(r"^metadata: \{(name: \S+)\}\n(?=spec:)", text, maxsplit=1, flags=re.MULTILINE)
    metadata = (
        f"metadata:\n  {name}\n"
        "  labels:\n"
        '    {{- include "triton-operator.labels" . | nindent 4 }}\n'
        "  {{- if .Values.crds.keep }}\n"
        "  annotations:\n"
        "    helm.sh/resource-policy: keep\n"
        "  {{- end }}\n"
    )
    literal = rest.replace("{{", '{{ "{{" }}')
    note = "{{- /* Generated from crds/ by `make crds`; do not edit. */ -}}\n"
    return f"{note}{{{{- if .Values.crds.install }}}}\n{head}{metadata}{literal}{{{{- end }}}}\n"


def readme(text: str, values: list[Value]) -> str:
    """Put the table of values into the README, between its two marks.

    Args:
        text: the README.
        values: those of values.yaml.

    Returns:
        The README with a fresh table.
    """
    rows = ["| value | default | what it is |", "|---|---|---|"]
    for value in values:
        if not value.is_section:
            default = json.dumps(value.default, ensure_ascii=False)
            rows.append(f"| `{value.path}` | `{default}` | {value.description.replace('|', chr(92) + '|')} |")
    before, begin, rest = text.partition("<!-- values: written by `make crds` -->\n")
    _, end, after = rest.partition("<!-- end of values -->\n")
    if not end:
        raise ValueError("README.md has lost the marks around the table of values")
    return "".join((before, begin, "\n".join(rows), "\n", end, after))


def generated() -> Iterator[tuple[Path, str]]:
    """Give each generated file with what it must hold."""
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path in sorted(CRDS.glob("*.yaml")):
        yield CHART / "templates" / "crds" / path.name, crd_template(path.read_text(encoding="utf-8"))
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(grafana(dashboard), indent=1, ensure_ascii=False)
        yield CHART / "dashboards" / f"{name}.json", f"{text}\n"
    yield CHART / "values.schema.json", json.dumps(values_schema(values), indent=1, ensure_ascii=False) + "\n"
    yield CHART / "README.md", readme((CHART / "README.md").read_text(encoding="utf-8"), values)


def main() -> int:
    """Write the files, or with --check only compare; returns the exit code, 1 when a file is stale."""
    parser = argparse.ArgumentParser(description="Write what the chart has of other files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    check = parser.parse_args().check
    wanted = dict(generated())
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    folders = (CHART / "templates" / "crds", CHART / "dashboards")
    surplus = [path for folder in folders for path in folder.glob("*") if path not in wanted]
    if check:
        for path in (*stale, *surplus):
            print(f"{path.relative_to(ROOT)} is stale: run `make crds`", file=sys.stderr)
        return 1 if stale or surplus else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
