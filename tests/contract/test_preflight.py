"""What is asked of a pod before it gets traffic, asked of a real Triton."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triton_operator.api.golden import parse
from triton_operator.api.signature import Tensor
from triton_operator.edges.golden import first_mismatch
from triton_operator.edges.triton import NotReady, PodUnreachable, about

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
            outputs = [pb_utils.Tensor("Y", x * 2), pb_utils.Tensor("U", t)]
            if "B" in request.requested_output_names():
                outputs.append(pb_utils.Tensor("B", numpy.zeros((1, 2_000_000), numpy.float32)))
            answers.append(pb_utils.InferenceResponse(outputs))
        return answers
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "T" data_type: TYPE_STRING dims: [ -1 ] },
        { name: "O" data_type: TYPE_INT32 dims: [ 1 ] optional: true } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "U" data_type: TYPE_STRING dims: [ -1 ] },
         { name: "B" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""


@pytest.fixture
def server(tritonserver: Callable[..., Any], tmp_path: Path) -> Any:
    model = tmp_path / "models" / "m"
    (model / "2").mkdir(parents=True)
    (model / "2" / "model.py").write_text(MODEL)
    (model / "config.pbtxt").write_text(CONFIG)
    return tritonserver(tmp_path / "models")


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


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


async def test_a_pod_tells_its_signature_with_batches_and_optional_inputs(server: Any) -> None:
    found = await about("127.0.0.1", model="m", version=2, port=port_of(server.http))
    assert set(found.signature.inputs) == {
        Tensor("X", "FP32", (-1, 2)),
        Tensor("T", "BYTES", (-1, -1)),
        Tensor("O", "INT32", (-1, 1), optional=True),
    }
    assert set(found.signature.outputs) == {
        Tensor("Y", "FP32", (-1, 2)),
        Tensor("U", "BYTES", (-1, -1)),
        Tensor("B", "FP32", (-1, -1)),
    }
    assert found.signature.most_batch == 4
    assert found.kinds == ("KIND_CPU",)


async def test_a_pod_tells_that_its_model_is_decoupled(tritonserver: Callable[..., Any], tmp_path: Path) -> None:
    for name, policy in (("m", ""), ("several", "model_transaction_policy { decoupled: true }")):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "1" / "model.py").write_text(MODEL)
        (tmp_path / "models" / name / "config.pbtxt").write_text(CONFIG + policy)
    port = port_of(tritonserver(tmp_path / "models").http)
    found = {name: await about("127.0.0.1", model=name, version=1, port=port) for name in ("m", "several")}
    assert {name: of.decoupled for name, of in found.items()} == {"m": False, "several": True}


async def test_a_version_that_is_not_there_is_not_ready(server: Any) -> None:
    with pytest.raises(NotReady):
        await about("127.0.0.1", model="m", version=3, port=port_of(server.http))


async def test_golden_requests_are_answered_or_the_first_difference_is_told(server: Any) -> None:
    right, wrong = golden([2.0, 5.0]), golden([2.0, 6.0])
    assert (
        await first_mismatch("127.0.0.1", parse({"a": right}), model="m", version=2, port=port_of(server.grpc)) is None
    )
    found = await first_mismatch(
        "127.0.0.1", parse({"a": right, "b": wrong}), model="m", version=2, port=port_of(server.grpc)
    )
    assert found == "golden request b, output Y, index 1: expected 6.0, got 5.0"


async def test_a_golden_request_that_triton_refuses_is_told_in_its_words(server: Any) -> None:
    unknown = golden([2.0, 5.0], inputs=[{"name": "Z", "shape": [1], "datatype": "FP32", "data": [1]}])
    found = await first_mismatch("127.0.0.1", parse({"a": unknown}), model="m", version=2, port=port_of(server.grpc))
    assert found is not None
    assert found.startswith("golden request a: Triton refused it: ")


async def test_a_golden_request_that_cannot_be_sent_is_told(server: Any) -> None:
    lone = {"name": "T", "shape": [1], "datatype": "BYTES", "data": ["\ud800"]}  # no text in UTF-8
    requests = parse({"a": golden([2.0, 5.0], inputs=[lone])})
    found = await first_mismatch("127.0.0.1", requests, model="m", version=2, port=port_of(server.grpc))
    assert found is not None
    assert found.startswith("golden request a: it cannot be sent: 'utf-8' codec can't encode")


async def test_an_answer_that_is_too_large_is_not_taken_in(server: Any) -> None:
    large = golden([], outputs=[{"name": "B", "datatype": "FP32", "data": [0]}])
    found = await first_mismatch("127.0.0.1", parse({"a": large}), model="m", version=2, port=port_of(server.grpc))
    assert found is not None
    assert "larger than max" in found


async def test_a_pod_that_cannot_be_reached_says_nothing_about_the_model() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    requests = parse({"a": golden([2.0, 5.0])})
    with pytest.raises(PodUnreachable, match="NetworkPolicy"):
        await first_mismatch("127.0.0.1", requests, model="m", version=1, port=port)
