"""Asking people's own queries again and again, beside everything else: a slow one delays nobody but its own service.

Not for: what is asked for the operator's own sake (`controller.gauges`), nor the metrics of a canary
(`controller.meter`).
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from triton_operator.api.settings import Prometheus as Settings
from triton_operator.controller.queue import Key
from triton_operator.core.measurements import withheld
from triton_operator.edges.prometheus import Prometheus, Unmeasured

OLD_SECONDS = 30.0
"""So old a value may be."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a service's spec.

    Attributes:
        place: its place in `spec.autoscaling.metrics`.
        written: as it is written there.
        asked: the PromQL that it stands for now.
    """

    place: int
    written: str
    asked: str


@dataclass(frozen=True, slots=True)
class _Answer:
    written: str
    at: float
    value: float | None
    trouble: str


class Queries:
    """Knows what people's queries have come to."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        """Prepare to ask.

        Args:
            settings: where Prometheus is, if anywhere, and whether such queries may be asked.
            clock: seconds since the epoch.
        """
        self._withheld = withheld(settings)
        # In threads of its own: slow queries keep nothing else waiting.
        self._source = None if self._withheld else Prometheus(settings)
        self._clock = clock
        self._answers: dict[Key, dict[int, _Answer]] = {}
        self._asking: dict[Key, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Ask nothing any more."""
        for task in self._asking.values():
            task.cancel()
        if self._source:
            self._source.close()

    def ask(self, wanted: Mapping[Key, Iterable[Query]]) -> None:
        """Begin to ask, one query of a service at a time; what is still being asked is let be.

        Args:
            wanted: all queries that there are, by service.
        """
        for key in self._answers.keys() - wanted.keys():
            del self._answers[key]
        for key, queries in wanted.items():
            listed = list(queries)
            kept = self._answers.get(key, {})
            self._answers[key] = {one.place: kept[one.place] for one in listed if _is_of(kept.get(one.place), one)}
            if self._source and listed and key not in self._asking:
                task = asyncio.create_task(self._ask(self._source, key, listed), name="queries")
                self._asking[key] = task
                task.add_done_callback(partial(self._done, key))

    def values(self, key: Key) -> dict[int, float]:
        """Give what the queries of a service have come to, by place; one that is missing could not be had lately."""
        return {
            place: answer.value
            for place, answer in self._answers.get(key, {}).items()
            if answer.value is not None and answer.at >= self._clock() - OLD_SECONDS
        }

    def troubles(self, key: Key) -> dict[int, str]:
        """Give why queries of a service could not be had, by place; all that were asked and are not in `values`."""
        known = self.values(key)
        return {
            place: answer.trouble or f"it was not answered for {OLD_SECONDS:g} s"
            for place, answer in self._answers.get(key, {}).items()
            if place not in known
        }

    @property
    def withheld(self) -> str:
        """Why no such query is asked at all; "" where they are."""
        return self._withheld or ""

    def _done(self, key: Key, _: asyncio.Task[None]) -> None:
        self._asking.pop(key, None)

    async def _ask(self, source: Prometheus, key: Key, queries: Iterable[Query]) -> None:
        for query in queries:
            value, trouble = None, ""
            try:
                value = await source.number(query.asked)
            except Unmeasured as error:
                trouble = str(error)
            else:
                if value is None:
                    trouble = "it comes to nothing, or to no number"
                elif not math.isfinite(value):
                    value, trouble = None, "it is infinite"
            if key in self._answers:
                self._answers[key][query.place] = _Answer(query.written, self._clock(), value, trouble)


def _is_of(answer: _Answer | None, query: Query) -> bool:
    return answer is not None and answer.written == query.written
