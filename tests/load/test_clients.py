import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from benchmarks.load import clients
from benchmarks.load.clients import AgingHttpClient, Failed, HttpClient, ReopeningHttpClient

HALF = b"{"
BODY = {"model_version": "3", "outputs": [{"name": "Y", "data": [7.0]}, {"name": "POD", "data": ["adder-x"]}]}


@asynccontextmanager
async def server(
    monkeypatch: pytest.MonkeyPatch, *, answers: Callable[[int, int], bytes | None]
) -> AsyncIterator[list[tuple[int, int]]]:
    """A server whose answer depends on the numbers of connection and request; None ends the connection.

    Yields:
        The numbers of each request that came.
    """
    came: list[tuple[int, int]] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        connection, request = connections, 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                request += 1
                came.append((connection, request))
                answer = answers(connection, request)
                if answer is None:
                    return
                writer.write(answer)
                if answer.endswith(HALF):
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setattr(clients, "HTTP_PORT", listening.sockets[0].getsockname()[1])
    async with listening:
        yield came


def answer(status: str = "200 OK", body: object = BODY) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(text), text)


async def test_an_answer_says_value_version_and_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(monkeypatch, answers=lambda _, __: answer()):
        client = HttpClient("127.0.0.1", "adder")
        found = await client.infer(7, timeout_seconds=5)
        await client.close()
    assert found == clients.Answer(7.0, "3", "adder-x", reopened=0)


def dies_when_used_again(_: int, request: int) -> bytes | None:
    return answer() if request == 1 else None


async def test_a_plain_client_loses_the_request_on_which_a_used_connection_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with server(monkeypatch, answers=dies_when_used_again) as came:
        client = HttpClient("127.0.0.1", "adder")
        await client.infer(1, timeout_seconds=5)
        with pytest.raises(Failed) as caught:
            await client.infer(2, timeout_seconds=5)
        await client.close()
    assert (caught.value.kind, caught.value.reused) == (clients.RESET, True)
    assert came == [(1, 1), (1, 2)]


async def test_a_reopening_client_sends_it_again_on_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(monkeypatch, answers=dies_when_used_again) as came:
        client = ReopeningHttpClient("127.0.0.1", "adder")
        await client.infer(1, timeout_seconds=5)
        found = await client.infer(2, timeout_seconds=5)
        await client.close()
    assert found.reopened == 1
    assert came == [(1, 1), (1, 2), (2, 1)]


async def test_an_aging_client_leaves_a_connection_before_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgingHttpClient, "age_seconds", 0)
    async with server(monkeypatch, answers=dies_when_used_again) as came:
        client = AgingHttpClient("127.0.0.1", "adder")
        for value in (1, 2, 3):
            await client.infer(value, timeout_seconds=5)
        await client.close()
    assert came == [(1, 1), (2, 1), (3, 1)]


async def test_an_aging_client_that_is_asked_by_several_at_once_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[aiohttp.ClientSession] = []
    new = clients._session
    monkeypatch.setattr(clients, "_session", lambda: made.append(new()) or made[-1])
    monkeypatch.setattr(AgingHttpClient, "age_seconds", 0)
    async with server(monkeypatch, answers=lambda _, __: answer()):
        client = AgingHttpClient("127.0.0.1", "adder")
        for _ in range(3):
            await asyncio.gather(*(client.infer(1, timeout_seconds=5) for _ in range(5)), return_exceptions=True)
        await client.close()
    assert len(made) > 5
    assert all(session.closed for session in made)


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        pytest.param(None, clients.RESET, id="a new connection that dies"),
        pytest.param(answer("503 Service Unavailable", {"error": "no"}), "HTTP 503", id="an error of the server"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + HALF, "ClientPayloadError", id="half an answer"),
    ],
)
async def test_even_a_reopening_client_fails_by(
    monkeypatch: pytest.MonkeyPatch, first: bytes | None, kind: str
) -> None:
    def answers(_: int, request: int) -> bytes | None:
        return first if request == 1 else None

    async with server(monkeypatch, answers=answers) as came:
        client = ReopeningHttpClient("127.0.0.1", "adder")
        with pytest.raises(Failed) as caught:
            await client.infer(1, timeout_seconds=5)
        await client.close()
    assert caught.value.kind == kind
    assert came == [(1, 1)]


async def test_nobody_listening_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(monkeypatch, answers=lambda _, __: None):
        pass
    client = ReopeningHttpClient("127.0.0.1", "adder")
    with pytest.raises(Failed) as caught:
        await client.infer(1, timeout_seconds=5)
    await client.close()
    assert caught.value.kind == "connect"
