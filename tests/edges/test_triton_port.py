from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from triton_operator.edges import triton
from triton_operator.edges.triton import loaded_kinds, serving_counts

CPU = [{"name": "m_0", "kind": "KIND_CPU", "count": 1}]


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, dict[str, web.Response], list[str]]]:
    answers: dict[str, web.Response] = {}
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        told = answers[""]
        return web.Response(body=told.body, status=told.status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], answers, paths
    await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(web.json_response({"instance_group": CPU}), frozenset({"KIND_CPU"}), id="one group"),
        pytest.param(
            web.json_response({"instance_group": [*CPU, {"kind": "KIND_GPU"}]}),
            frozenset({"KIND_CPU", "KIND_GPU"}),
            id="two groups",
        ),
        pytest.param(web.json_response({"platform": "ensemble"}), frozenset(), id="an ensemble"),
        pytest.param(web.json_response({"error": "unknown model"}, status=400), None, id="unknown model"),
        pytest.param(web.Response(text="not JSON"), None, id="not JSON"),
        pytest.param(web.json_response([1]), None, id="JSON of another shape"),
        pytest.param(web.Response(text="[" * 100_000), None, id="JSON of endless depth"),
        pytest.param(web.Response(text=" " * (1 << 18) + "{}"), None, id="too much"),
        pytest.param(web.json_response({"instance_group": 7}), None, id="a number for groups"),
    ],
)
async def test_the_kinds_a_model_was_loaded_on(
    server: tuple[int, dict[str, web.Response], list[str]], answer: web.Response, expected: frozenset[str] | None
) -> None:
    port, answers, paths = server
    answers[""] = answer

    assert await loaded_kinds("127.0.0.1", model="m", version=3, port=port) == expected
    assert paths == ["/v2/models/m/versions/3/config"]


@pytest.mark.parametrize("value", ["e", ".", "1.2.3", "1e", "e+1", "+", ""])
async def test_a_counter_that_is_no_number_is_passed_over(
    server: tuple[int, dict[str, web.Response], list[str]], value: str
) -> None:
    port, answers, _ = server
    labels = '{model="m",version="1"}'
    lines = [f"nv_inference_request_success{labels} {value}", f"nv_inference_exec_count{labels} 1.5e+02", ""]
    answers[""] = web.Response(text="\n".join(lines))  # the image is the user's: it may say anything

    assert await serving_counts("127.0.0.1", port=port) == {("m", "1"): {"executions": 150.0}}


async def test_a_hostile_model_name_stays_one_part_of_the_path(
    server: tuple[int, dict[str, web.Response], list[str]],
) -> None:
    port, answers, paths = server
    answers[""] = web.json_response({})

    await loaded_kinds("127.0.0.1", model="../a?b#c%2f", version=1, port=port)

    assert paths == ["/v2/models/..%2Fa%3Fb%23c%252f/versions/1/config"]


async def test_a_pod_that_does_not_answer_is_unknown() -> None:
    assert await loaded_kinds("127.0.0.1", model="m", version=1, port=1) is None


async def test_an_ipv6_address_is_bracketed() -> None:
    assert await loaded_kinds("::1", model="m", version=1, port=1) is None


async def test_a_pod_that_answers_too_slowly_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "ANSWER_SECONDS", 0.05)
    # A listening socket that never answers.
    import asyncio

    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]

    assert await loaded_kinds("127.0.0.1", model="m", version=1, port=port) is None
    silent.close()
