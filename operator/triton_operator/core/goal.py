"""Which revision to get to: that of the spec, unless it is not known yet, cannot be, or was rejected.

A revision that has failed is rejected while another serves, and so is one that a person went back from: its spec is
held, which means not tried again, until it changes or a person says retry.
Not for: how to get there; that is `core.rollout`.
"""

from dataclasses import dataclass, replace

from triton_operator.api.names import Kind
from triton_operator.api.rollout import Analysis
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core import analysis, canary
from triton_operator.core.actions import take
from triton_operator.core.drift import fingerprint
from triton_operator.core.lookup import Look, look
from triton_operator.core.placement import Unplaceable
from triton_operator.core.preflight import golden_refusal
from triton_operator.core.record import UNTIL_KNOWN, Held, Record
from triton_operator.core.replicas import wanted as wanted_pods
from triton_operator.core.resolution import Resolution
from triton_operator.core.revision import Revision, render, revision_name, spec_hash
from triton_operator.core.rollout import NOTHING
from triton_operator.core.shares import room_of
from triton_operator.core.steps import unreachable
from triton_operator.core.times import timestamp
from triton_operator.core.widened import unachievable
from triton_operator.core.world import Announcement, World
from triton_operator.resources.route import kinds


@dataclass(frozen=True, slots=True)
class Goal:
    """What to get to.

    Attributes:
        record: the record after this look.
        revision: the revision to get to, or None while there is none.
        wanted: the revision that the spec asks for, or None while that is not known.
        look: what the look at the sources came to.
        refusal: why the spec cannot be carried out, as reason and message, or None.
        told: events to write.
        outdated: whether the revision has never got anywhere, and the operator's settings now render it otherwise: what
            keeps it goes, so that the next look makes it anew.
    """

    record: Record
    revision: Revision | None
    wanted: Revision | None
    look: Look
    refusal: tuple[str, str] | None
    told: tuple[Announcement, ...]
    outdated: bool = False


def choose(world: World, record: Record) -> Goal:
    """Choose the revision to get to.

    Args:
        world: the world, with a spec that can be read.
        record: the record so far.
    """
    spec = world.spec
    assert spec is not None
    taken = take(world, spec, record)
    seen = look(world, spec, taken.record)
    record = seen.record
    placed = _placed(world, seen.resolution) if seen.resolution else None
    held = record.held
    if held and (held.goal not in world.revisions or not _is_of(held, spec, known=placed is not None)):
        record = replace(record, held=None)
    if isinstance(placed, Revision) and not record.held:
        placed = golden_refusal(world, record, placed.name) or _unroutable(world, record, placed) or placed
    wanted = placed if isinstance(placed, Revision) else None
    goal = world.revisions[record.held.goal] if record.held else wanted
    if goal is None:  # what was under way goes on
        goal = world.revisions.get(record.target or "") or world.revisions.get(record.stable or "")
    refusal = placed if isinstance(placed, tuple) else None
    outdated = wanted is not None and wanted == goal and _is_outdated(world, record, wanted)
    return Goal(record, goal, wanted, seen, refusal, taken.told + seen.told, outdated)


def _is_of(held: Held, spec: InferenceServiceSpec, *, known: bool) -> bool:
    """Say whether a spec is the one that is held; known: whether it is known what it asks for."""
    return not known if held.spec == UNTIL_KNOWN else held.spec == spec_hash(spec, held.by)


def rejected(world: World, record: Record, failed: tuple[str, str], *, apart: bool) -> Record | None:
    """Reject the revision of the spec, which has failed.

    Args:
        world: the world.
        record: the record, in whose target the spec's revision stands.
        failed: reason and message.
        apart: whether the revision before had to end before this one began.

    Returns:
        The record with the spec held, or None where no other revision could serve in its place.
    """
    stable = _substitute(world, record, apart=apart)
    if world.spec is None or record.held or record.target is None or stable is None:
        return None
    held = Held(
        spec=spec_hash(world.spec, "operator"),
        revision=record.target,
        goal=stable,
        by="operator",
        reason=failed[0],
        message=failed[1],
        time=timestamp(world.now),
    )
    return replace(record, held=held)


def given_up(world: World, record: Record, failed: tuple[str, str], *, apart: bool) -> Record | None:
    """Give up going back to a revision that a person named, which has failed.

    Args:
        world: the world.
        record: the record, in whose target that revision stands.
        failed: reason and message.
        apart: whether the revision before had to end before this one began.

    Returns:
        The record that leaves what serves, with the spec held unless that is what it asks for; None where no person
        went back to the target, or no other revision could serve in its place.
    """
    held, stable = record.held, _substitute(world, record, apart=apart)
    if held is None or held.by != "person" or held.goal != record.target or stable is None:
        return None
    if stable == held.revision:
        return replace(record, held=None)
    message = (
        f"a person went back to revision {held.goal}, which failed, and {stable} serves on: change the spec, or say"
        f" retry, to go on from it; {failed[0]}: {failed[1]}"
    )
    return replace(record, held=replace(held, goal=stable, message=message))


def _substitute(world: World, record: Record, *, apart: bool) -> str | None:
    """Name the revision that serves in the place of a target that has failed; None where none does."""
    stable = record.stable
    if stable is None or stable == record.target or stable not in world.revisions or record.resuming:
        return None
    return stable if apart or world.fleets.get(stable, NOTHING).ready else None


def missing_kinds(world: World) -> list[Kind]:
    """List the types of routes that the spec asks for and the API server does not serve."""
    gateway = world.spec.routing.gateway if world.spec else None
    return [kind for kind in kinds(gateway) if kind not in world.listed]


def _unroutable(world: World, record: Record, revision: Revision) -> tuple[str, str] | None:
    """Say why requests cannot be shared out as the spec asks, as reason and message; None where they can."""
    assert world.spec is not None
    if missing := missing_kinds(world):
        words = (
            f"spec.routing.gateway needs the Gateway API, and the API server does not serve {missing[0].plural} of"
            f" {missing[0].api_version}: install its CRDs, or remove spec.routing; the operator looks again every"
            " 5 minutes"
        )
        return "GatewayAPIMissing", words
    if world.rival:
        words = (
            f"the InferenceService {world.rival} already has a route for the same host name at the same Gateway: give"
            " one of them other spec.routing.gateway.hostnames, headers that its clients send, or a pathPrefix"
        )
        return "Conflict", words
    rollout = world.spec.rollout
    if rollout.strategy != "Canary" or revision.name == record.stable:  # as many replicas as there are: no step follows
        return None
    desired, gpus = wanted_pods(world, record, revision.name), revision.gpu_count
    if not world.spec.routing.gateway and (found := unachievable(rollout, desired=desired)):
        return "StepUnreachable", found
    if found := unreachable(rollout, desired=desired, gpu_count=gpus):
        return "StepUnreachable", found
    surge = room_of(rollout, desired=desired, gpu_count=gpus).surge
    if found := canary.unjudged(rollout, desired=desired, surge=surge):
        return "SlowRequestsUnjudged", found
    if world.route and world.route.uncounted and rollout.analysis and rollout.analysis.slow_requests:
        words = (
            "spec.rollout.analysis.slowRequests are judged by what the proxies of Envoy Gateway count, and a Gateway"
            f" here is of {world.route.uncounted}: remove slowRequests, or judge by a query of analysis.metrics"
        )
        return "SlowRequestsUnjudged", words
    if analysis.metrics_of(rollout) and not world.settings.prometheus.allowQueries:
        words = (
            "spec.rollout.analysis.metrics may not be used here, as the operator's setting prometheus.allowQueries is"
            " false: remove metrics, or ask who runs the operator to allow them"
        )
        return "QueriesForbidden", words
    if rollout.analysis and not world.settings.prometheus.url and (found := _asked_of_prometheus(rollout.analysis)):
        words = (
            f"spec.rollout.analysis.{found} needs the operator's setting prometheus.url: set it in the chart's values,"
            f" or remove {found}"
        )
        return "PrometheusNeeded", words
    return None


def _asked_of_prometheus(analysis: Analysis) -> str | None:
    return "slowRequests" if analysis.slow_requests else "metrics" if analysis.metrics else None


def _placed(world: World, resolution: Resolution) -> Revision | tuple[str, str]:
    """Find or render the revision that the spec asks for; or say, as reason and message, why no node can run it."""
    assert world.spec is not None
    kept = world.revisions.get(revision_name(world.name, world.spec, resolution))
    number = 1 + max((revision.number for revision in world.revisions.values()), default=0)
    if kept and kept.resolution is None:  # its ControllerRevision is lost, which its Deployment cannot tell
        return replace(kept, resolution=resolution)
    try:
        return kept or render(world.name, world.spec, world.settings, resolution, number=number)
    except Unplaceable as error:
        return error.reason, str(error)


def _is_outdated(world: World, record: Record, wanted: Revision) -> bool:
    """Say whether a revision that has never got anywhere is to be made anew with the operator's settings of now.

    They may have been the cause, such as an image that is not there. Whatever has been ready, may serve again, or has a
    pod that gets on stays as it was rendered.
    """
    if world.spec is None or world.pods is None or wanted.resolution is None or wanted.name not in world.revisions:
        return False
    failed = (record.failure or {}).get("revision") == wanted.name
    # The first revision of all has nothing to be checked against and counts as admitted from the beginning.
    served = record.stable == wanted.name or (record.stable is not None and wanted.name in record.admitted)
    fleet = world.fleets.get(wanted.name, NOTHING)
    gets_on = record.progress or fleet.ready or fleet.pods > fleet.failing + fleet.homeless
    if not failed or served or gets_on:
        return False
    try:
        now = render(world.name, world.spec, world.settings, wanted.resolution, number=wanted.number)
    except Unplaceable:
        return False
    return fingerprint(now.template) != fingerprint(wanted.template)
