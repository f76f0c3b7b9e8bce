"""The arguments that every pod gives Triton do on the real server what they are for."""

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.resolution import sources_of
from triton_operator.resources.placement import Placement
from triton_operator.resources.pod import ADMIN_KEY, pod_template

pytestmark = pytest.mark.contract

KEY = "0c79aeb0-3d27-4afe-a743-92157bde16ad"  # a pod's uid
MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""
CONFIG = 'backend: "python" input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } ] output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]'  # noqa: E501


@pytest.fixture
def server(tritonserver: Callable[..., Any], tmp_path: Path) -> Any:
    repository = tmp_path / "models"
    (repository / "m" / "1").mkdir(parents=True)
    (repository / "m" / "1" / "model.py").write_text(MODEL)
    (repository / "m" / "config.pbtxt").write_text(CONFIG)
    spec = InferenceServiceSpec.model_validate({"model": {"name": "m", "uri": "configmap://m", "version": 1}})
    template = pod_template(
        spec,
        Settings(prepareImage="operator:1"),
        labels={},
        placement=Placement(),
        sources=sources_of(spec, None),
    )
    program, *arguments = template["spec"]["containers"][0]["args"]
    assert program == "tritonserver"
    placed = ("--model-repository", "--http-port", "--grpc-port", "--metrics-port")  # where the test puts them
    kept = [argument for argument in arguments if not argument.startswith(placed)]
    return tritonserver(repository, *(argument.replace(f"$({ADMIN_KEY})", KEY) for argument in kept))


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path", ["v2/systemsharedmemory/status", "v2/cudasharedmemory/status", "v2/logging", "v2/trace/setting"]
)
def test_the_shared_memory_logging_and_trace_apis_need_the_key(server: Any, path: str) -> None:
    url = f"http://{server.http}/{path}"
    assert status(url) == 403
    assert status(url, **{"triton-operator-admin": "guess"}) == 403
    assert status(url, **{"triton-operator-admin": KEY}) != 403


def test_the_same_holds_over_grpc_and_what_clients_need_is_open(server: Any) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        for ask in (client.get_system_shared_memory_status, client.get_log_settings, client.get_trace_settings):
            with pytest.raises(InferenceServerException, match="restricted"):
                ask()
        key = {"triton-grpc-protocol-triton-operator-admin": KEY}
        client.get_log_settings(headers=key)
        assert client.is_model_ready("m", "1")
        assert client.get_model_metadata("m").name == "m"
    assert status(f"http://{server.http}/v2/models/m/versions/1/ready") == 200
    assert status(f"http://{server.metrics}/metrics") == 200


def test_there_is_no_loading_and_unloading_of_models(server: Any) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        for act in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match=r"not allowed|polling|explicit"):
                act("m")
