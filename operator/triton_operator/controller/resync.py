"""The complete look at the cluster, at the start and every few minutes: it finds what no event told.

Deletions while no watch was open are never reported, and a manual edit of a child may go unseen. Not for: single
objects.
"""

import asyncio
import logging
from collections.abc import Callable

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.settings import Settings
from triton_operator.controller.events import label_selector
from triton_operator.controller.queue import Key, Priority, WorkQueue
from triton_operator.controller.store import Store, key_of
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.lists import Form

_RETRY_SECONDS = 30.0
# What is deleted between our first list and Kopf's is told by no event, and Kopf does not say when it has listed.
_CATCH_UP_SECONDS = (2.0, 8.0, 30.0)

_log = logging.getLogger(__name__)


class Resync:
    """Fills the store by complete lists, one kind after another."""

    def __init__(
        self, kube: Kube, store: Store, queue: WorkQueue, settings: Settings, *, jitter: Callable[[], float]
    ) -> None:
        """Prepare.

        Args:
            kube: where to list.
            store: what to fill.
            queue: where services go that must be looked at.
            settings: namespaces, selector and interval.
            jitter: a random number in [0, 1), such as `random.random`; spreads the intervals by ± 10 %.
        """
        self._kube = kube
        self._store = store
        self._queue = queue
        self._settings = settings
        self._jitter = jitter
        self._ended: float | None = None

    @property
    def ended_at(self) -> float | None:
        """The event loop's time at which the last complete look ended; None: there was none yet."""
        return self._ended

    async def fill(self) -> None:
        """Take in a complete list of every kind, then queue every service: those with news first.

        Raises:
            ApiError: a kind could not be listed; the store then holds what was known before of that kind.
        """
        first = self._ended is None
        for key in await self._look(Form.WHOLE):
            self._queue.add(key, Priority.LOW if first else Priority.NORMAL)
        for key in self._store.services():
            self._queue.add(key, Priority.URGENT if first and not self._was_looked_at(key) else Priority.LOW)
        self._ended = asyncio.get_running_loop().time()

    def _was_looked_at(self, key: Key) -> bool:
        service = self._store.get(names.INFERENCE_SERVICE, key)
        status = (service or {}).get("status") or {}
        return service is not None and status.get("observedGeneration") == service["metadata"]["generation"]

    async def run(self) -> None:
        """Look again and again; a failure is logged and tried again soon."""
        for seconds in _CATCH_UP_SECONDS:
            await asyncio.sleep(seconds)
            try:
                for key in await self._look(Form.METADATA):
                    self._queue.add(key, Priority.NORMAL)
            except ApiError as error:
                _log.warning("A look at the cluster after the start failed: %s", error)
        seconds = self._interval()
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.fill()
            except ApiError as error:
                _log.warning("The periodic look at the cluster failed and is tried again: %s", error)
                seconds = min(_RETRY_SECONDS, self._interval())
            else:
                seconds = self._interval()

    async def _look(self, form: Form) -> set[Key]:
        """List every kind, and return the services to look at because something had changed unseen.

        Args:
            form: by metadata alone is only seen what has gone.
        """
        changed: set[Key] = set()
        for kind in self._store.kinds:
            for namespace in self._settings.watch.namespaces or (None,):
                changed |= await self._look_at(kind, namespace, form)
        return changed

    async def _look_at(self, kind: Kind, namespace: str | None, form: Form) -> set[Key]:
        changed: set[Key] = set()
        present: set[Key] = set()
        resource_version = ""
        selector = label_selector(kind, self._settings.watch)
        async for page in self._kube.pages(kind, namespace, label_selector=selector, form=form):
            if page.is_first:
                present.clear()
            for item in page.items:
                present.add(key_of(item))
                if form == Form.WHOLE:
                    changed.update(self._store.observe(None, item))
            resource_version = page.resource_version
        return changed | self._store.sweep(kind, namespace, present, resource_version)

    def _interval(self) -> float:
        return self._settings.resyncSeconds * (0.9 + 0.2 * self._jitter())
