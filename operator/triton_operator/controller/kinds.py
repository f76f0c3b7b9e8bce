"""Reading back from Triton on what a model was really loaded, once per revision, beside the reconciles.

Not for: what follows from it; that is `core.conditions`.
"""

import asyncio
from collections.abc import Callable, Mapping

from triton_operator.api.names import LABEL_REVISION
from triton_operator.controller.queue import Key
from triton_operator.core.revision import Revision
from triton_operator.core.world import World
from triton_operator.edges.triton import loaded_kinds

AT_A_TIME = 8
TRIES = 5
PAUSE_SECONDS = 10.0


class KindReader:
    """Asks one ready pod of each revision that holds GPUs; the record keeps the answer."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        """Make a reader.

        Args:
            wake: queues a service when an answer has come.
        """
        self._wake = wake
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._answers: dict[tuple[Key, str], frozenset[str]] = {}
        self._tasks: dict[tuple[Key, str], asyncio.Task[None]] = {}

    def known(self, key: Key, world: World) -> Mapping[str, frozenset[str]]:
        """Give what has been read back, and begin to ask for what has not.

        Args:
            key: the service.
            world: its world.

        Returns:
            Kinds by revision, as far as they have been read since the last reconcile.
        """
        remembered = world.record.kinds if world.record else {}
        gone = [place for place in self._answers if place[0] == key and place[1] not in world.revisions]
        for place in gone:
            del self._answers[place]
        for revision in world.revisions.values():
            place = (key, revision.name)
            if revision.gpu_count and revision.name not in remembered and place not in self._tasks | self._answers:
                address = _ready_address(world, revision)
                if address:
                    self._tasks[place] = task = asyncio.create_task(self._ask(key, revision, address))
                    task.add_done_callback(lambda _, place=place: self._tasks.pop(place, None))  # type: ignore[misc]
        return {name: kinds for (of, name), kinds in self._answers.items() if of == key}

    def forget(self, key: Key) -> None:
        """Forget a service that has gone."""
        for place in [place for place in self._tasks if place[0] == key]:
            self._tasks.pop(place).cancel()
        self._answers = {place: kinds for place, kinds in self._answers.items() if place[0] != key}

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _ask(self, key: Key, revision: Revision, address: str) -> None:
        for _ in range(TRIES):
            async with self._slots:
                kinds = await loaded_kinds(address, model=revision.model, version=revision.version)
            if kinds is not None:
                self._answers[key, revision.name] = kinds
                self._wake(key)
                return
            await asyncio.sleep(PAUSE_SECONDS)


def _ready_address(world: World, revision: Revision) -> str | None:
    for pod in world.pods or ():
        status = pod.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        if ready and status.get("podIP") and pod["metadata"]["labels"].get(LABEL_REVISION) == revision.name:
            return str(status["podIP"])
    return None
