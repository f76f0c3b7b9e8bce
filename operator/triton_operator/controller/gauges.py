"""Measuring what is asked of all services with autoscaling, every few seconds, beside the reconciles.

However many they are, Prometheus gets one question for what their pods have counted, and two for what Gateways send
them. Pods of which it tells nothing, nothing new, or too seldom are asked directly. Nothing of it must be remembered:
after a restart a few looks tell it again.
Not for: what follows from it; that is `core.autoscaler`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from triton_operator.api import names
from triton_operator.api.autoscaling import PLACEHOLDER
from triton_operator.api.counts import Sample, Sent
from triton_operator.api.routing import Gateway
from triton_operator.api.settings import Settings
from triton_operator.controller.queries import Queries, Query
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.controller.vitals import Place, places_of
from triton_operator.core.load import Load
from triton_operator.core.measurements import NO_POD
from triton_operator.core.revision import from_deployment, from_object
from triton_operator.core.signals import (
    KEPT_SECONDS,
    TAIL_SECONDS,
    History,
    Pod,
    extended,
    in_flight_of,
    interval_of,
    is_silent,
    load_of,
    quantile,
    rate_of,
)
from triton_operator.edges import envoy, loads
from triton_operator.edges.counters import Model
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.loads import PodName, Source
from triton_operator.edges.prometheus import Prometheus, TooLarge, Unmeasured
from triton_operator.edges.triton import counters
from triton_operator.resources.route import counted

Json = dict[str, Any]

TICK_SECONDS = 5.0
"""How often is looked."""
AT_A_TIME = 16
MOST_PODS = 50
"""Pods that are asked directly at one look; the others have their turn at the next ones."""
SCRAPES_SECONDS = 4.0
"""Time limit of that."""
SLOW_SECONDS = 8.0
"""A Prometheus that tells of a pod more seldom, or whose last sample is older, is not fast enough."""

FIRST_SECONDS = 120.0
"""How far back Prometheus is asked at first."""
SLACK_SECONDS = 30.0
"""How late a sample may come to Prometheus: by remote write it takes its time."""
_LEAST_SECONDS = 20.0
_DIRECT: Source = frozenset({("", names.OPERATOR)})
_MOST_SOURCES = 4
_PERCENTILE = 95
_UNREACHABLE = (
    f"pods do not answer on port {names.PORT_METRICS}: let the operator's pod reach it (NetworkPolicy, mTLS of a mesh),"
    " or have Prometheus scrape them"
)
_UNCOUNTED = (
    "Triton tells no counters of the model: remove counter_latencies=false from --metrics-config in spec.runtime.args"
)

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Whoever counts looks."""

    def looked(self, *, seconds: float, series: int, silent: int) -> None:
        """Take in how long a look took, what Prometheus has told, and how many pods are silent."""

    def scraped(self, *, told: bool) -> None:
        """Count a pod that was asked directly."""


@dataclass(slots=True)
class _Watched:
    """A ready pod, and what is known of it.

    Attributes:
        place: the pod.
        model: what it serves; None while that is not known.
        since: when it was first seen, in seconds since the epoch; 0 where it may have been there for long.
        sources: histories by who has told them.
        tried: when it was last asked directly, in seconds since the epoch.
        refusal: why it told nothing then, or "".
    """

    place: Place
    model: Model | None
    since: float
    sources: dict[Source, History] = field(default_factory=dict)
    tried: float = 0.0
    refusal: str = ""

    def take(self, source: Source, scrapes: Iterable[Mapping[Model, Sample]], now: float) -> None:
        """Add what a source has told."""
        told = [sample for scrape in scrapes if self.model and (sample := scrape.get(self.model))]
        self.sources[source] = extended(self.sources.get(source, ()), told, now=now)
        if len(self.sources) > _MOST_SOURCES or not self.sources[source]:
            del self.sources[min(self.sources, key=lambda of: self.sources[of][-1].at if self.sources[of] else 0.0)]

    def is_told(self, now: float) -> bool:
        """Say whether a Prometheus tells of it, and that fast enough."""
        told = [history for source, history in self.sources.items() if source != _DIRECT]
        return any(now - of[-1].at <= SLOW_SECONDS and interval_of(of) <= SLOW_SECONDS for of in told)

    @property
    def pod(self) -> Pod:
        """What the load is told from."""
        return Pod(self.since, tuple(self.sources.values()))


class Gauges:
    """Knows the load of the services with autoscaling."""

    def __init__(
        self,
        kube: Kube,
        store: Store,
        settings: Settings,
        wake: Callable[[Key], None],
        *,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        """Make gauges; `run` begins to look.

        Args:
            kube: knows the ready pods.
            store: knows the services that are ours, their revisions and routes.
            settings: namespaces to look into, and where Prometheus is, if anywhere.
            wake: told of each service with autoscaling after each look.
            observer: counts looks.
            clock: seconds since the epoch.
        """
        self._kube = kube
        self._store = store
        self._watch = settings.watch
        self._wake = wake
        self._observer = observer
        self._clock = clock
        self._source = Prometheus(settings.prometheus) if settings.prometheus.url else None
        self._queries = Queries(settings.prometheus, clock=clock)
        self._services: dict[Key, Json] = {}
        self._pods: dict[str, _Watched] = {}
        self._revisions: dict[tuple[Key, str], list[_Watched]] = {}
        self._models: dict[Key, Model] = {}
        self._backends: dict[tuple[Key, str], list[str]] = {}
        self._sent: dict[tuple[str, str], dict[Source, tuple[Sent, ...]]] = {}
        self._durations: dict[str, dict[float, float]] = {}
        self._reach = FIRST_SECONDS
        self._answered = 0.0
        self._unlisted = ""
        self._unasked = ""
        self._missing = ""

    def close(self) -> None:
        """Ask nothing any more."""
        self._queries.close()
        if self._source:
            self._source.close()

    def load(self, key: Key, revision: str) -> tuple[Load | None, str]:
        """Tell the load of a revision, as far as the last looks have shown it.

        Args:
            key: its service.
            revision: its name.

        Returns:
            The load, or None where too little is known; and what is amiss, "" where nothing is.
        """
        now = self._clock()
        watched = self._revisions.get((key, revision), [])
        backends = self._backends.get((key, revision), [])
        if [of for of in self._revisions if of[0] == key] == [(key, revision)]:
            backends = backends + self._backends.get(key_of_all(key), [])  # what goes to the service is its own
        percentile = _percentile(self._services.get(key, {}))
        load, trouble = load_of(
            [of.pod for of in watched],
            now=now,
            percentile=percentile,
            arrivals=self._arrivals(backends, now),
            tail_seconds=self._tail(backends, percentile),
        )
        told = [trouble, self._unlisted]
        if trouble:
            told += sorted({of.refusal for of in watched if is_silent(of.pod, now=now)})
        if trouble or backends:
            told += [self._unasked, self._missing]
        return load, "; ".join(filter(None, told))

    def in_flight(self, key: Key) -> dict[str, float]:
        """Tell at how many requests the ready pods of a service are, by their uids, as far as they tell."""
        now = self._clock()
        told = {
            uid: in_flight_of(watched.pod, now=now) for uid, watched in self._pods.items() if watched.place.key == key
        }
        return {uid: requests for uid, requests in told.items() if requests is not None}

    def values(self, key: Key) -> Mapping[int, float]:
        """Give what the queries among a service's metrics have come to, by place; see `Queries.values`."""
        return self._queries.values(key)

    def troubles(self, key: Key) -> Mapping[int, str]:
        """Say why those that are missing cannot be had, by place."""
        if not self._queries.withheld:
            return self._queries.troubles(key)
        return {place: self._queries.withheld for place, _ in queries_of(self._services.get(key, {}))}

    async def run(self) -> None:
        """Look again and again."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.look()
            except Exception:  # the next look may succeed, and without looks nothing is scaled
                _log.exception("A look at the load of the services failed")
            await asyncio.sleep(max(TICK_SECONDS / 10, began + TICK_SECONDS - loop.time()))

    async def look(self) -> None:
        """Look once at all services with autoscaling."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        keys = self._store.autoscaled()
        services = {key: body for key in keys if (body := self._store.get(names.INFERENCE_SERVICE, key))}
        await self._find(services)
        self._queries.ask({key: self._filled(key, body) for key, body in services.items()})
        series = 0
        if services and self._unasked:  # it may keep us waiting again
            series, _ = await asyncio.gather(self._ask(), self._scrape())
        elif services:
            series = await self._ask()
            await self._scrape()
        now = self._clock()
        silent = sum(is_silent(watched.pod, now=now) for watched in self._pods.values())
        self._observer.looked(seconds=loop.time() - began, series=series, silent=silent)
        for key in services:
            self._wake(key)

    def _filled(self, key: Key, body: Json) -> list[Query]:
        """List the queries of a service, with what is to be filled in."""
        pods = sorted(watched.place.name for watched in self._pods.values() if watched.place.key == key)
        stands_for = {"namespace": key[0], "service": key[1], "pods": "|".join(pods) or NO_POD}
        return [
            Query(place, written, PLACEHOLDER.sub(lambda found: stands_for[found[1]], written))
            for place, written in queries_of(body)
        ]

    async def _find(self, services: Mapping[Key, Json]) -> None:
        """Find the ready pods, what they serve, and under which names proxies count what they send them."""
        before, self._services = self._services, dict(services)
        self._backends = defaultdict(list)
        for key, body in services.items():
            for revision, backend in self._routed(key, body):
                self._backends[key, revision].append(backend)
        found: dict[str, _Watched] = {}
        try:
            for place in await self._ready() if services else ():
                if place.key in services and place.uid not in found:
                    since = self._clock() if place.key in before else 0.0
                    found[place.uid] = self._pods.get(place.uid) or _Watched(place, self._model(place), since)
        except ApiError as error:
            self._unlisted = f"the ready pods could not be listed: {error}"
            found = {uid: watched for uid, watched in self._pods.items() if watched.place.key in services}
        else:
            self._unlisted = ""
        self._pods = found
        revisions: dict[tuple[Key, str], list[_Watched]] = defaultdict(list)
        for watched in found.values():
            watched.model = watched.model or self._model(watched.place)
            revisions[watched.place.key, watched.place.revision].append(watched)
        self._revisions = dict(revisions)
        needed = {(key[0], revision) for key, revision in revisions}
        self._models = {of: model for of, model in self._models.items() if of in needed}

    async def _ready(self) -> list[Place]:
        selector = f"{names.LABEL_REVISION},{names.LABEL_MANAGED_BY}={names.OPERATOR}"
        listed = [
            await self._kube.list_cached(names.ENDPOINT_SLICE, namespace=namespace, label_selector=selector)
            for namespace in self._watch.namespaces or (None,)
        ]
        return [place for bodies in listed for body in bodies for place in places_of(body)]

    def _model(self, place: Place) -> Model | None:
        """Tell what the pods of a revision serve, which never changes."""
        of = place.key[0], place.revision
        if of not in self._models:
            kept, made = (self._store.get(kind, of) for kind in (names.CONTROLLER_REVISION, names.DEPLOYMENT))
            revision = (from_object(kept) if kept else None) or (from_deployment(made) if made else None)
            if revision is None:
                return None
            self._models[of] = revision.model, str(revision.version)
        return self._models[of]

    def _routed(self, key: Key, body: Json) -> list[tuple[str, str]]:
        """List the revisions that a service's routes share requests out to, each with what proxies call it."""
        gateway = (body["spec"].get("routing") or {}).get("gateway")
        if not gateway or not self._source:
            return []
        try:
            places = counted(Gateway.model_validate(gateway))
        except ValueError:  # a spec that this operator cannot read
            return []
        found = []
        for protocol, rule in envoy.rules(*key, places).items():
            kind, place = places[protocol]
            rules = ((self._store.get(kind, key) or {}).get("spec") or {}).get("rules") or []
            backends = rules[place].get("backendRefs") or () if place < len(rules) else ()
            found += [(str(backend["name"]), f"{rule}/backend/{n}") for n, backend in enumerate(backends)]
        return found

    def _arrivals(self, backends: list[str], now: float) -> float | None:
        rates = [
            rate
            for (backend, _), sources in self._sent.items()
            if backend in backends and (rate := rate_of(sources.values(), now=now)) is not None
        ]
        return sum(rates) if rates else None

    def _tail(self, backends: list[str], percentile: int) -> float | None:
        buckets: dict[float, float] = defaultdict(float)
        for backend in backends:
            for edge, count in self._durations.get(backend, {}).items():
                buckets[edge] += count
        return quantile(buckets, percentile / 100)

    async def _ask(self) -> int:
        """Ask Prometheus, and return how many series it has told."""
        if self._source is None:
            return 0
        questions = [self._ask_counters(self._source)]
        if rules := {backend.rpartition("/backend/")[0] for of in self._backends.values() for backend in of}:
            questions += [self._ask_sent(self._source, rules), self._ask_durations(self._source, rules)]
        else:
            self._sent, self._durations = {}, {}
        told = 0
        troubles: list[str] = []
        for answer in await asyncio.gather(*questions, return_exceptions=True):
            if isinstance(answer, int):
                told += answer
            elif isinstance(answer, Unmeasured):
                troubles.append(str(answer))
            elif isinstance(answer, KeyError | TypeError | ValueError | AttributeError | IndexError):
                troubles.append(f"what Prometheus answered cannot be read: {answer!r}")
            else:
                raise answer
        self._unasked = "; ".join(dict.fromkeys(troubles))
        return told

    async def _ask_counters(self, source: Prometheus) -> int:
        named: dict[PodName, _Watched] = {
            (of.place.key[0], of.place.name): of for of in self._pods.values() if of.model
        }
        known = {
            (pod, source): history[-1].at
            for pod, watched in named.items()
            for source, history in watched.sources.items()
            if history
        }
        asked = self._clock()
        seconds = min(self._reach, asked - self._answered + SLACK_SECONDS)
        models = {of.model[0] for of in named.values() if of.model}
        try:
            series, missing = await source.part(loads.counters_query(models, seconds=seconds))
        except TooLarge:
            self._reach = max(_LEAST_SECONDS, seconds / 2)
            raise
        # In a thread: of many pods it takes a while, in which others have their turn.
        for pod, by, found in await asyncio.to_thread(lambda: list(loads.read_counters(series, named, known))):
            named[pod].take(by, found, self._clock())
        self._answered = asked
        # Samples that are there are right, whatever others are missing.
        self._missing = f"Prometheus has answered in part: {missing}" if missing else ""
        return len(series)

    async def _ask_sent(self, source: Prometheus, rules: set[str]) -> int:
        series, _ = await source.part(loads.sent_query(rules, seconds=min(self._reach, KEPT_SECONDS)))
        now = self._clock()
        for backend, proxy, by, found in loads.read_sent(series):
            sources = self._sent.setdefault((backend, proxy), {})
            sources[by] = extended(sources.get(by, ()), found, now=now)
        for of, sources in list(self._sent.items()):
            fresh = {by: told for by, told in sources.items() if told and told[-1].at >= now - KEPT_SECONDS}
            self._sent[of] = fresh
            if not fresh:
                del self._sent[of]
        return len(series)

    async def _ask_durations(self, source: Prometheus, rules: set[str]) -> int:
        self._durations, seconds = {}, self._proxies_seconds()
        series = await source.series(loads.durations_query(rules, seconds=seconds))
        self._durations = loads.read_durations(series)
        return len(series)

    def _proxies_seconds(self) -> float:
        """Tell over how long durations are to be added up: a minute, or four scrapes of those that are scraped last."""
        intervals = [interval_of(told) for sources in self._sent.values() for told in sources.values()]
        return max([TAIL_SECONDS, *(4 * interval for interval in intervals)])

    async def _scrape(self) -> None:
        """Ask pods directly: first those of which nothing else is known, and those that waited longest."""
        now = self._clock()
        due = [watched for watched in self._pods.values() if watched.model and not watched.is_told(now)]
        due.sort(key=lambda watched: (not is_silent(watched.pod, now=now), watched.tried))
        slots = asyncio.Semaphore(AT_A_TIME)

        async def read(watched: _Watched) -> None:
            async with slots:
                watched.tried = self._clock()
                found = await counters(watched.place.address)
            told = bool(found and watched.model in found)
            watched.refusal = "" if told else _UNREACHABLE if found is None else _UNCOUNTED
            self._observer.scraped(told=told)
            watched.take(_DIRECT, [found or {}], self._clock())

        try:
            async with asyncio.timeout(SCRAPES_SECONDS):
                await asyncio.gather(*(read(watched) for watched in due[:MOST_PODS]))
        except TimeoutError:
            _log.debug("Pods do not answer; those that were not asked yet have their turn at the next look")


def key_of_all(key: Key) -> tuple[Key, str]:
    """Say by what the backends of a route are known that leads to a service, whichever revision serves."""
    return key, key[1]


def queries_of(body: Json) -> list[tuple[int, str]]:
    """List the queries among a service's metrics, each with its place in `spec.autoscaling.metrics`."""
    metrics = ((body.get("spec") or {}).get("autoscaling") or {}).get("metrics") or ()
    return [(place, of["query"]) for place, of in enumerate(metrics) if of.get("type") == "prometheus"]


def _percentile(body: Json) -> int:
    autoscaling = (body.get("spec") or {}).get("autoscaling") or {}
    return int((autoscaling.get("objective") or {}).get("percentile") or _PERCENTILE)
