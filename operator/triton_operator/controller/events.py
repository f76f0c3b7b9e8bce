"""Kopf as the source of events, and nothing more: every event is put into the store, and its service into the queue.

Kopf runs in a thread and an event loop of its own: it takes over the signals of the loop it runs in, and at its end it
cancels every task there, ours too. Handlers hand an object over and return; they never wait, retry, patch or fail.
Not for: reacting to what changed. See `controller.reconcile`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, cast

import kopf

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.settings import Watch
from triton_operator.controller.queue import Priority, WorkQueue
from triton_operator.controller.store import Store
from triton_operator.edges.kubernetes import CALL_SECONDS, Object
from triton_operator.edges.lists import CHUNK

Seen = Callable[[str | None, Object], None]
"""Takes an event's type (None for an object of a list) and its object."""

_STOP_SECONDS = 2.0

_log = logging.getLogger(__name__)


class KopfEnded(Exception):
    """Kopf stopped watching, which it never should: the process must end, and be started anew."""


def label_selector(kind: Kind, watch: Watch) -> str:
    """Return the label selector for lists and watches of a kind: the API server sends nothing else."""
    if kind == names.INFERENCE_SERVICE:
        return watch.selector
    return f"{names.LABEL_MANAGED_BY}={names.OPERATOR}"


def note(store: Store, queue: WorkQueue, event_type: str | None, seen: Object) -> None:
    """Put an event into the store and the services that it is about into the queue."""
    if event_type is None:
        priority = Priority.LOW
    elif seen["kind"] == names.INFERENCE_SERVICE.kind:
        priority = Priority.URGENT
    else:
        priority = Priority.NORMAL
    for key in store.observe(event_type, seen):
        queue.add(key, priority)


async def listen(seen: Seen, *, watch: Watch, kinds: Collection[Kind]) -> None:
    """Deliver the events of some kinds until cancelled.

    Args:
        seen: called in this event loop for each event, in order for each object.
        watch: namespaces and selector.
        kinds: what to watch; the cluster must serve them.

    Raises:
        KopfEnded: watching has ended.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[BaseException | None] = loop.create_future()
    stops: list[Callable[[], object]] = []
    unwanted = threading.Event()

    def finish(error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result(error)

    def deliver(event_type: str | None, event: Object) -> None:
        loop.call_soon_threadsafe(seen, event_type, event)

    async def operate() -> None:
        stop = asyncio.Event()
        inner = asyncio.get_running_loop()
        stops.append(lambda: inner.call_soon_threadsafe(stop.set))
        if unwanted.is_set():  # asked after `stops` has its entry: whoever sets it afterwards finds the entry
            return
        await kopf.operator(
            registry=_registry(deliver, kinds),
            settings=kopf_settings(watch, kinds),
            clusterwide=not watch.namespaces,
            namespaces=watch.namespaces,
            standalone=True,
            # Without one Kopf asks for the name of the user, which the user ID of a pod need not have.
            identity=cast(Any, names.OPERATOR),
            stop_flag=stop,
        )

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(operate())
        except BaseException as caught:  # whatever ended the thread is reported, and ends the process
            error = caught
        with suppress(RuntimeError):  # our loop may have been closed meanwhile
            loop.call_soon_threadsafe(finish, error)

    thread = threading.Thread(target=run, name="kopf", daemon=True)
    thread.start()
    try:
        error = await asyncio.shield(ended)
    except asyncio.CancelledError:
        unwanted.set()
        for stop in stops:
            with suppress(RuntimeError):  # Kopf's loop may have ended by itself
                stop()
        await asyncio.wait({ended}, timeout=_STOP_SECONDS)
        raise
    raise KopfEnded("Kopf has stopped watching") from error


def kopf_settings(watch: Watch, kinds: Collection[Kind]) -> kopf.OperatorSettings:
    """Make Kopf's settings: watch what we name, write nothing, keep nothing."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # else it lists and watches namespaces and CRDs
    settings.peering.standalone = True  # the Lease decides who acts; peering is not leader election
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.watching.chunk_size = CHUNK
    settings.watching.server_timeout = 290  # streams silent for 70 s are dropped too
    settings.networking.request_timeout = CALL_SECONDS
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.1  # an object and its task live as long; our handlers never sleep
    settings.queueing.exit_timeout = 0.0  # they have nothing to finish when Kopf ends
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    for kind in kinds:
        if selector := label_selector(kind, watch):
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return settings


def _registry(deliver: Seen, kinds: Collection[Kind]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)  # the same configuration as `Kube.connect`

    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        deliver(event["type"], dict(event["object"]))

    for kind in kinds:
        kopf.on.event(
            group=kind.group, version=kind.version, plural=kind.plural, id=f"{kind.plural}-seen", registry=registry
        )(handle)
    return registry


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-handled configuration: reconciliation compares with the cluster, not with a memory.

    With it and `NoProgress`, Kopf's handlers of changes and its TemporaryError do not work; there are none here. It
    also saves half of the time that Kopf spends on an event.
    """

    def build(self, **_: Any) -> Any:
        """Extract nothing."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Know nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: it would be annotations on users' objects."""

    def fetch(self, **_: Any) -> None:
        """Know nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return the essence as it is; the base class copies it."""
        return essence
