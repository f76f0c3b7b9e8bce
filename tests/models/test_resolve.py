"""Versions and digests of models on volumes; those of object stores are in tests/contract/sources."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from triton_operator.models.prepare import main as prepare
from triton_operator.models.request import ENVIRONMENT_VARIABLE
from triton_operator.models.resolve import main as resolve


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    model = tmp_path / "source" / "resnet50"
    for version in ("6", "7", "10", "011"):
        (model / version).mkdir(parents=True)
        (model / version / "model.onnx").write_text(version)
    (model / "labels.txt").write_text("cat\n")
    (tmp_path / "termination-log").touch()
    return tmp_path / "source"


def environment(volume: Path, **changes: object) -> dict[str, str]:
    model = {"name": "resnet50", "uri": "pvc://models/resnet50", "version": None, "layout": "directory"}
    model |= {"source": str(volume / "resnet50"), "kind": None, "digest": None} | changes
    request = {"repository": str(volume.parent / "models"), "models": [model]}
    return {ENVIRONMENT_VARIABLE: json.dumps(request)}


def resolved(volume: Path, **changes: object) -> dict[str, object]:
    log = volume.parent / "termination-log"
    assert resolve(environment(volume, **changes), termination_log=log) == 0
    (model,) = json.loads(log.read_text())["models"]
    return model


def test_the_highest_version_is_found_by_number(volume: Path) -> None:
    found = resolved(volume)

    assert (found["version"], found["bytes"]) == (10, len("10" + "cat\n"))


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        pytest.param("10/model.onnx", True, id="a file of the version"),
        pytest.param("labels.txt", True, id="a file beside the versions"),
        pytest.param("6/model.onnx", False, id="a file of another version"),
    ],
)
def test_the_digest_is_of_what_is_served(volume: Path, path: str, changes: bool) -> None:
    before = resolved(volume)["digest"]
    assert resolved(volume)["digest"] == before

    (volume / "resnet50" / path).write_text("other")

    assert (resolved(volume)["digest"] != before) is changes


def test_the_digest_of_a_config_map_is_of_its_bytes_and_not_of_when_the_kubelet_wrote_them(volume: Path) -> None:
    digests = []
    for number in range(2):
        mount = volume / f"map{number}"
        mount.mkdir()
        (mount / "model.py").write_text("pass")
        flat = {"uri": "configmap://m", "layout": "flat", "source": str(mount), "version": 3}
        digests.append(resolved(volume, **flat)["digest"])

    assert digests[0] == digests[1]


def test_a_volume_that_was_overwritten_is_not_served(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = str(resolved(volume)["digest"])
    assert prepare(environment(volume, version=10, digest=digest)) == 0

    (volume / "resnet50" / "10" / "model.onnx").write_text("other")

    assert prepare(environment(volume, version=10, digest=digest)) == 1
    assert json.loads(capsys.readouterr().err)["reason"] == "SourceChanged"


def test_preparing_needs_a_version(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(environment(volume)) == 1

    assert "version must not be null" in json.loads(capsys.readouterr().err)["message"]


def test_a_model_without_any_version_is_said(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (volume / "empty").mkdir()
    (volume / "empty" / "config.pbtxt").touch()
    changes = {"uri": "pvc://models/empty", "source": str(volume / "empty")}

    assert resolve(environment(volume, **changes)) == 1

    answer = json.loads(capsys.readouterr().err)
    assert (answer["reason"], "into a directory named 1" in answer["message"]) == ("NoVersions", True)


@pytest.mark.parametrize("program", ["prepare", "resolve"])
def test_a_program_that_waits_for_its_server_ends_when_it_is_told_to(volume: Path, program: str) -> None:
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    asked = environment(volume, uri="s3://models/resnet50", source=None, version=7)
    command = [sys.executable, "-m", f"triton_operator.models.{program}"]
    with subprocess.Popen(command, env=os.environ | nobody | asked, stdout=subprocess.PIPE, text=True) as process:
        assert "http://127.0.0.1:1 cannot be reached (connection refused)" in process.stdout.readline()
        process.terminate()

        assert process.wait(30) == 128 + 15
