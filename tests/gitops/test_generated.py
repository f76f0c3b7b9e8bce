"""What people give Argo CD holds the Lua as it is, and is read as Argo CD reads it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .argo import OURS, acted, enabled, health, offered
from .samples import sample

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "gitops" / "argocd"
KIND = "serving.triton-operator.dev_InferenceService"
PATCH: Json = yaml.safe_load((FOLDER / "argocd-cm-patch.yaml").read_text(encoding="utf-8"))
VALUES: Json = yaml.safe_load((FOLDER / "argo-cd-chart-values.yaml").read_text(encoding="utf-8"))


def test_the_generated_files_are_fresh() -> None:
    subprocess.run([sys.executable, FOLDER / "generate.py", "--check"], check=True)


def test_the_chart_gets_the_same_settings_as_the_config_map() -> None:
    assert PATCH["metadata"]["name"] == "argocd-cm"
    assert VALUES["configs"]["cm"] == PATCH["data"]
    assert PATCH["data"].keys() == {f"resource.customizations.{part}.{KIND}" for part in ("health", "actions")}


def test_the_settings_hold_every_script() -> None:
    actions = yaml.safe_load(PATCH["data"][f"resource.customizations.actions.{KIND}"])
    assert PATCH["data"][f"resource.customizations.health.{KIND}"] == (OURS / "health.lua").read_text(encoding="utf-8")
    assert actions["discovery.lua"] == (OURS / "actions" / "discovery.lua").read_text(encoding="utf-8")
    scripts = {path.parent.name: path.read_text(encoding="utf-8") for path in OURS.glob("actions/*/action.lua")}
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == scripts


@pytest.mark.parametrize("name", ["suspended_canaryPauseStep", "degraded_rejected"])
def test_the_settings_do_what_the_files_do(name: str) -> None:
    body = sample(name)
    assert health(body, script=PATCH["data"][f"resource.customizations.health.{KIND}"]) == health(body)
    actions = yaml.safe_load(PATCH["data"][f"resource.customizations.actions.{KIND}"])
    assert offered(body, script=actions["discovery.lua"]) == offered(body)
    scripts = {each["name"]: each["action.lua"] for each in actions["definitions"]}
    for action in set(enabled(body)) - {"undo"}:
        assert acted(action, body, script=scripts[action]) == acted(action, body)
