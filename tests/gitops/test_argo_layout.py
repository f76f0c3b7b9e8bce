"""The tests that lie beside the Lua, in Argo CD's own form; `UPDATE_GOLDEN=1 pytest tests/gitops` writes their objects.

What they are tried on is what the operator writes, so that it cannot be of another time.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from .argo import OURS, SANDBOX, ScriptError, acted, health, offered
from .samples import SAMPLES, sample

Json = dict[str, Any]
ACTIONS = OURS / "actions"
HEALTH_TESTS: list[Json] = yaml.safe_load((OURS / "health_test.yaml").read_text(encoding="utf-8"))["tests"]
ACTION_TESTS: Json = yaml.safe_load((ACTIONS / "action_test.yaml").read_text(encoding="utf-8"))
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))


@cache
def read(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, body: Json) -> None:
    path.parent.mkdir(exist_ok=True)
    text = yaml.safe_dump(body, width=110, allow_unicode=True)  # sorted, as kubectl does it
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_objects_are_what_the_operator_writes(name: str) -> None:
    file, body = OURS / "testdata" / f"{name}.yaml", sample(name)
    if UPDATE:
        write(file, body)
    assert read(file) == body, "run UPDATE_GOLDEN=1 pytest tests/gitops and read the diff"


def test_health_is_tried_on_every_object() -> None:
    assert {test["inputPath"] for test in HEALTH_TESTS} == {f"testdata/{name}.yaml" for name in SAMPLES}
    assert {path.stem for path in (OURS / "testdata").iterdir()} == SAMPLES.keys()


@pytest.mark.parametrize("test", [pytest.param(test, id=test["inputPath"]) for test in HEALTH_TESTS])
def test_health(test: Json) -> None:
    assert health(read(OURS / test["inputPath"])) == test["healthStatus"]


@pytest.mark.parametrize("test", [pytest.param(t, id=t["inputPath"]) for t in ACTION_TESTS["discoveryTests"]])
def test_discovery(test: Json) -> None:
    found = offered(read((ACTIONS / test["inputPath"]).resolve()))
    assert [{"name": name} | found[name] for name in sorted(found)] == test["result"]


@pytest.mark.parametrize(
    "test", [pytest.param(t, id=f"{t['action']} {t['inputPath']}") for t in ACTION_TESTS["actionTests"]]
)
def test_action(test: Json) -> None:
    before = read((ACTIONS / test["inputPath"]).resolve())
    parameters = test.get("parameters", {})
    if "expectedErrorMessage" in test:
        with pytest.raises(ScriptError, match=test["expectedErrorMessage"]):
            acted(test["action"], before, **parameters)
        return
    file, body = ACTIONS / test["expectedOutputPath"], acted(test["action"], before, **parameters)
    if UPDATE:
        write(file, body)
    assert read(file) == body, "run UPDATE_GOLDEN=1 pytest tests/gitops and read the diff"


def test_each_action_is_tried() -> None:
    scripts = {path.parent.name for path in ACTIONS.glob("*/action.lua")}
    assert {test["action"] for test in ACTION_TESTS["actionTests"]} == scripts
    paths = [test.get("expectedOutputPath") for test in ACTION_TESTS["actionTests"]]
    outputs = {Path(path).name for path in paths if path}
    assert {path.name for path in (ACTIONS / "testdata").iterdir()} == outputs


@pytest.mark.parametrize("library", ["string", "math", "io", "os", "debug", "coroutine"])
def test_scripts_are_tried_without_the_libraries_that_argo_cd_keeps_from_them(library: str) -> None:
    assert SANDBOX.run(f"return {library} == nil", {})
    with pytest.raises(ScriptError, match=library):
        SANDBOX.run(f"return require('{library}')", {})


def test_texts_have_no_methods_for_scripts() -> None:
    with pytest.raises(ScriptError):
        SANDBOX.run("return obj.name:upper()", {"name": "a"})
