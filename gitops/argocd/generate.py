"""Write what people give Argo CD, of the Lua files in resource_customizations: a patch of argocd-cm, and chart values.

Not for: what the Lua says; it is laid out as Argo CD's own, so that it can be taken over there.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CUSTOMIZATIONS = HERE / "resource_customizations"
NOTE = "# Generated from resource_customizations/ by `make crds`; do not edit.\n"


def block(text: str, indent: int) -> str:
    """Give a text as a literal block of YAML, with so many spaces before each line."""
    return "".join(f"{' ' * indent}{line}\n" if line else "\n" for line in text.splitlines())


def actions(folder: Path) -> str:
    """Give the actions of a kind as Argo CD reads them from its ConfigMap.

    Args:
        folder: of the kind's actions.
    """
    text = "discovery.lua: |\n" + block((folder / "discovery.lua").read_text(encoding="utf-8"), 2) + "definitions:\n"
    for path in sorted(folder.glob("*/action.lua")):
        text += f"- name: {path.parent.name}\n  action.lua: |\n" + block(path.read_text(encoding="utf-8"), 4)
    return text


def settings(indent: int) -> str:
    """Give the keys of argocd-cm, each kind's health and actions, with so many spaces before each line."""
    text = ""
    for path in sorted(CUSTOMIZATIONS.glob("*/*/health.lua")):
        kind = f"{path.parent.parent.name}_{path.parent.name}"
        text += f"resource.customizations.health.{kind}: |\n" + block(path.read_text(encoding="utf-8"), 2)
        text += f"resource.customizations.actions.{kind}: |\n" + block(actions(path.parent / "actions"), 2)
    return block(text, indent)


def generated() -> Iterator[tuple[Path, str]]:
    """Give each generated file with what it must hold."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n"
    yield HERE / "argocd-cm-patch.yaml", NOTE + head + settings(2)
    yield HERE / "argo-cd-chart-values.yaml", NOTE + "configs:\n  cm:\n" + settings(4)


def main() -> int:
    """Write the files, or with --check only compare; returns the exit code, 1 when a file is stale."""
    parser = argparse.ArgumentParser(description="Write what people give Argo CD.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    check = parser.parse_args().check
    wanted = dict(generated())
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run `make crds`", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
