"""Reading the counters of both revisions of a trial, when that is due: at the Gateway, or else at Triton itself.

Nothing of it must be remembered: counters add up, and what was read last is in the record.
Not for: what follows from them; that is `core.canary`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from triton_operator.api import names
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core import health, measurements
from triton_operator.core.record import Record, Sample
from triton_operator.core.revision import Revision
from triton_operator.core.world import Measured, Route, Value
from triton_operator.edges import envoy
from triton_operator.edges.prometheus import Prometheus, Unmeasured
from triton_operator.edges.triton import serving_counts
from triton_operator.resources.route import counted

Json = dict[str, Any]


class Meter:
    """Reads counters."""

    def __init__(self, settings: Settings) -> None:
        """Make a meter.

        Args:
            settings: where Prometheus is, if anywhere.
        """
        self._withheld = measurements.withheld(settings.prometheus)
        self._source: Prometheus | None = None
        self._for_people: Prometheus | None = None
        if settings.prometheus.url:
            self._source = Prometheus(settings.prometheus)
            # In threads of their own: slow queries of one author keep no other service's counters waiting.
            self._for_people = Prometheus(settings.prometheus)

    def close(self) -> None:
        """Read nothing any more."""
        for source in filter(None, (self._source, self._for_people)):
            source.close()

    async def read(
        self,
        namespace: str,
        service: str,
        record: Record,
        revisions: Mapping[str, Revision],
        pods: Iterable[Json],
        *,
        now: float,
        spec: InferenceServiceSpec,
        route: Route | None,
    ) -> Measured:
        """Read the counters of the two revisions of a trial, and a person's own metrics of it.

        Args:
            namespace: the namespace of the service.
            service: its name.
            record: with a trial.
            revisions: by name.
            pods: the pods of the service.
            now: seconds since the epoch.
            spec: what it says about judging, and whether a Gateway shares requests out.
            route: how that Gateway does, or None.

        Returns:
            What could be read.
        """
        analysis = spec.rollout.analysis
        queries = measurements.queries(namespace, service, record, analysis, pods)
        # A trial that began when they were asked is held, not promoted by what they came to then.
        values = dict.fromkeys(queries, Value(trouble=self._withheld or ""))
        if self._for_people and not self._withheld:
            found = await asyncio.gather(*(_value(self._for_people, query) for query in queries.values()))
            values = dict(zip(queries, found, strict=True))
        if self._source and spec.routing.gateway and not (route and route.uncounted):
            slow = analysis.slow_requests.threshold_milliseconds if analysis and analysis.slow_requests else None
            rules = envoy.rules(namespace, service, counted(spec.routing.gateway))
            measured = await self._at_gateway(self._source, rules, record, slow)
        else:
            concerned = {record.stable, record.trial.revision if record.trial else None}
            measured = await _at_triton({n: r for n, r in revisions.items() if n in concerned}, pods, now=now)
        return replace(measured, values=values)

    async def _at_gateway(
        self, source: Prometheus, rules: Mapping[str, str], record: Record, slow: int | None
    ) -> Measured:
        try:
            series = await source.series(envoy.query(rules, timed=slow is not None))
            reading = envoy.read(series, rules, slow=slow)
        except Unmeasured as error:
            return Measured(samples=None, trouble=str(error))
        samples = {
            f"{of.proxy}/{of.backend}": Sample(revision, of.requests, of.failed, of.at, timed=of.timed, slow=of.slow)
            for of in reading.counted
            if (revision := record.slots[of.backend] if of.backend < len(record.slots) else "")
        }
        trouble = None
        if not reading.counted:
            named = " or ".join(sorted({rule.partition("/rule/")[0] for rule in rules.values()}))
            trouble = f"Prometheus has no counters of {named}: does it scrape the Gateway's proxies?"
        elif reading.grpc_unseen:
            trouble = (
                "GrpcStatusUnseen: failed gRPC calls are not counted; set telemetry.metrics.enableGRPCStats in the"
                " EnvoyProxy"
            )
        elif slow is not None and reading.edge is None:
            trouble = f"the Gateway's proxies do not count which requests take longer than {slow} ms"
        sources = " ".join(rules.values())
        return Measured(samples, trouble, reading.edge, shared=True, unseen=reading.grpc_unseen, source=sources)


async def _value(source: Prometheus, query: str) -> Value:
    try:
        return Value(await source.number(query))
    except Unmeasured as error:
        return Value(trouble=str(error), invalid=error.invalid)


async def _at_triton(revisions: Mapping[str, Revision], pods: Iterable[Json], *, now: float) -> Measured:
    asked = [
        (pod["metadata"]["uid"], revision, pod["status"]["podIP"])
        for pod in pods
        if (revision := revisions.get(pod["metadata"]["labels"].get(names.LABEL_REVISION, ""))) and health.is_ready(pod)
    ]

    async def read(revision: Revision, address: str) -> Sample | None:
        counts = await serving_counts(address)
        of = (counts or {}).get((revision.model, str(revision.version)))
        if of is None:
            return None
        failed = int(of.get("failures", 0))
        return Sample(revision.name, int(of.get("successes", 0)) + failed, failed, now)

    found = await asyncio.gather(*(read(revision, address) for _, revision, address in asked))
    samples = {uid: sample for (uid, _, _), sample in zip(asked, found, strict=True) if sample}
    silent = len(asked) - len(samples)
    trouble = f"{silent} of {len(asked)} pods did not tell what they have counted" if silent else None
    return Measured(samples if samples else None, trouble)
