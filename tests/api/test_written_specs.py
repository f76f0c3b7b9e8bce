"""Every spec in the docs and the examples is taken by the API server as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from triton_operator.api.golden import parse
from triton_operator.api.names import INFERENCE_SERVICE

from .api_server import ApiServer

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEAST: Json = {"model": {"name": "m", "uri": "pvc://models/m"}}


def written() -> list[tuple[str, Json]]:
    """Where each object is written, and the object; what is only a part of a spec is added to the least one."""
    texts = [(page, block) for page in PAGES for block in FENCE.findall(page.read_text(encoding="utf-8"))]
    texts += [(file, file.read_text(encoding="utf-8")) for file in sorted((ROOT / "examples").rglob("*.yaml"))]
    found = []
    for file, text in texts:
        for number, body in enumerate(yaml.safe_load_all(text)):
            place = f"{file.relative_to(ROOT)}:{number}"
            if isinstance(body, dict) and body.keys() == {"spec"}:
                body = {"kind": INFERENCE_SERVICE.kind, "spec": LEAST | body["spec"]}
            if isinstance(body, dict):
                found.append((place, body))
    return found


WRITTEN = written()
SERVICES = [
    pytest.param(body["spec"], id=place) for place, body in WRITTEN if body.get("kind") == INFERENCE_SERVICE.kind
]
GOLDEN = [
    body["data"] for _, body in WRITTEN if body.get("kind") == "ConfigMap" and "golden" in body["metadata"]["name"]
]


def test_there_are_specs_on_every_page_of_a_source_and_in_every_example() -> None:
    places = " ".join(str(param.id) for param in SERVICES)
    for page in (ROOT / "docs" / "sources").glob("[a-z]*.md"):
        assert page.name in places
    for example in (ROOT / "examples").iterdir():
        assert example.is_file() or f"examples/{example.name}/" in places


@pytest.mark.cluster
@pytest.mark.parametrize("spec", SERVICES)
def test_a_written_spec_is_taken(server: ApiServer, spec: Json) -> None:
    answer = server.try_spec(spec)
    assert answer.code == 201, answer.body


def test_written_golden_requests_are_read() -> None:
    assert GOLDEN
    for data in GOLDEN:
        assert parse(data)
