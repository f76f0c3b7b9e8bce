"""`kubectl triton` as a process of its own, against a real API server and a real operator."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from triton_operator.api import names

from .conftest import Operator, Services

pytestmark = pytest.mark.cluster

PROGRAM = "from triton_operator.cli.program import main; main()"
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(kubeconfig: Path, namespace: str) -> Run:
    """Run the plugin in the test's namespace; gives the exit code, what it printed, and its errors."""

    async def plugin(*words: str, kubeconfig: Path = kubeconfig) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *words, f"--namespace={namespace}",
            env=os.environ | {"KUBECONFIG": str(kubeconfig)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, error = await process.communicate()
        return process.returncode or 0, out.decode(), error.decode()

    return plugin


def with_token(kubeconfig: Path, token: str, file: Path) -> Path:
    """Write a kubeconfig for whoever has a token, and give its path."""
    body = yaml.safe_load(kubeconfig.read_text())
    body["users"] = [{"name": user["name"], "user": {"token": token}} for user in body["users"]]
    file.write_text(yaml.safe_dump(body))
    return file


async def test_an_action_is_answered_in_words(services: Services, operator: Operator, run: Run) -> None:
    await services.apply("one")
    await services.complete("one")

    ignored = await run("retry", "one")
    taken = await run("refresh", "one")
    unknown = await run("retry", "two")
    nothing = await run("promote", "one")

    assert taken[0] == 0, operator.log()
    assert taken[1].startswith("one: refresh of one is taken\n")
    assert ignored[::2] == (1, "error: retry was ignored: nothing of revision one was rejected\n")
    assert unknown[0] == 5
    assert "no InferenceService two in namespace" in unknown[2]
    assert nothing[0] == 1
    assert nothing[2].startswith("error: no canary is on trial: one is Loading")


async def test_a_service_is_shown_as_it_is(services: Services, operator: Operator, run: Run) -> None:
    await services.apply("one")
    children = await services.complete("one")
    (deployment,) = children["Deployment"]
    revision = deployment["metadata"]["name"]

    async def pod_is_shown() -> dict[str, Any] | None:
        code, out, error = await run("get", "one", "-o", "json")
        assert code == 0, error
        (tree,) = json.loads(out)
        return tree if tree["revisions"] and tree["revisions"][0]["pods"] else None

    tree = await operator.until(pod_is_shown)
    explained = await run("explain", "one")
    listed = await run("history", "one", "-o", "yaml")
    status = await run("status", "one")

    (branch,) = tree["revisions"]
    assert (branch["name"], branch["role"], branch["ready"]) == (revision, "new", 0)
    assert f"pods of revision {revision} are ready" in explained[1]
    assert [(entry["revision"], entry["number"]) for entry in yaml.safe_load(listed[1])] == [(revision, 1)]
    assert status[0] == 3


async def test_what_a_file_would_change_is_told(
    services: Services, operator: Operator, run: Run, tmp_path: Path
) -> None:
    applied = await services.apply("one")
    await services.complete("one")
    file = tmp_path / "one.yaml"
    body = {"apiVersion": names.API_VERSION, "kind": "InferenceService", "metadata": {"name": "one"}}

    file.write_text(yaml.safe_dump(body | {"spec": applied["spec"]}))
    same = await run("diff", "-f", str(file))
    file.write_text(yaml.safe_dump(body | {"spec": applied["spec"] | {"replicas": 3}}))
    more = await run("diff", "-f", str(file))
    runtime = applied["spec"]["runtime"] | {"args": ["--model-load-thread-count=2"]}
    file.write_text(yaml.safe_dump(body | {"spec": applied["spec"] | {"runtime": runtime}}))
    other = await run("diff", "-f", str(file), "-o", "json")
    await services.apply("one", runtime=runtime)

    assert same[0] == 0, same
    assert "no pod is restarted" in more[1]
    (told,) = json.loads(other[1])

    async def is_made() -> bool:
        return told["revision"] in {kept["metadata"]["name"] for kept in (await services.children("one"))["Deployment"]}

    assert await operator.until(is_made)


async def test_the_cluster_is_asked_about_files(run: Run, crds: None, namespace: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "digits"

    code, out, error = await run("lint", "-f", str(example), "--server=always")

    assert code == 0, error
    assert "the cluster takes all of it" in out


async def test_without_permission_it_says_so_in_one_line(
    services: Services, run: Run, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    words = ("create", "token", "default", f"--namespace={namespace}")
    process = await asyncio.create_subprocess_exec("kubectl", *words, stdout=subprocess.PIPE)
    token, _ = await process.communicate()
    own = with_token(kubeconfig, token.decode().strip(), tmp_path / "kubeconfig")

    code, out, error = await run("get", kubeconfig=own)

    assert (code, out) == (5, "")
    assert error.startswith("error: no permission: ")
    assert error.count("\n") == 1
