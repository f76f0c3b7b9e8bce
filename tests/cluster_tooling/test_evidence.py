"""What explains a failed run is kept, whatever failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import evidence

ROOT = Path(__file__).parents[2]
STORIES = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("the fixture has failed")

@pytest.fixture
def untidy():
    yield
    raise RuntimeError("the end has failed")

def test_at_its_beginning(broken):
    pass

def test_itself():
    raise RuntimeError("the test has failed")

def test_at_its_end(untidy):
    pass
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A given cluster whose kubectl says what it was asked; returns the folder of logs."""
    for name in ("kubectl", "helm"):
        (tmp_path / name).write_text('#!/bin/sh\necho "asked for $*"\n')
        (tmp_path / name).chmod(0o755)
    settings = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "OPERATOR_IMAGE": "registry.example/operator:1",
        "TRITON_IMAGE": "registry.example/triton:1",
        "TRITON_OPERATOR_LOGS": str(tmp_path / "logs"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "logs"


@pytest.mark.parametrize("name", ["test_at_its_beginning", "test_itself", "test_at_its_end"])
def test_a_story_that_fails_keeps_the_logs_wherever_it_fails(cluster: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(ROOT / "e2e" / "conftest.py", tmp_path)
    (tmp_path / "test_stories.py").write_text(STORIES)
    words = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", tmp_path, "-k", name, tmp_path]
    paths = f"{ROOT}:{ROOT / 'e2e'}:{ROOT / 'operator'}"
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    told = done.stdout.splitlines()
    assert told[next(n for n, line in enumerate(told) if "cluster logs" in line) + 1] == str(cluster / name)
    assert "asked for get events" in (cluster / name / "events.txt").read_text()


def test_only_the_first_failure_of_a_run_keeps_logs(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_kept", [])
    assert evidence.keep_first("one") == str(cluster / "one")
    assert evidence.keep_first("two") is None
    assert [path.name for path in cluster.iterdir()] == ["one"]


def test_a_cluster_that_cannot_be_asked_is_no_further_failure(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPERATOR_IMAGE")
    assert evidence.keep("demo") == "none, as for a cluster that is there already set OPERATOR_IMAGE"
