"""A real Triton whose Python model has died, beside one whose model raises an error for each request."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from triton_operator.core.vitals import TELLING_BACKEND, Counts, Look, suspects
from triton_operator.edges.triton import backend_of, serving_counts

from .conftest import TritonServer

pytestmark = pytest.mark.contract

M = ("m", "1")

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        if any((x < 0).any() for x in inputs):
            raise ValueError("negative")
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]) for x in inputs]
"""
CONFIG = """
backend: "python"
input [ { name: "X", data_type: TYPE_FP32, dims: [ 1 ] } ]
output [ { name: "Y", data_type: TYPE_FP32, dims: [ 1 ] } ]
"""


def status_of(server: TritonServer, value: float) -> int:
    body = {"inputs": [{"name": "X", "shape": [1], "datatype": "FP32", "data": [value]}]}
    request = urllib.request.Request(f"http://{server.http}/v2/models/m/infer", data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def counts(server: TritonServer) -> Look:
    host, _, port = server.metrics.rpartition(":")
    found = asyncio.run(serving_counts(host, port=int(port)))
    assert found is not None
    return {model: Counts.of(values) for model, values in found.items()}


def settled(server: TritonServer, requests: int) -> Look:
    """Wait until so many requests are counted: Triton counts a request shortly after it has answered it."""
    deadline = time.monotonic() + 30
    while (found := counts(server))[M].successes + found[M].backend_failures < requests:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_a_dead_backend_is_told_from_a_model_that_raises(
    tritonserver: Callable[..., TritonServer], tmp_path: Path
) -> None:
    directory = tmp_path / "models" / "m" / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(MODEL)
    (directory.parent / "config.pbtxt").write_text(CONFIG)
    server = tritonserver(tmp_path / "models", "--strict-readiness=false")

    assert status_of(server, 1.0) == 200
    first = settled(server, 1)
    assert first[M].successes == first[M].executions == 1
    assert [status_of(server, -1.0) for _ in range(5)] == [500] * 5
    raised = settled(server, 6)
    assert raised[M].backend_failures == 5
    assert list(suspects(first, raised)) == []

    threads = Path(f"/proc/{server.process.pid}/task").iterdir()
    stubs = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    assert stubs
    for stub in stubs:
        os.kill(stub, signal.SIGKILL)
    assert [status_of(server, 1.0) for _ in range(3)] == [500] * 3
    assert list(suspects(raised, settled(server, 9))) == [M]
    host, _, port = server.http.rpartition(":")
    assert asyncio.run(backend_of(host, model="m", version=1, port=int(port))) == TELLING_BACKEND


def test_nobody_there_has_no_counts() -> None:
    assert asyncio.run(serving_counts("127.0.0.1", port=1)) is None
