"""Stories that several processes tell at once: their turns, what they share, and what is noted for who looks back."""

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from history import Run
from turns import together, turn

FORK = multiprocessing.get_context("fork")


def hold(thing: Path, alone: bool, has_it: Event, may_go: Event) -> None:
    with turn(thing, alone=alone):
        has_it.set()
        may_go.wait()


@pytest.mark.parametrize(
    ("first", "second", "at_once"), [(False, False, True), (False, True, False), (True, False, False)]
)
def test_who_is_alone_waits_for_the_others_and_they_for_it(
    tmp_path: Path, first: bool, second: bool, at_once: bool
) -> None:
    go, both = FORK.Event(), [FORK.Event(), FORK.Event()]
    holders = [
        FORK.Process(target=hold, args=(tmp_path / "thing", alone, has_it, go), daemon=True)
        for alone, has_it in zip((first, second), both, strict=True)
    ]
    holders[0].start()
    both[0].wait()
    holders[1].start()
    assert both[1].wait(0.5) == at_once
    go.set()
    assert both[1].wait(10)
    for holder in holders:
        holder.join()


def live(room: Path, log: Path, seconds: float, fails: bool = False) -> None:
    def note(word: str) -> None:
        with log.open("a") as file:
            file.write(word + "\n")

    def begin() -> dict[str, str]:
        note("begin")
        if fails:
            raise RuntimeError("not made")
        return {"made": "once"}

    with together(room, begin, lambda kept: note(f"end {kept['made']}")):
        note("in")
        time.sleep(seconds)


def test_the_first_makes_what_all_share_and_the_last_ends_it(tmp_path: Path) -> None:
    room, log = tmp_path / "room", tmp_path / "log"
    inhabitants = [FORK.Process(target=live, args=(room, log, 0.2 + n / 5)) for n in range(3)]
    for each in inhabitants:
        each.start()
    for each in inhabitants:
        each.join()
    assert log.read_text().split("\n") == ["begin", "in", "in", "in", "end once", ""]
    live(room, log, 0)  # who comes later makes it anew
    assert log.read_text().split("\n")[-4:] == ["begin", "in", "end once", ""]


def test_what_could_not_be_made_is_tried_again_by_the_next(tmp_path: Path) -> None:
    room, log = tmp_path / "room", tmp_path / "log"
    with pytest.raises(RuntimeError, match="not made"):
        live(room, log, 0, fails=True)
    live(room, log, 0)
    assert log.read_text().split() == ["begin", "begin", "in", "end", "once"]


def test_only_what_was_asked_while_the_operator_had_its_rights_must_have_been_allowed() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = [at + timedelta(seconds=n) for n in range(10)]
    run = Run(begun=seconds[1], ended=seconds[8], rightless=((seconds[3], seconds[4]),))
    assert [run.counts(each, allowed=True) for each in seconds] == [False, *[True] * 8, False]
    refused = [n for n, each in enumerate(seconds) if run.counts(each, allowed=False)]
    assert refused == [1, 2, 5, 6, 7, 8]
    assert Run(begun=at, ended=None, rightless=()).counts(seconds[9], allowed=False)
