"""docs/reference is what the code has, and cannot miss a metric, a condition, a reason or an event."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from triton_operator.api import status
from triton_operator.controller import exposed

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


@pytest.fixture(scope="module")
def reasons() -> ModuleType:
    """docs/reasons.py, which is no package's."""
    spec = importlib.util.spec_from_file_location("reasons_of_docs", DOCS / "reasons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_references_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_metric_is_listed_once() -> None:
    text = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(triton_operator_\w+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(metric.name for metric in exposed.ALL)


def test_every_condition_is_listed(reasons: ModuleType) -> None:
    text = status.Condition.model_fields["type"].description or ""
    assert {type_ for type_, *_ in reasons.CONDITIONS} == set(re.findall(r"(\w+):", text))


@pytest.mark.parametrize(
    ("code", "missed"),
    [
        pytest.param('WORD = "NeverHeardOf"', "NeverHeardOf", id="a word"),
        pytest.param('def f():\n    return "NeverHeardOf", "words"', "NeverHeardOf", id="a reason that is returned"),
        pytest.param('verdict = ("False", "Gateway", "words")', "Gateway", id="a condition's, also a word of its own"),
        pytest.param('Failure("Succeeded", "words")', "Succeeded", id="a failure's, also a status"),
        pytest.param('Announcement("Normal", "LoadTimeout", "words")', "LoadTimeout", id="a failure's, as an event"),
    ],
)
def test_a_reason_that_nobody_describes_is_missed(
    reasons: ModuleType, code: str, missed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reasons.unknown() == []
    path = tmp_path / "another.py"
    path.write_text(code, encoding="utf-8")
    listed = [*reasons.files(), path]
    monkeypatch.setattr(reasons, "files", lambda: listed)
    (told,) = reasons.unknown()
    assert told.startswith(missed)


def test_what_the_code_has_no_more_is_told(reasons: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "ROWS", (*reasons.ROWS, reasons.Row(("NeverHeardOf",), ("Ready",), "words")))
    assert any("NeverHeardOf" in told for told in reasons.unknown())
