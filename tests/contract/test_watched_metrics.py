"""A real Triton counts what the alerts and dashboards of the chart ask for, under the labels that they choose by."""

import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chart.promql import TRITON

from .conftest import TritonServer

pytestmark = pytest.mark.contract

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", r.inputs()[0].as_numpy())]) for r in requests]
"""
CONFIG = """
backend: "python"
input [ { name: "X", data_type: TYPE_FP32, dims: [ 1 ] } ]
output [ { name: "Y", data_type: TYPE_FP32, dims: [ 1 ] } ]
"""
BY_MONITORS = {"inference_service", "revision"}


def test_what_is_asked_of_triton_is_counted(tritonserver: Callable[..., TritonServer], tmp_path: Path) -> None:
    directory = tmp_path / "models" / "m" / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(MODEL)
    (directory.parent / "config.pbtxt").write_text(CONFIG)
    server = tritonserver(tmp_path / "models")
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(nv_\w+)\{(.*)\} ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    # There is no GPU here; this Triton is of a time before failures had reasons.
    for name, labels in TRITON.items():
        if not name.startswith("nv_gpu_"):
            assert found[name] >= labels - BY_MONITORS - {"reason"}, name
