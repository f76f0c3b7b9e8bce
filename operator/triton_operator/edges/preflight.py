"""Asking a pod before it gets traffic: its readiness, its signature, its answers to golden requests.

By gRPC, through tritonclient; the channel is closed after use.
Not for: what follows from the answers; that is `core`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import grpc
import numpy
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from triton_operator.api import names
from triton_operator.api.golden import Golden, Values, mismatch
from triton_operator.api.signature import Signature, Tensor

ANSWER_SECONDS = 3.0
"""Time limit of a question about the model."""
GOLDEN_SECONDS = 30.0
"""Time limit of one golden request: the first one of a model may take long."""

_AWAY = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED")


class PodUnreachable(Exception):
    """No answer came from the pod, or one that is not Triton's; it says nothing about the model."""


class NotReady(Exception):
    """Triton answers, and this version of the model is not ready."""


async def signature_of(pod_ip: str, *, model: str, version: int, port: int = names.PORT_GRPC) -> Signature:
    """Ask a pod what its model takes and gives.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        model: the model's name.
        version: the model's version.
        port: Triton's gRPC port.

    Returns:
        The signature.

    Raises:
        PodUnreachable: no answer came within 3 s.
        NotReady: the version is not ready.
    """
    client = InferenceServerClient(_target(pod_ip, port))
    try:
        with _told(pod_ip, port):
            if not await client.is_model_ready(model, str(version), client_timeout=ANSWER_SECONDS):
                raise NotReady(f"version {version} of model {model} is not ready on {pod_ip}")
            about = await client.get_model_metadata(model, str(version), client_timeout=ANSWER_SECONDS)
            config = (await client.get_model_config(model, str(version), client_timeout=ANSWER_SECONDS)).config
    finally:
        await client.close()
    optional = {tensor.name for tensor in config.input if tensor.optional}
    return Signature(
        inputs={t.name: Tensor(t.datatype, tuple(t.shape), t.name in optional) for t in about.inputs},
        outputs={t.name: Tensor(t.datatype, tuple(t.shape)) for t in about.outputs},
        most_batch=config.max_batch_size,
    )


async def first_mismatch(
    pod_ip: str, requests: Sequence[Golden], *, model: str, version: int, port: int = names.PORT_GRPC
) -> str | None:
    """Send golden requests to a pod, one after the other, until one is answered otherwise than expected.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        requests: what to send.
        model: the model's name.
        version: the model's version.
        port: Triton's gRPC port.

    Returns:
        What differs, or None if every answer is as expected.

    Raises:
        PodUnreachable: no answer came within 30 s.
    """
    client = InferenceServerClient(_target(pod_ip, port))
    try:
        for golden in requests:
            try:
                with _told(pod_ip, port):
                    found = await client.infer(
                        model,
                        [_input(values) for values in golden.inputs],
                        str(version),
                        [InferRequestedOutput(values.name) for values in golden.outputs],
                        parameters=dict(golden.parameters) or None,
                        client_timeout=GOLDEN_SECONDS,
                    )
            except InferenceServerException as error:
                return f"golden request {golden.key}: Triton refused it: {error.message()}"[:4096]
            answered = {}
            for values in golden.outputs:
                array = found.as_numpy(values.name)
                if array is not None:
                    answered[values.name] = (array.shape, [_plain(element) for element in array.ravel().tolist()])
            if differs := mismatch(golden, answered):
                return differs
        return None
    finally:
        await client.close()


@contextmanager
def _told(pod_ip: str, port: int) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        if error.status() in _AWAY:
            raise PodUnreachable(
                f"{_target(pod_ip, port)} does not answer: {error.message()}. Let the operator's pod reach the"
                f" service's pods on ports {names.PORT_HTTP} and {names.PORT_GRPC} (NetworkPolicy, mTLS of a mesh)"
            ) from error
        if error.status() == "StatusCode.NOT_FOUND":
            raise NotReady(error.message()) from error
        raise
    except grpc.RpcError as error:
        raise PodUnreachable(f"{_target(pod_ip, port)} does not answer: {error}") from error


def _input(values: Values) -> InferInput:
    shape = list(values.shape or ())
    tensor = InferInput(values.name, shape, values.datatype)
    data: list[Any] = list(values.data)
    if values.datatype == "BYTES":
        array = numpy.array([text.encode() for text in data], dtype=numpy.object_)
    else:
        array = numpy.array(data, dtype=cast(Any, triton_to_np_dtype(values.datatype)))
    tensor.set_data_from_numpy(array.reshape(shape))
    return tensor


def _plain(element: Any) -> Any:
    return element.decode(errors="replace") if isinstance(element, bytes) else element


def _target(pod_ip: str, port: int) -> str:
    return f"[{pod_ip}]:{port}" if ":" in pod_ip else f"{pod_ip}:{port}"
