"""What is asked of a pod before it gets traffic, asked of a real Triton."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triton_operator.api.golden import parse
from triton_operator.api.signature import Tensor, differences
from triton_operator.edges.preflight import NotReady, PodUnreachable, first_mismatch, signature_of

pytestmark = pytest.mark.contract

MODEL = """
import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            t = pb_utils.get_input_tensor_by_name(request, "T").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x * 2), pb_utils.Tensor("U", t)]))
        return answers
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "T" data_type: TYPE_STRING dims: [ -1 ] },
        { name: "O" data_type: TYPE_INT32 dims: [ 1 ] optional: true } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "U" data_type: TYPE_STRING dims: [ -1 ] } ]
"""


@pytest.fixture
def port(tritonserver: Callable[..., Any], tmp_path: Path) -> int:
    model = tmp_path / "models" / "m"
    (model / "2").mkdir(parents=True)
    (model / "2" / "model.py").write_text(MODEL)
    (model / "config.pbtxt").write_text(CONFIG)
    return int(tritonserver(tmp_path / "models").grpc.rsplit(":", 1)[1])


def golden(expected: list[float], **changes: Any) -> str:
    inputs = [
        {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [[1.0, 2.5]]},
        {"name": "T", "shape": [1, 1], "datatype": "BYTES", "data": ["käse"]},
    ]
    outputs = [
        {"name": "Y", "shape": [1, 2], "datatype": "FP32", "data": expected},
        {"name": "U", "datatype": "BYTES", "data": ["käse"]},
    ]
    return json.dumps({"inputs": inputs, "outputs": outputs} | changes)


async def test_a_pod_tells_its_signature_with_batches_and_optional_inputs(port: int) -> None:
    found = await signature_of("127.0.0.1", model="m", version=2, port=port)
    assert found.inputs == {
        "X": Tensor("FP32", (-1, 2)),
        "T": Tensor("BYTES", (-1, -1)),
        "O": Tensor("INT32", (-1, 1), optional=True),
    }
    assert found.outputs == {"Y": Tensor("FP32", (-1, 2)), "U": Tensor("BYTES", (-1, -1))}
    assert found.most_batch == 4
    assert differences(found, found) == ()


async def test_a_version_that_is_not_there_is_not_ready(port: int) -> None:
    with pytest.raises(NotReady):
        await signature_of("127.0.0.1", model="m", version=3, port=port)


async def test_golden_requests_are_answered_or_the_first_difference_is_told(port: int) -> None:
    right, wrong = golden([2.0, 5.0]), golden([2.0, 6.0])
    assert await first_mismatch("127.0.0.1", parse({"a": right}), model="m", version=2, port=port) is None
    found = await first_mismatch("127.0.0.1", parse({"a": right, "b": wrong}), model="m", version=2, port=port)
    assert found == "golden request b, output Y, index 1: expected 6.0, got 5.0"


async def test_a_golden_request_that_triton_refuses_is_told_in_its_words(port: int) -> None:
    unknown = golden([2.0, 5.0], inputs=[{"name": "Z", "shape": [1], "datatype": "FP32", "data": [1]}])
    found = await first_mismatch("127.0.0.1", parse({"a": unknown}), model="m", version=2, port=port)
    assert found is not None
    assert found.startswith("golden request a: Triton refused it: ")


async def test_a_pod_that_cannot_be_reached_says_nothing_about_the_model() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PodUnreachable, match="NetworkPolicy"):
        await signature_of("127.0.0.1", model="m", version=1, port=port)
