"""Asking pods what decisions must know of their models, beside the reconciles.

Nothing of it must be remembered: what is still to be known after a restart is asked again.
Not for: what to ask, and what follows from the answers; that is `core.preflight`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from triton_operator.controller.queue import Key
from triton_operator.core.world import Answer, Question
from triton_operator.edges.triton import NotReady, PodUnreachable, about

AT_A_TIME = 64
AT_A_TIME_OF_A_SERVICE = 4
"""Golden requests may take minutes: those of one service must not keep others waiting."""
TRIES = 3
PAUSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Checker:
    """Asks pods in the background and keeps what they answered as long as it is asked for."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        """Make a checker.

        Args:
            wake: queues a service when an answer has come.
        """
        self._wake = wake
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._own: defaultdict[Key, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_A_TIME_OF_A_SERVICE))
        self._answers: dict[Key, dict[Question, Answer]] = {}
        self._tasks: dict[tuple[Key, Question], asyncio.Task[None]] = {}

    def answers(self, key: Key) -> tuple[Answer, ...]:
        """Give what the pods of a service have answered so far."""
        return tuple(self._answers.get(key, {}).values())

    def ask(self, key: Key, questions: Iterable[Question], *, seen: Iterable[Answer]) -> None:
        """Ask what has no answer yet.

        Args:
            key: the service.
            questions: what is to be known.
            seen: answers that were taken notice of; those to what is not asked any more are forgotten.
        """
        wanted = set(questions)
        found = self._answers.get(key, {})
        for answer in seen:
            if answer.question not in wanted and found.get(answer.question) is answer:
                del found[answer.question]
        if not found:
            self._answers.pop(key, None)
        for question in wanted:
            known = found.get(question)
            if (known is None or not _is_final(known)) and (key, question) not in self._tasks:
                task = asyncio.create_task(self._ask(key, question, pause=known is not None), name="check")
                self._tasks[key, question] = task
                task.add_done_callback(lambda _, place=(key, question): self._tasks.pop(place, None))  # type: ignore[misc]

    def forget(self, key: Key) -> None:
        """Forget a service that has gone."""
        for place in [place for place in self._tasks if place[0] == key]:
            self._tasks.pop(place).cancel()
        self._answers.pop(key, None)
        self._own.pop(key, None)

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _ask(self, key: Key, question: Question, *, pause: bool) -> None:
        for tried in range(TRIES):
            if tried or pause:
                await asyncio.sleep(PAUSE_SECONDS)
            async with self._own[key], self._slots:
                answer = await _answered(question)
            told = self._answers.setdefault(key, {})
            if told.get(question) != answer:
                told[question] = answer
                self._wake(key)
            if _is_final(answer):
                return


def _is_final(answer: Answer) -> bool:
    return answer.unreachable is None and answer.about is not None


async def _answered(question: Question) -> Answer:
    address, model, version = question.address, question.model, question.version
    try:
        found = await about(address, model=model, version=version)
        mismatch = None
        if question.golden and not found.decoupled:
            from triton_operator.edges.golden import first_mismatch  # it brings 24 MB that few need

            mismatch = await first_mismatch(address, question.golden, model=model, version=version)
    except PodUnreachable as error:
        return Answer(question, unreachable=str(error))
    except NotReady as error:
        _log.debug("%s", error)
        return Answer(question)
    except Exception as error:  # a defect of ours must not leave a rollout waiting without a word
        _log.exception("%s cannot be asked", question.address)
        return Answer(question, unreachable=f"the operator failed to ask it: {error!r}; report it"[:4096])
    return Answer(question, about=found, mismatch=mismatch)
