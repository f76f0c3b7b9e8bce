import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from triton_operator.api.settings import Log
from triton_operator.controller.logs import bind, bound, configure

log = logging.getLogger("triton_operator.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_an_entry_is_one_line_of_json_with_the_bound_fields() -> None:
    stream = io.StringIO()
    configure(Log(format="json", level="info"), stream=stream)

    with bound(reconcile="4f2a", namespace="ns", name="demo"):
        bind(generation=3)
        log.info("said\n%s", "twice")
    log.info("outside")

    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside.pop("time").endswith("Z")
    assert inside == {
        "level": "info",
        "logger": "triton_operator.test",
        "message": "said\ntwice",
        "reconcile": "4f2a",
        "namespace": "ns",
        "name": "demo",
        "generation": 3,
    }
    assert "reconcile" not in outside


def test_a_traceback_is_part_of_its_line() -> None:
    stream = io.StringIO()
    configure(Log(format="json", level="info"), stream=stream)

    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: odd" in json.loads(line)["error"]


def test_a_line_break_in_a_message_makes_no_second_entry_for_people_either() -> None:
    stream = io.StringIO()
    configure(Log(format="text", level="info"), stream=stream)

    with bound(name="demo"):
        log.warning("uri %s", "x\n2026-01-01 ERROR forged")

    (line,) = stream.getvalue().splitlines()
    assert line.endswith("name=demo")


@pytest.mark.parametrize(
    ("level", "logger", "written"),
    [
        pytest.param("info", "kopf.objects", False, id="Kopf tells of every event"),
        pytest.param("debug", "kopf.objects", False, id="even when debugging"),
        pytest.param("info", "triton_operator.x", True, id="ours"),
        pytest.param("warning", "triton_operator.x", False, id="below the level"),
    ],
)
def test_libraries_are_quiet(level: str, logger: str, written: bool) -> None:
    stream = io.StringIO()
    configure(Log.model_validate({"format": "json", "level": level}), stream=stream)

    logging.getLogger(logger).info("Handler 'x' succeeded")

    assert bool(stream.getvalue()) is written


async def test_fields_of_one_task_are_not_seen_in_another() -> None:
    stream = io.StringIO()
    configure(Log(format="json", level="info"), stream=stream)
    turn = asyncio.Barrier(2)

    async def work(name: str) -> None:
        with bound(name=name):
            await turn.wait()
            log.info(name)

    await asyncio.gather(work("a"), work("b"))

    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(entry["message"] == entry["name"] for entry in entries)
