"""The chart, rendered by the pinned Helm as a user would: no cluster is asked."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import tools
from cluster.cache import cache_from_environment

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "triton-operator"

Object = dict[str, Any]


class Refused(Exception):
    """Helm refused the values; the message is Helm's."""


class Rendered:
    """What Helm would install."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [body for body in yaml.safe_load_all(text) if body]

    def of(self, kind: str) -> list[Object]:
        return [body for body in self.objects if body["kind"] == kind]

    def one(self, kind: str) -> Object:
        (body,) = self.of(kind)
        return body

    @property
    def settings(self) -> Object:
        """The file that the operator reads."""
        read: Object = yaml.safe_load(self.one("ConfigMap")["data"]["settings.yaml"])
        return read

    @property
    def pod(self) -> Object:
        """The operator's pod."""
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec


Helm = Callable[..., str]
Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The pinned Helm, built when it is missing; raises what Helm says when it fails."""
    cache = cache_from_environment(os.environ)
    (tool,) = [tool for tool in tools.HOST_TOOLS if tool.name == "helm"]
    program = tools.folder_of(cache, tool.module) / tool.name
    if not program.exists():
        with cache.locked():
            tools.build(cache, [tool])
    home = tmp_path_factory.mktemp("helm")
    environment = {name: str(home) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")}

    def run(*words: str | Path, values: Object | None = None) -> str:
        done = subprocess.run(
            [program, *words, *(["--values", "-"] if values else [])],
            input=json.dumps(values or {}),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """Renders the chart with values, given as a dict or as `--set` takes them."""

    def run(
        values: Object | None = None, *sets: str, release: str = "triton-operator", namespace: str = "operators"
    ) -> Rendered:
        given = [word for text in sets for word in ("--set", text)]
        return Rendered(helm("template", release, CHART, "--namespace", namespace, *given, values=values))

    return run
