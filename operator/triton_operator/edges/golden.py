"""Sending golden requests to a pod before it gets any other: by gRPC, through tritonclient.

This module brings grpc and numpy with it, 24 MB of memory: it is imported where golden requests are asked for.
Not for: what follows from the answers; that is `core.preflight`.
"""

import struct
from collections.abc import Sequence
from typing import Any, cast

import grpc
import numpy
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from triton_operator.api import names
from triton_operator.api.golden import Golden, Values, mismatch
from triton_operator.edges.triton import ANSWER_SECONDS, unreachable

GOLDEN_SECONDS = 30.0
"""Time limit of one golden request: the first one of a model may take long."""
MOST_BYTES = 4 << 20
"""Size limit of an answer; the expected one stands in a ConfigMap of 1 MiB."""


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
        PodUnreachable: Triton's gRPC port does not answer.
    """
    client = InferenceServerClient(
        f"[{pod_ip}]:{port}" if ":" in pod_ip else f"{pod_ip}:{port}",
        channel_args=[("grpc.max_receive_message_length", MOST_BYTES)],
    )
    try:
        try:
            await client.is_server_live(client_timeout=ANSWER_SECONDS)
        except (InferenceServerException, grpc.RpcError) as error:
            raise unreachable(pod_ip, port, error) from error
        for golden in requests:
            try:
                found = await client.infer(
                    model,
                    [_input(values) for values in golden.inputs],
                    str(version),
                    [InferRequestedOutput(values.name) for values in golden.outputs],
                    parameters=dict(golden.parameters) or None,
                    client_timeout=GOLDEN_SECONDS,
                )
            except InferenceServerException as error:
                if error.status() == "StatusCode.DEADLINE_EXCEEDED":
                    return f"golden request {golden.key}: no answer within {GOLDEN_SECONDS:g} s"
                if error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"):  # the pod is ending
                    raise unreachable(pod_ip, port, error.message()) from error
                return f"golden request {golden.key}: Triton refused it: {error.message()}"[:4096]
            except (ValueError, TypeError) as error:
                return f"golden request {golden.key}: it cannot be sent: {error}"[:4096]
            try:
                answered = {values.name: _output(found, values.name) for values in golden.outputs}
            except (ValueError, TypeError, struct.error, InferenceServerException) as error:  # the image is the user's
                return f"golden request {golden.key}: its answer cannot be read: {error}"[:4096]
            if differs := mismatch(golden, {name: output for name, output in answered.items() if output}):
                return differs
        return None
    finally:
        await client.close()


def _output(found: InferResult, name: str) -> tuple[tuple[int, ...], list[Any]] | None:
    array = found.as_numpy(name)
    return None if array is None else (array.shape, [_plain(element) for element in array.ravel().tolist()])


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
