"""Squares."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer requests."""
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        """Answer one request."""
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x * x)])
