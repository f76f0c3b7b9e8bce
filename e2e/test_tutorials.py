"""Tutorials can be followed word by word, and say what is to be seen."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import provider
from stories import ROOT

TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 300
# What is another each time: names of revisions and of what is made of them, nodes, ages, and how wide a column is.
VARYING = (
    (re.compile(r"\b(digits)-[a-z0-9]{10}((-[a-z0-9]+)*)\b"), r"\1-HASH"),
    (re.compile(r"\bnode-\d\b|\b[a-z-]+-worker\d?\b"), "NODE"),
    (re.compile(r"\b(?:\d+[hms])+\b"), "AGE"),
    (re.compile(r"\s+"), " "),
)


@pytest.fixture
def shell(cluster: provider.Cluster, operator: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of who follows a tutorial; the namespace `tutorial` is theirs."""
    environment = {**os.environ, **cluster.environment()}
    kubeconfig = shutil.copy(environment["KUBECONFIG"], tmp_path / "kubeconfig")  # its namespace is changed
    own = f"{cluster.tools}:{Path(sys.executable).parent}:{environment['PATH']}"
    cluster.kubectl("delete", "namespace", "tutorial", "--ignore-not-found", timeout_seconds=180)
    yield environment | {"KUBECONFIG": str(kubeconfig), "PATH": own}
    cluster.kubectl("delete", "tisvc", "--all", "--namespace=tutorial", timeout_seconds=60)
    cluster.kubectl("delete", "namespace", "tutorial", "--ignore-not-found", "--wait=false")


def test_the_first_model(shell: dict[str, str]) -> None:
    begin = [
        "kubectl create namespace tutorial",
        "kubectl config set-context --current --namespace=tutorial",
        "kubectl triton doctor",
    ]
    follow("first-model.md", shell, begin, after="## 2. Serve")


def follow(name: str, shell: dict[str, str], begin: list[str], *, after: str) -> None:
    """Do what a tutorial says from some heading on, and compare what is seen with what it shows."""
    _, _, text = (TUTORIALS / name).read_text().partition(after)
    assert text, after
    seen = run("\n".join(begin), shell)
    assert "fail" not in seen
    for language, block in BLOCK.findall(text):
        match language:
            case "sh":
                seen = run(block, shell)
            case "console":
                command, _, expected = block.removeprefix("$ ").partition("\n")
                seen = run(command, shell)
                compare(expected, seen, command)
            case "":
                compare(block, seen, "what was done before")


def run(commands: str, shell: dict[str, str]) -> str:
    """Run commands as somebody does who types them: one that fails does not keep from the next."""
    done = subprocess.run(
        ["bash", "-c", commands], env=shell, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout + done.stderr


def compare(expected: str, seen: str, command: str) -> None:
    """Find each line that a tutorial shows in what was seen, but for what is another each time."""
    found = [alike(line) for line in seen.splitlines()]
    for line in expected.splitlines():
        assert any(alike(line) in one for one in found), f"{command} shows no line {line!r}:\n{seen}"


def alike(line: str) -> str:
    """Write a line without what is another each time."""
    for pattern, word in VARYING:
        line = pattern.sub(word, line)
    return line.strip()
