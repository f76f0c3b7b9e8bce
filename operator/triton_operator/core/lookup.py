"""Finding out what a spec's sources resolve to: reading ConfigMaps, asking a pod, trying again, giving up.

While that goes on, what is there serves on. Not for: what a resolution is; that is `core.resolution`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from triton_operator.api.names import CONFIG_MAP, CONTAINER_RESOLVE
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.health import FINAL, prepared_message, waits_for
from triton_operator.core.record import Attempt, Record
from triton_operator.core.resolution import (
    Resolution,
    at_hand,
    config_maps_of,
    copy_name,
    from_answer,
    is_answer,
    key_of,
    short_hash,
    sources_of,
)
from triton_operator.core.revision import Revision
from triton_operator.core.world import Announcement, Failure, Removal, World
from triton_operator.resources import children
from triton_operator.resources.children import Owner
from triton_operator.resources.resolver import resolver_pod

Json = dict[str, Any]

# What waiting alone does not mend; it is tried again all the same, as somebody may mend it.
REFUSED = FINAL | {"AccessDenied", "BadCredentials"}
FIRST_SECONDS = 10.0
MOST_SECONDS = 300.0
WATCH_SECONDS = 1.0
PATIENT_SECONDS = 5.0
BRISK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be read before it can be said what sources resolve to.

    Attributes:
        config_maps: names of ConfigMaps.
        resolvers: whether the pods that look at sources are to be listed.
    """

    config_maps: frozenset[str]
    resolvers: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the sources came to.

    Attributes:
        record: the record after it.
        resolution: what to build the revision from, or None while that is not known.
        final: whether nothing goes on any more without a change.
        failure: what stands in the way, or None.
        pod: the pod to make, or None.
        copies: ConfigMaps to make.
        removals: pods that have done their work.
        told: events to write.
        look_again: seconds until the next look, or None.
    """

    record: Record
    resolution: Resolution | None
    final: bool = False
    failure: Failure | None = None
    pod: Json | None = None
    copies: tuple[Json, ...] = ()
    removals: tuple[Removal, ...] = ()
    told: tuple[Announcement, ...] = ()
    look_again: float | None = None


def needs(
    spec: InferenceServiceSpec, record: Record | None, revisions: Mapping[str, Revision], config_maps: Iterable[str]
) -> Needs:
    """Say what must be read for the next look.

    Args:
        spec: the spec.
        record: the record, if there is one.
        revisions: kept revisions.
        config_maps: names of the service's own ConfigMaps.
    """
    attempt = record.attempt if record else None
    found = known(spec, record, revisions)
    if found is None or (attempt and attempt.token):
        return Needs(frozenset(config_maps_of(spec)), resolvers=True)
    own = set(config_maps)
    gone = {name for name, copy in found.copies if copy not in own}
    return Needs(frozenset(gone | unread(spec, found).keys()), resolvers=attempt is not None)


def known(spec: InferenceServiceSpec, record: Record | None, revisions: Mapping[str, Revision]) -> Resolution | None:
    """Find what a spec resolved to before: lately, or in the revision that such a spec asked for last.

    Args:
        spec: the spec.
        record: the record, if there is one.
        revisions: kept revisions; the greater its number, the later one was asked for.

    Returns:
        What was found at the sources, with the copies of those ConfigMaps that the spec names now, as far as they were
        read; None if the sources were not looked at.
    """
    by_use = sorted(revisions.values(), key=lambda revision: revision.number, reverse=True)
    before = [record.resolution if record else None, *(revision.resolution for revision in by_use)]
    fitting = [resolution for resolution in before if resolution and is_answer(resolution, spec)]
    if not fitting:
        return None
    named, last = config_maps_of(spec).keys(), fitting[0]
    copies = {name: copy for name, copy in last.copies if name in named}
    if copies.keys() == named == dict(last.copies).keys():
        return last
    for other in fitting[1:]:  # a revision with just these ConfigMaps may have been before
        there = dict(other.copies)
        if other.models == last.models and there.keys() == named and copies.items() <= there.items():
            return other
    return Resolution(key_of(spec), last.models, tuple(sorted(copies.items())))


def unread(spec: InferenceServiceSpec, resolution: Resolution) -> dict[str, bool]:
    """List the ConfigMaps that a spec names and a resolution has no copies of; for each, whether it must exist."""
    copied = dict(resolution.copies)
    return {name: must for name, must in config_maps_of(spec).items() if name not in copied}


def look(world: World, spec: InferenceServiceSpec, record: Record) -> Look:
    """Find out what the sources resolve to, as far as this look shows.

    Args:
        world: the world.
        spec: its spec.
        record: the record so far.
    """
    found = known(spec, record, world.revisions)
    lacking = unread(spec, found) if found else {}
    if found is None or (record.attempt and record.attempt.token):
        return _ask(world, spec, record, before=None if lacking else found)
    if lacking:
        return _read(world, spec, record, found, lacking)
    missing = [(name, copy) for name, copy in found.copies if copy not in _own_config_maps(world)]
    copies = _copies(world, missing)
    record = _cleared(world, replace(record, resolution=found))
    again = WATCH_SECONDS if record.attempt else None
    if len(copies) < len(missing) and not _is_kept(world, found):
        # One changed before it was copied, and nothing runs on it yet: it is read again.
        there = tuple(copy for copy in found.copies if copy not in missing)
        return Look(replace(record, resolution=Resolution(key_of(spec), found.models, there)), None, look_again=0.0)
    return Look(record, found, copies=copies, removals=_finished(world), look_again=again)


def _is_kept(world: World, resolution: Resolution) -> bool:
    """Say whether a revision was made of what was found."""
    kept = (revision.resolution for revision in world.revisions.values())
    return any(r is not None and (r.models, r.copies) == (resolution.models, resolution.copies) for r in kept)


def _read(
    world: World, spec: InferenceServiceSpec, record: Record, found: Resolution, lacking: Mapping[str, bool]
) -> Look:
    """Copy the ConfigMaps that a spec has come to name; what was found at the sources stays as it was."""
    if spec.suspend:
        return Look(record, None)
    if lacking.keys() - world.config_maps.keys():
        return Look(record, None, look_again=0.0)
    if absent := _absent(world, lacking):
        key, attempt = key_of(spec), record.attempt
        if attempt is None or attempt.key != key or not attempt.since:
            attempt = Attempt(key, since=world.now)
        return _missing(world, spec, replace(record, attempt=attempt), None, absent)
    copies = dict(found.copies) | {name: copy_name(world.name, world.config_maps[name]) for name in lacking}
    return _resolved(world, record, found, Resolution(key_of(spec), found.models, tuple(sorted(copies.items()))))


def _absent(world: World, named: Mapping[str, bool]) -> str | None:
    return next((name for name, must in named.items() if must and world.config_maps[name] is None), None)


def _missing(world: World, spec: InferenceServiceSpec, record: Record, before: Resolution | None, name: str) -> Look:
    """Tell that a ConfigMap is not there, and wait for it."""
    words = f"the ConfigMap {name}, which the spec names, does not exist in this namespace: create it"
    since = record.attempt.since if record.attempt else world.now
    final = world.now >= since + spec.rollout.provision_timeout_seconds
    return _failed(world, record, before, Failure("ConfigMapMissing", words), final=final, look_again=PATIENT_SECONDS)


def _ask(world: World, spec: InferenceServiceSpec, record: Record, *, before: Resolution | None) -> Look:
    key = key_of(spec)
    if spec.suspend:  # no pods, nor any for this
        record = _cleared(world, record)
        again = WATCH_SECONDS if record.attempt else None
        return Look(record, before, removals=_finished(world), look_again=again)
    attempt = record.attempt
    if attempt is None or attempt.key != key or (before is None and attempt.token == "" and not attempt.since):
        attempt = Attempt(key, since=world.now)
    record = replace(record, attempt=attempt)
    named = config_maps_of(spec)
    if world.resolvers is None or named.keys() - world.config_maps.keys():
        return Look(record, before, look_again=0.0)
    until = attempt.since + spec.rollout.provision_timeout_seconds
    if absent := _absent(world, named):
        return _missing(world, spec, record, before, absent)
    sources = sources_of(spec, None)
    names = {name: copy_name(world.name, world.config_maps[name]) for name in named}
    if answer := at_hand(key, sources, names):
        return _resolved(world, record, before, answer)
    name = f"{world.name}-resolve-{short_hash([key, attempt.token])}"
    others = tuple(_removal(pod) for pod in world.resolvers if pod["metadata"]["name"] != name)
    pod = next((pod for pod in world.resolvers if pod["metadata"]["name"] == name), None)
    due = attempt.last + min(MOST_SECONDS, FIRST_SECONDS * 2 ** max(0, attempt.tries - 1)) if attempt.tries else 0.0
    if pod is None:
        owner = Owner(world.name, world.namespace, world.uid)
        made = resolver_pod(owner, name, spec, world.settings, sources) if world.now >= due else None
        if made:
            record = replace(record, attempt=replace(attempt, tries=attempt.tries + 1, last=world.now))
        pause = WATCH_SECONDS if made else max(WATCH_SECONDS, due - world.now)
        return replace(_again(record, before), pod=made, removals=others, look_again=pause)
    if "deletionTimestamp" in pod["metadata"]:
        return replace(_again(record, before), removals=others)
    phase = _phase(pod)
    if phase == "Succeeded":
        if answer := from_answer(key, _message(pod), sources, names):
            return _resolved(world, record, before, answer)
        failure = Failure("InternalError", f"the resolver's answer cannot be read; see kubectl logs {name}", pod=name)
        return _failed(world, record, before, failure, final=True, look_again=None)
    if phase == "Failed":
        failure = _said(pod)
        over = world.now >= until
        gone = () if over or world.now < due else (_removal(pod),)
        again = None if over else max(WATCH_SECONDS, due - world.now)
        refused = failure.reason in REFUSED
        record = replace(record, attempt=replace(attempt, refused=refused))
        tried = _failed(world, record, before, failure, final=over or refused, look_again=again)
        return replace(tried, removals=others + gone)
    pause = WATCH_SECONDS if world.now - attempt.last < BRISK_SECONDS else PATIENT_SECONDS
    if stuck := waits_for(pod):
        return Look(record, before, final=world.now >= until, failure=stuck, removals=others, look_again=pause)
    return replace(_again(record, before), removals=others, look_again=pause)


def _again(record: Record, before: Resolution | None) -> Look:
    """Tell of the try before while the next one is under way: what was refused stays so until another answer is there.

    Without this, Stalled would come and go with each try.
    """
    refused = record.attempt is not None and record.attempt.refused
    return Look(record, before, final=refused, failure=_last(record), look_again=WATCH_SECONDS)


def _resolved(world: World, record: Record, before: Resolution | None, answer: Resolution) -> Look:
    """Take an answer; the pods that gave it go, and are looked for until they are gone."""
    refreshed = record.attempt is not None and record.attempt.token
    record = _cleared(world, replace(record, resolution=answer))
    missing = [(name, copy) for name, copy in answer.copies if copy not in _own_config_maps(world)]
    told: tuple[Announcement, ...] = ()
    if refreshed:
        words = "the sources are as they were" if answer == before else f"found {_found(answer)}"
        told = (Announcement("Normal", "Refreshed", words),)
    elif before is None and any(model.digest for model in answer.models):
        told = (Announcement("Normal", "Resolved", f"found {_found(answer)}"),)
    return Look(
        record,
        answer,
        copies=_copies(world, missing),
        removals=_finished(world),
        told=told,
        look_again=WATCH_SECONDS if record.attempt else None,
    )


def _failed(
    world: World,
    record: Record,
    before: Resolution | None,
    failure: Failure,
    *,
    final: bool,
    look_again: float | None,
) -> Look:
    """Tell of a failure; a refresh that has failed for good leaves all as it was."""
    if record.attempt and record.attempt.token and final:
        words = f"the refresh has failed, and all stays as it is: {failure.reason}: {failure.message}"
        record = _cleared(world, record)
        told = (Announcement("Warning", "RefreshFailed", words),)
        return Look(record, before, removals=_finished(world), told=told, look_again=WATCH_SECONDS)
    return Look(record, before, final=final, failure=failure, look_again=look_again)


def _cleared(world: World, record: Record) -> Record:
    """End an attempt: it is forgotten when no pod of it is left."""
    if record.attempt is None or world.resolvers == ():
        return replace(record, attempt=None)
    return replace(record, attempt=Attempt(record.resolution.key if record.resolution else record.attempt.key))


def _finished(world: World) -> tuple[Removal, ...]:
    return tuple(_removal(pod) for pod in world.resolvers or () if "deletionTimestamp" not in pod["metadata"])


def _removal(pod: Json) -> Removal:
    return Removal(pod["metadata"]["name"], pod["metadata"]["uid"], None, None, "it has looked at the sources")


def _own_config_maps(world: World) -> frozenset[str]:
    return world.listed.get(CONFIG_MAP, frozenset())


def _copies(world: World, missing: Iterable[tuple[str, str]]) -> tuple[Json, ...]:
    """Build the copies of ConfigMaps that were read and are what they should be."""
    owner = Owner(world.name, world.namespace, world.uid)
    return tuple(
        children.config_map_copy(owner, copy, world.config_maps[name])
        for copy, name in {copy: name for name, copy in missing}.items()
        if name in world.config_maps and copy_name(world.name, world.config_maps[name]) == copy
    )


def _ended(pod: Json) -> Json:
    """Give how the resolver ended; {} if it has not."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == CONTAINER_RESOLVE:
            return dict((status.get("state") or {}).get("terminated") or {})
    return {}


def _message(pod: Json) -> str:
    """Give what the resolver said at its end."""
    return str(_ended(pod).get("message") or "")


def _phase(pod: Json) -> str | None:
    """Say whether the resolver has succeeded or failed: a container that others put beside it may run on."""
    if (code := _ended(pod).get("exitCode")) is not None:
        return "Failed" if code else "Succeeded"
    phase: str | None = (pod.get("status") or {}).get("phase")
    return phase


def _said(pod: Json) -> Failure:
    """Say why a resolver has failed: in its own words, or in those of whoever ended it."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if not (message := _message(pod)):
        reason = status.get("reason") or "ResolverFailed"
        return Failure(reason, status.get("message") or "the pod that looks at the sources ended without a word", name)
    reason, words = prepared_message(message)
    return Failure(reason, words, pod=name)


def _last(record: Record) -> Failure | None:
    """Give the failure of the try before, while the next one is under way; failures of pods name a revision."""
    if not record.failure or "revision" in record.failure:
        return None
    return Failure(record.failure["reason"], record.failure["message"], pod=record.failure.get("pod"))


def _found(resolution: Resolution) -> str:
    return ", ".join(
        f"{model.name} version {model.version}" + (f" ({model.digest[:19]})" if model.digest else "")
        for model in resolution.models
    )
