"""Drift is told from field ownership, as a real API server recorded it (see drift/record.py)."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from triton_operator.core.drift import fingerprint, is_as_applied, stamped

Json = dict[str, Any]
RECORDED = json.loads((Path(__file__).parent / "drift" / "recorded.json").read_text(encoding="utf-8"))
BODIES: Json = RECORDED["bodies"]
UNTOUCHED: Json = {case["kind"]: case["live"] for case in RECORDED["cases"] if case["what"] == "nothing"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case['kind']}: {case['what']}") for case in RECORDED["cases"]]
)
def test_a_child_is_as_applied_until_somebody_changes_a_field_of_ours(case: Json) -> None:
    assert is_as_applied(case["live"], BODIES[case["kind"]]) is case["as_applied"]


def test_a_body_that_differs_from_the_applied_one_is_applied() -> None:
    body = copy.deepcopy(BODIES["Deployment"])
    body["spec"]["replicas"] += 1
    assert not is_as_applied(UNTOUCHED["Deployment"], body)


@pytest.mark.parametrize("kind", sorted(UNTOUCHED))
def test_an_object_without_field_ownership_is_applied(kind: str) -> None:
    live = copy.deepcopy(UNTOUCHED[kind])
    live["metadata"]["managedFields"] = []
    assert not is_as_applied(live, BODIES[kind])


def test_the_fingerprint_covers_the_content_and_not_its_order() -> None:
    body = BODIES["Service"]
    turned = dict(reversed(body.items()))
    assert fingerprint(turned) == fingerprint(body)
    assert stamped(body)["metadata"]["annotations"] == {"serving.triton-operator.dev/applied": fingerprint(body)}
    assert "annotations" not in body["metadata"]
