"""Questions to pods: asked beside the reconciles, answered once, asked again where nobody answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from triton_operator.api import names
from triton_operator.api.golden import parse
from triton_operator.controller import checks
from triton_operator.controller.checks import Checker
from triton_operator.core.world import Answer, Question

KEY, OTHER = ("models", "vision"), ("models", "speech")
ADDRESS, NOWHERE = "127.0.0.77", "127.0.0.78"  # all of 127/8 is this machine


def question(pod: str = "uid-1", *, address: str = ADDRESS, model: str = "m") -> Question:
    return Question("vision-a", pod, address, model, 1)


class Triton:
    """Answers what a model is; `held` keeps those who ask for the model "slow"."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if "slow" in request.path:
            await self.held.wait()
        policy = {"decoupled": "several" in request.path}
        return web.json_response({"instance_group": [{"kind": "KIND_CPU"}], "model_transaction_policy": policy})


@pytest.fixture
async def triton() -> AsyncIterator[Triton]:
    made = Triton()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, names.PORT_HTTP).start()
    yield made
    made.held.set()
    await runner.cleanup()


class Desk:
    """A checker and who waits for its answers."""

    def __init__(self) -> None:
        self.woken: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.checker = Checker(self.woken.put_nowait)

    async def next(self) -> tuple[Answer, ...]:
        async with asyncio.timeout(5):
            return self.checker.answers(await self.woken.get())


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.checker.close()


async def test_an_answer_wakes_the_service_and_is_kept_while_it_is_asked_for(triton: Triton, desk: Desk) -> None:
    desk.checker.ask(KEY, [question()], seen=())
    (answer,) = await desk.next()
    assert answer.about is not None
    assert answer.about.kinds == ("KIND_CPU",)

    desk.checker.ask(KEY, [question()], seen=(answer,))
    assert desk.checker.answers(KEY) == (answer,)
    assert len(triton.asked) == 2  # the model, and its configuration, once
    desk.checker.ask(KEY, [], seen=(answer,))
    assert desk.checker.answers(KEY) == ()


async def test_an_answer_that_nobody_has_seen_is_not_forgotten(triton: Triton, desk: Desk) -> None:
    desk.checker.ask(KEY, [question()], seen=())
    (answer,) = await desk.next()
    desk.checker.ask(KEY, [], seen=())  # decided before the answer came
    assert desk.checker.answers(KEY) == (answer,)


async def test_who_does_not_answer_is_told_of_at_once_and_asked_again(
    triton: Triton, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(checks, "TRIES", 1)
    asked = question(address=NOWHERE)
    desk.checker.ask(KEY, [asked], seen=())
    (answer,) = await desk.next()
    assert answer.unreachable is not None

    await asyncio.sleep(0)  # the task that asked has ended
    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", triton.answer)
    await runner.setup()
    await web.TCPSite(runner, NOWHERE, names.PORT_HTTP).start()
    desk.checker.ask(KEY, [asked], seen=(answer,))
    (answer,) = await desk.next()
    assert answer.about is not None
    await runner.cleanup()


async def test_slow_pods_of_one_service_keep_no_other_waiting(triton: Triton, desk: Desk) -> None:
    slow = [question(f"uid-{number}", model="slow") for number in range(2 * checks.AT_A_TIME)]
    desk.checker.ask(KEY, slow, seen=())
    desk.checker.ask(OTHER, [question()], seen=())
    (answer,) = await desk.next()
    assert answer.question.model == "m"
    assert sum("slow" in path for path in triton.asked) <= checks.AT_A_TIME_OF_A_SERVICE


async def test_a_service_that_has_gone_is_forgotten(triton: Triton, desk: Desk) -> None:
    desk.checker.ask(KEY, [question()], seen=())
    await desk.next()
    desk.checker.ask(KEY, [question("uid-2", model="slow")], seen=())
    desk.checker.forget(KEY)
    assert desk.checker.answers(KEY) == ()
    triton.held.set()
    await asyncio.sleep(0.05)
    assert desk.checker.answers(KEY) == ()


async def test_a_decoupled_model_is_sent_no_golden_request(triton: Triton) -> None:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1], "data": [1]}
    request = {"inputs": [tensor], "outputs": [{"name": "Y", "datatype": "FP32", "data": [1]}]}
    golden = parse({"a": json.dumps(request)})
    desk = Desk()
    asked = replace(question(model="several"), golden=golden)
    desk.checker.ask(KEY, [asked], seen=())
    (answer,) = await desk.next()
    # Nobody listens for gRPC here: one that were sent would find the pod unreachable.
    assert (answer.unreachable, answer.mismatch) == (None, None)
    assert answer.about is not None
    assert answer.about.decoupled
    await desk.checker.close()
