import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from triton_operator.api.signature import Signature, Tensor
from triton_operator.edges import triton
from triton_operator.edges.triton import NotReady, PodUnreachable, about, serving_counts

Server = tuple[int, dict[str, web.Response], list[str]]
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
        pytest.param({"instance_group": CPU}, ("KIND_CPU",), id="one group"),
        pytest.param({"instance_group": [{"kind": "KIND_GPU"}, *CPU]}, ("KIND_CPU", "KIND_GPU"), id="two groups"),
        pytest.param({"platform": "ensemble"}, (), id="an ensemble"),
    ],
)
async def test_the_kinds_a_model_was_loaded_on(server: Server, answer: Any, expected: tuple[str, ...]) -> None:
    port, answers, paths = server
    answers[""] = web.json_response(answer)

    assert (await about("127.0.0.1", model="m", version=3, port=port)).kinds == expected
    assert paths == ["/v2/models/m/versions/3", "/v2/models/m/versions/3/config"]


async def test_what_a_model_takes_and_gives(server: Server) -> None:
    port, answers, _ = server
    inputs = [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}, {"name": "Z", "datatype": "BYTES", "shape": ["-1"]}]
    config = {"input": [{"name": "X"}, {"name": "Z", "optional": True}], "max_batch_size": 8}
    answers[""] = web.json_response({"inputs": inputs, "outputs": [inputs[0]]} | config)

    assert (await about("127.0.0.1", model="m", version=3, port=port)).signature == Signature(
        inputs=(Tensor("X", "FP32", (-1, 4)), Tensor("Z", "BYTES", (-1,), optional=True)),
        outputs=(Tensor("X", "FP32", (-1, 4)),),
        most_batch=8,
    )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(web.json_response({"error": "unknown model"}, status=400), id="unknown model"),
        pytest.param(web.Response(text="not JSON"), id="not JSON"),
        pytest.param(web.json_response([1]), id="JSON of another shape"),
        pytest.param(web.Response(text="[" * 100_000), id="JSON of endless depth"),
        pytest.param(web.Response(text=" " * (1 << 18) + "{}"), id="too much"),
        pytest.param(web.json_response({"instance_group": 7}), id="a number for groups"),
        pytest.param(web.json_response({"inputs": [{"name": "X"}]}), id="half a tensor"),
    ],
)
async def test_what_cannot_be_read_tells_nothing(server: Server, answer: web.Response) -> None:
    port, answers, _ = server
    answers[""] = answer

    with pytest.raises(NotReady):
        await about("127.0.0.1", model="m", version=3, port=port)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(web.Response(status=503), id="the sidecar of a mesh"),
        pytest.param(web.Response(status=404, text="no such page"), id="a proxy"),
        pytest.param(web.json_response(["error"], status=404), id="another API"),
        pytest.param(
            web.json_response({"error": "This API is restricted"}, status=403), id="an API that is restricted"
        ),
    ],
)
async def test_an_answer_that_is_not_tritons_says_nothing_about_the_model(server: Server, answer: web.Response) -> None:
    port, answers, _ = server
    answers[""] = answer

    with pytest.raises(PodUnreachable, match=f"HTTP status {answer.status}"):
        await about("127.0.0.1", model="m", version=3, port=port)


@pytest.mark.parametrize("value", ["e", ".", "1.2.3", "1e", "e+1", "+", ""])
async def test_a_counter_that_is_no_number_is_passed_over(server: Server, value: str) -> None:
    port, answers, _ = server
    labels = '{model="m",version="1"}'
    lines = [f"nv_inference_request_success{labels} {value}", f"nv_inference_exec_count{labels} 1.5e+02", ""]
    answers[""] = web.Response(text="\n".join(lines))  # the image is the user's: it may say anything

    assert await serving_counts("127.0.0.1", port=port) == {("m", "1"): {"executions": 150.0}}


async def test_a_hostile_model_name_stays_one_part_of_the_path(
    server: Server,
) -> None:
    port, answers, paths = server
    answers[""] = web.json_response({})

    await about("127.0.0.1", model="../a?b#c%2f", version=1, port=port)

    assert paths[1:] == ["/v2/models/..%2Fa%3Fb%23c%252f/versions/1/config"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_pod_that_does_not_answer_is_unreachable_and_the_remedy_is_told(address: str) -> None:
    with pytest.raises(PodUnreachable, match="NetworkPolicy"):
        await about(address, model="m", version=1, port=1)


async def test_a_pod_that_answers_too_slowly_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "ANSWER_SECONDS", 0.05)
    # A listening socket that never answers.
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]

    with pytest.raises(PodUnreachable):
        await about("127.0.0.1", model="m", version=1, port=port)
    silent.close()
