"""The examples do on a real Triton what their pages say: the answers there are the answers here."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from triton_operator.api.runtime import Runtime
from triton_operator.models.credentials import Credentials
from triton_operator.models.model_config import parse_model_config
from triton_operator.models.prepare import prepare
from triton_operator.models.request import Layout, ModelRequest, PrepareRequest

from .conftest import TritonServer

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = ("warmup", "response-cache", "rate-limiter", "ensemble")


def service(name: str) -> dict[str, Any]:
    found = yaml.safe_load((EXAMPLES / name / "inferenceservice.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def page(name: str, pattern: str) -> Any:
    found = re.search(pattern, (EXAMPLES / name / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def models_of(name: str, repository: Path, mounts: Path) -> tuple[ModelRequest, ...]:
    """The models of an example, mounted as their volumes would be."""
    spec = service(name)["spec"]["model"]
    if spec["uri"].startswith("configmap://"):
        mount = mounts / "flat"
        mount.mkdir()
        for file in ("config.pbtxt", "model.py"):
            (mount / file).write_bytes((EXAMPLES / name / file).read_bytes())
        return (
            ModelRequest(
                name=spec["name"],
                version=1,
                uri=spec["uri"],
                source=str(mount),
                repository=str(repository),
                layout=Layout.FLAT,
            ),
        )
    claim = spec["uri"].rpartition("/")[0]
    return tuple(
        ModelRequest(
            name=model["name"],
            version=model["version"],
            uri=f"{claim}/{model['name']}",
            source=str(EXAMPLES / name / "models" / model["name"]),
            repository=str(repository),
            layout=Layout.DIRECTORY,
        )
        for model in (spec, *spec.get("dependencies", []))
    )


@pytest.fixture
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    models = models_of(request.getfixturevalue("name"), path, tmp_path)
    await prepare(PrepareRequest(repository=str(path), models=models), Credentials(None, {}), volume_bytes=None)
    return path


@pytest.mark.contract
@pytest.mark.parametrize("name", RUN)
def test_an_example_answers_as_its_page_says(
    tritonserver: Callable[..., TritonServer], repository: Path, name: str
) -> None:
    spec = service(name)["spec"]
    server = tritonserver(repository, *spec["runtime"].get("args", []))
    body = page(name, r"-d '(.*?)'")
    url = f"http://{server.http}/v2/models/{spec['model']['name']}/infer"
    wanted = page(name, r"`data` is `(\[.*?\])")

    for _ in range(3 if name == "response-cache" else 1):
        with urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(body).encode()), timeout=30) as answer:
            assert json.load(answer)["outputs"][0]["data"] == wanted

    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as answer:
        metrics = answer.read().decode()
    hits = re.search(r"^nv_cache_num_hits_per_model\{[^}]*\} (\d+)", metrics, re.MULTILINE)
    assert (int(hits[1]) if hits else 0) == (2 if name == "response-cache" else 0)
    if name == "rate-limiter":
        with urllib.request.urlopen(f"http://{server.http}/v2/models/{name}/config", timeout=30) as answer:
            group = json.load(answer)["instance_group"][0]
        assert group["rate_limiter"]["resources"] == [{"name": "R1", "global": False, "count": 1}]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("config.pbtxt")), ids=lambda path: path.parent.name)
def test_the_configuration_of_an_example_is_one_of_tritons(path: Path) -> None:
    found = parse_model_config(path.read_text(encoding="utf-8"))

    assert found.backend or found.platform


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("inferenceservice.yaml")), ids=lambda path: path.parent.name)
def test_the_runtime_of_an_example_is_taken(path: Path) -> None:
    Runtime.model_validate(service(path.parent.name)["spec"].get("runtime", {}))
