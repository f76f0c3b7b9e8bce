"""Looking at the counters of all ready pods now and then, beside the reconciles, to find those whose backend has died.

Nothing of it must be remembered: after a restart two looks tell it again.
Not for: what follows from it; that is `core.removal`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from triton_operator.api import names
from triton_operator.api.settings import Watch
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.core.vitals import TELLING_BACKEND, Counts, Look, has_executed, suspects
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.triton import backend_of, serving_counts

Json = dict[str, Any]

INTERVAL_SECONDS = 30.0
AT_A_TIME = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A ready pod, as the Service of its revision shows it.

    Attributes:
        key: its service.
        uid: its uid.
        address: its address, IPv4 or IPv6.
        name: its name.
        revision: its revision.
    """

    key: Key
    uid: str
    address: str
    name: str
    revision: str


class Vitals:
    """Knows the pods that are ready and execute nothing any more."""

    def __init__(self, kube: Kube, store: Store, watch: Watch, wake: Callable[[Key], None]) -> None:
        """Make a look-out; `run` begins to look.

        Args:
            kube: knows the ready pods.
            store: knows the services that are ours.
            watch: the namespaces to look into.
            wake: queues a service when a pod of it has died.
        """
        self._kube = kube
        self._store = store
        self._watch = watch
        self._wake = wake
        self._seen: dict[str, Look] = {}
        self._dead: dict[str, tuple[Key, Look]] = {}  # with what was counted when it was noticed

    def dead(self, key: Key) -> frozenset[str]:
        """Give the uids of a service's pods that have died, until it is seen that they have gone."""
        return frozenset(uid for uid, (of, _) in self._dead.items() if of == key)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.look()
            except ApiError as error:
                _log.warning("The pods that serve could not be listed: %s", error)

    async def look(self) -> None:
        """Read the counters of all ready pods once.

        Raises:
            ApiError: the pods could not be listed.
        """
        found: list[Place] = []
        for namespace in self._watch.namespaces or (None,):
            slices = await self._kube.list(
                names.ENDPOINT_SLICE,
                namespace=namespace,
                label_selector=f"{names.LABEL_REVISION},{names.LABEL_MANAGED_BY}={names.OPERATOR}",
            )
            found += [place for body in slices for place in places_of(body)]
        # Another operator's pods are none of our business.
        ours = [place for place in found if self._store.get(names.INFERENCE_SERVICE, place.key)]
        slots = asyncio.Semaphore(AT_A_TIME)

        async def read(place: Place) -> tuple[Place, Look | None]:
            async with slots:
                counts = await serving_counts(place.address)
            if counts is None:
                return place, None
            return place, {model: Counts.of(values) for model, values in counts.items()}

        for place, (model, version) in self.compare(await asyncio.gather(*map(read, ours))):
            if await backend_of(place.address, model=model, version=version) == TELLING_BACKEND:
                self.mark(place)
        for key in {key for key, _ in self._dead.values()}:
            self._wake(key)

    def compare(self, looks: Iterable[tuple[Place, Look | None]]) -> list[tuple[Place, tuple[str, str]]]:
        """Compare one look with the last.

        Args:
            looks: every ready pod with its counters, or None if it could not be asked.

        Returns:
            Pods that may have died since, each with the model that has executed nothing.
        """
        told = dict(looks)
        before, self._seen = self._seen, {place.uid: counts for place, counts in told.items() if counts is not None}
        there = {place.uid for place in told}
        self._dead = {
            uid: (key, then)
            for uid, (key, then) in self._dead.items()
            if uid in there and not has_executed(then, self._seen.get(uid, {}))
        }
        return [
            (place, model)
            for place, counts in told.items()
            if counts is not None and place.uid not in self._dead
            for model in suspects(before.get(place.uid, {}), counts)
        ]

    def mark(self, place: Place) -> None:
        """Take a pod for dead until it has gone or executes a request."""
        self._dead[place.uid] = place.key, self._seen[place.uid]


def places_of(body: Json) -> Iterator[Place]:
    """List the ready pods that an EndpointSlice of a revision's Service shows."""
    metadata = body["metadata"]
    labels = metadata["labels"]
    key, revision = (metadata["namespace"], labels.get(names.LABEL_SERVICE, "")), labels.get(names.LABEL_REVISION, "")
    for endpoint in body.get("endpoints") or ():
        ready = (endpoint.get("conditions") or {}).get("ready") is not False
        if ready and endpoint.get("targetRef") and endpoint.get("addresses"):
            pod = endpoint["targetRef"]
            yield Place(key, pod["uid"], endpoint["addresses"][0], name=pod.get("name", ""), revision=revision)
