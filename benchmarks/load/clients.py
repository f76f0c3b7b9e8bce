"""Clients as applications have them, one connection each: what becomes of one request.

The model has an input X and an output Y, both FP32 of one number, and perhaps an output POD: who answered.
Not for: when requests are sent; that is `generator`.
"""

import asyncio
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import aiohttp
import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

Json = dict[str, Any]

HTTP_PORT, GRPC_PORT = 8000, 8001
SERVICE = "inference.GRPCInferenceService"
# What a Triton says that has stopped: that nobody listens there, or that the model is not found any more.
RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "NOT_FOUND", "CANCELLED"],
}
RESET = "reset"
"""The kind of a failure in which the connection ended before any byte of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        value: the number.
        version: of the model that answered.
        pod: that answered; empty when the model does not say.
        reopened: how many connections, used before, turned out to be dead, so that the request was sent again.
    """

    value: float
    version: str
    pod: str
    reopened: int = 0


class Failed(Exception):
    """No answer came; the message is the error's own.

    Attributes:
        kind: few words by which failures are counted.
        reused: whether the connection had served another request before.
    """

    def __init__(self, kind: str, words: str, *, reused: bool = False) -> None:
        super().__init__(words)
        self.kind = kind
        self.reused = reused


class Client(Protocol):
    """One connection of an application."""

    async def infer(self, value: float, *, timeout_seconds: float) -> Answer:
        """Ask once; raises Failed."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class HttpClient:
    """HTTP/1.1 with keep-alive; a request that fails has failed."""

    reopens = False

    def __init__(self, host: str, model: str, via: str | None = None) -> None:
        """Prepare; the first request connects.

        Args:
            host: name of the service, or the host name that a Gateway knows it by.
            model: the model's name.
            via: address and port of the Gateway; None: straight to the service.
        """
        self._url = f"http://{via or f'{host}:{HTTP_PORT}'}/v2/models/{model}/infer"
        self._headers = {"Host": host} if via else {}
        self._session = _session()

    async def infer(self, value: float, *, timeout_seconds: float) -> Answer:
        """Ask once; raises Failed."""
        reopened = 0
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    try:
                        return await self._send(value, reopened)
                    except Failed as failed:
                        if not (self.reopens and failed.kind == RESET and failed.reused):
                            raise
                    reopened += 1
        except TimeoutError as error:
            raise Failed("timeout", f"no answer within {timeout_seconds:g} s") from error

    async def _send(self, value: float, reopened: int) -> Answer:
        inputs = [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [value]}]
        connection = SimpleNamespace(reused=False)
        response: aiohttp.ClientResponse | None = None
        try:
            sent = self._session.post(
                self._url, json={"inputs": inputs}, headers=self._headers, trace_request_ctx=connection
            )
            async with sent as response:
                text = await response.text()
        except aiohttp.ClientConnectorError as error:
            raise Failed("connect", repr(error)) from error
        except aiohttp.ClientError as error:
            is_reset = response is None and isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            kind = RESET if is_reset else type(error).__name__
            raise Failed(kind, repr(error), reused=connection.reused) from error
        if response.status != 200:
            raise Failed(f"HTTP {response.status}", text, reused=connection.reused)
        body = json.loads(text)
        outputs = {output["name"]: output["data"][0] for output in body["outputs"]}
        return Answer(outputs["Y"], body["model_version"], outputs.get("POD", ""), reopened)

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


class ReopeningHttpClient(HttpClient):
    """The same, but a connection used before that ended before any byte of an answer is opened anew."""

    reopens = True


class AgingHttpClient(HttpClient):
    """The same as the plain one, but its connections are left for new ones at an age of 15 s."""

    age_seconds = 15.0

    def __init__(self, host: str, model: str, via: str | None = None) -> None:
        """Prepare; the first request connects; arguments as of `HttpClient`."""
        super().__init__(host, model, via)
        self._made = asyncio.get_running_loop().time()
        self._left: list[aiohttp.ClientSession] = []  # with a request in flight perhaps

    async def infer(self, value: float, *, timeout_seconds: float) -> Answer:
        """Ask once; raises Failed."""
        now = asyncio.get_running_loop().time()
        if now - self._made > self.age_seconds:
            # All at once: while a session is closed, another request may come here.
            stale, self._left, self._session, self._made = self._left, [self._session], _session(), now
            for session in stale:  # a request lasts less than that
                await session.close()
        return await super().infer(value, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Close the connection."""
        for session in (*self._left, self._session):
            await session.close()


class GrpcClient:
    """gRPC by tritonclient, on a channel that shares no connection with others."""

    policy = "pick_first"
    settings: ClassVar[Json] = {}

    def __init__(self, host: str, model: str, via: str | None = None) -> None:
        """Prepare; the first request connects; arguments as of `HttpClient`."""
        arguments = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.lb_policy_name", self.policy),
            ("grpc.service_config", json.dumps(self.settings)),
        ]
        if via:
            arguments.append(("grpc.default_authority", host))
        self._client = triton.InferenceServerClient(via or f"{host}:{GRPC_PORT}", channel_args=arguments)
        self._model = model

    async def infer(self, value: float, *, timeout_seconds: float) -> Answer:
        """Ask once; raises Failed."""
        tensor = triton.InferInput("X", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.array([[value]], dtype=np.float32))
        try:
            result = await self._client.infer(self._model, [tensor], client_timeout=timeout_seconds)
        except InferenceServerException as error:
            status = str(error.status() or "unknown").removeprefix("StatusCode.")
            raise Failed("timeout" if status == "DEADLINE_EXCEEDED" else status, str(error)) from error
        pod = result.as_numpy("POD")
        name = "" if pod is None else pod.flat[0].decode()
        return Answer(float(result.as_numpy("Y").flat[0]), result.get_response().model_version, name)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


class BalancingGrpcClient(GrpcClient):
    """gRPC that has a connection to each address of the name, takes them in turn, and asks another when one refuses."""

    policy = "round_robin"
    settings: ClassVar[Json] = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": RETRY}]}


KINDS: dict[str, type[HttpClient] | type[GrpcClient]] = {
    "grpc": GrpcClient,
    "grpc-balancing": BalancingGrpcClient,
    "http": HttpClient,
    "http-aging": AgingHttpClient,
    "http-reopening": ReopeningHttpClient,
}
"""The clients by what they are called on the command line."""


def _session() -> aiohttp.ClientSession:
    """Connections of their own, that know whether they were used before."""
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_note_reuse)
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(), trace_configs=[tracing])


async def _note_reuse(_: Any, context: Any, __: Any) -> None:
    context.trace_request_ctx.reused = True
