"""What the init container prepares is what a real Triton serves."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from triton_operator.models.request import ENVIRONMENT_VARIABLE, Kind, Layout, ModelRequest, PrepareRequest

pytestmark = pytest.mark.contract

DOUBLE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.set_max_batch_size(0)
        config.add_input({"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]})
        return config

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() * 2)]
            )
            for request in requests
        ]
"""

CONFIG = """
name: "a-name-of-training"  # not the served one
backend: "python"
version_policy: { specific: { versions: [ 3, 6 ] } }
input [ { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    directory.mkdir()
    return directory


def claim(tmp_path: Path, config: str | None, versions: tuple[int, ...] = (3, 7, 9)) -> Path:
    """A volume with one model directory; only version 7 has a model that loads."""
    model = tmp_path / "source" / "vision" / "double"
    for version in versions:
        (model / str(version)).mkdir(parents=True)
        (model / str(version) / "model.py").write_text(DOUBLE if version == 7 else "raise SystemExit(1)")
    if config is not None:
        (model / "config.pbtxt").write_text(config)
    return model


def config_map(tmp_path: Path, files: dict[str, str]) -> Path:
    """A directory as the kubelet mounts a ConfigMap."""
    mount = tmp_path / "source"
    content = mount / "..2026_11_22"
    content.mkdir(parents=True)
    (mount / "..data").symlink_to("..2026_11_22")
    for name, text in files.items():
        (content / name).write_text(text)
        (mount / name).symlink_to(f"..data/{name}")
    return mount


def prepare(source: Path, repository: Path, *, layout: Layout, kind: Kind | None = None) -> None:
    """Run the init container's program as its container does."""
    uri = "configmap://double" if layout is Layout.FLAT else "pvc://models/vision/double"
    model = ModelRequest(
        name="double", version=7, uri=uri, source=str(source), repository=str(repository), layout=layout, kind=kind
    )
    request = PrepareRequest(repository=str(repository), models=(model,))
    environment = {**os.environ, ENVIRONMENT_VARIABLE: request.to_json()}
    command = [sys.executable, "-m", "triton_operator.models.prepare"]
    subprocess.run(command, env=environment, check=True)


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def doubled(client: object, library: object) -> list[float]:
    values = np.array([1, 2.5], np.float32)
    tensor = library.InferInput("IN", values.shape, "FP32")
    tensor.set_data_from_numpy(values)
    return client.infer("double", [tensor], model_version="7").as_numpy("OUT").tolist()


def assert_serves_version_7(server: object) -> None:
    assert status(f"http://{server.http}/v2/models/double/versions/7/ready") == 200
    assert [status(f"http://{server.http}/v2/models/double/versions/{n}/ready") for n in (3, 9)] == [400, 400]
    with tritonclient.http.InferenceServerClient(server.http) as client:
        assert doubled(client, tritonclient.http) == [2, 5]
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        assert doubled(client, tritonclient.grpc) == [2, 5]


@pytest.mark.parametrize(
    "config", [pytest.param(CONFIG, id="wrong name and versions"), pytest.param(None, id="no config.pbtxt")]
)
def test_triton_serves_the_one_version_of_a_linked_model_directory(
    tritonserver: Callable[..., object], tmp_path: Path, repository: Path, config: str | None
) -> None:
    prepare(claim(tmp_path, config), repository, layout=Layout.DIRECTORY)

    server = tritonserver(repository)

    assert_serves_version_7(server)


def test_triton_serves_a_model_copied_from_a_config_map(
    tritonserver: Callable[..., object], tmp_path: Path, repository: Path
) -> None:
    prepare(config_map(tmp_path, {"config.pbtxt": CONFIG, "model.py": DOUBLE}), repository, layout=Layout.FLAT)

    server = tritonserver(repository)

    assert_serves_version_7(server)
    assert server.stop() == 0


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG, id="no instance group"),
        pytest.param(None, id="no config.pbtxt"),
        pytest.param(CONFIG + "instance_group [ { count: 2 } ]", id="a group without a kind"),
    ],
)
def test_with_gpus_asked_for_triton_refuses_to_fall_back_to_the_cpu(
    tritonserver: Callable[..., object], tmp_path: Path, repository: Path, config: str | None
) -> None:
    prepare(claim(tmp_path, config), repository, layout=Layout.DIRECTORY, kind=Kind.GPU)

    with pytest.raises(Exception, match="has kind KIND_GPU but no GPUs are available"):
        tritonserver(repository)


def test_an_explicit_kind_cpu_is_served_although_gpus_are_asked_for(
    tritonserver: Callable[..., object], tmp_path: Path, repository: Path
) -> None:
    source = claim(tmp_path, CONFIG + "instance_group [ { kind: KIND_CPU } ]")
    prepare(source, repository, layout=Layout.DIRECTORY, kind=Kind.GPU)

    assert_serves_version_7(tritonserver(repository))


def test_without_the_merge_the_same_model_is_refused_by_triton(
    tritonserver: Callable[..., object], tmp_path: Path, repository: Path
) -> None:
    claim(tmp_path, CONFIG, versions=(7,)).rename(repository / "double")

    with pytest.raises(Exception, match="failed to load all models"):
        tritonserver(repository)
