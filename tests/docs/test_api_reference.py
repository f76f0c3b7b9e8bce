"""docs/reference/api.md has every field, bound and rule of the CRD, and is found out when stale."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs import api_reference
from triton_operator.api.crd import custom_resource_definition

Json = dict[str, Any]

SCHEMA: Json = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
TEXT = api_reference.PAGE.read_text(encoding="utf-8")


def fields(path: str, node: Json) -> Iterator[tuple[str, str, Json]]:
    """Each field, with the section that it stands in."""
    if "items" in node:
        yield from fields(f"{path}[]", node["items"])
    for name, child in node.get("properties", {}).items():
        yield path, name, child
        yield from fields(f"{path}.{name}", child)


def section(path: str) -> str:
    """The text of the section about an object."""
    head = f"{'###' if '.' in path else '##'} {path}\n"
    return TEXT[TEXT.index(head) :].split("\n##", 1)[0]


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_stands_in_the_section_of_its_object_with_what_it_means(part: str) -> None:
    found = list(fields(part, SCHEMA["properties"][part]))
    assert len(found) > 50
    for path, name, child in found:
        row = next(line for line in section(path).splitlines() if line.startswith(f"| `{name}`"))
        first_word = child.get("description", "").split(" ")[0]
        assert first_word in row.replace("\\", ""), f"{path}.{name}"


def test_every_rule_is_told_in_the_words_of_the_api_server() -> None:
    def messages(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "x-kubernetes-validations":
                    yield from (rule["message"] for rule in value)
                else:
                    yield from messages(value)
        elif isinstance(node, list):
            for value in node:
                yield from messages(value)

    told = TEXT.replace("\\", "")
    assert [message for message in messages(SCHEMA) if message.replace("\\", "") not in told] == []


def test_every_section_has_a_name_of_its_own() -> None:
    headings = [line.lstrip("# ") for line in TEXT.splitlines() if line.startswith("##")]
    assert len({api_reference.anchor(heading) for heading in headings}) == len(headings)


def test_a_stale_page_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api_reference, "ROOT", tmp_path)
    monkeypatch.setattr(api_reference, "PAGE", tmp_path / "docs" / "reference" / "api.md")
    monkeypatch.setattr(sys, "argv", ["api_reference.py", "--check"])
    assert api_reference.main() == 1  # there is none
    monkeypatch.setattr(sys, "argv", ["api_reference.py"])
    assert api_reference.main() == 0
    monkeypatch.setattr(sys, "argv", ["api_reference.py", "--check"])
    assert api_reference.main() == 0
    api_reference.PAGE.write_text(TEXT.replace("GPUs of one replica", "GPUs"), encoding="utf-8")
    capsys.readouterr()
    assert api_reference.main() == 1
    assert "make crds" in capsys.readouterr().err
