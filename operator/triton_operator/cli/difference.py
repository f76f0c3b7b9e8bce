"""What a file would change of a service: which fields, whether that makes a new revision, and what becomes of its pods.

A file is taken for all that is asked for, but for replicas where it names none: those are of whoever scales.
Not for: whether it would be taken; that is `cli.lint`.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.api.steps import Step
from triton_operator.cli.breaches import defaulted, schema
from triton_operator.cli.service import Service
from triton_operator.cli.words import count
from triton_operator.core.lookup import known, unread
from triton_operator.core.record import Record
from triton_operator.core.revision import Revision, chosen_by, revision_name, spec_hash
from triton_operator.core.shares import room_of
from triton_operator.core.steps import ladder

Json = dict[str, Any]

# What a revision is made of; all else is carried out on the pods that there are.
OF_REVISION = ("model", "runtime", "gpu")


@dataclass(frozen=True, slots=True)
class Change:
    """One field that would change.

    Attributes:
        field: its path.
        before: its value; None if it is new.
        after: its value; None if it would go.
    """

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """What a file would change.

    Attributes:
        name: of the service.
        exists: whether there is such a service.
        changes: fields that would change.
        revision: the revision that would serve; "" where its sources must be looked up first.
        new: whether that is another one than is asked for now.
        effects: what would happen, in sentences.
    """

    name: str
    exists: bool
    changes: tuple[Change, ...]
    revision: str
    new: bool
    effects: tuple[str, ...]


def difference(
    spec: Json, service: Service | None, record: Record | None, revisions: Mapping[str, Revision], *, name: str
) -> Difference:
    """Say what a spec would change.

    Args:
        spec: the spec in the file.
        service: the service as it is; None if there is none.
        record: the operator's record of it, as far as it could be read.
        revisions: those that are kept, as far as they could be read.
        name: of the service.
    """
    if service is None:
        wanted = InferenceServiceSpec.model_validate(_filled(spec))
        return Difference(name, False, (), "", True, tuple(_first(wanted)))
    before = _filled(service.spec)
    after = _filled(spec if "replicas" in spec else spec | {"replicas": before.get("replicas", 1)})
    changes = tuple(_changes("spec", before, after))
    if not changes:
        return Difference(name, True, (), _target(service), False, ("Nothing would change.",))
    old, new = InferenceServiceSpec.model_validate(before), InferenceServiceSpec.model_validate(after)
    now, then = (_revision(name, each, record, revisions) for each in (old, new))
    same = then == now if then and now else chosen_by(old) == chosen_by(new)
    effects = [*_of_revision(service, record, revisions, new, then, same), *_in_place(service, old, new, same)]
    return Difference(name, True, changes, then, not same, tuple(effects))


def _filled(spec: Json) -> Json:
    filled: Json = defaulted(deepcopy(spec), schema()["properties"]["spec"])
    return filled


def _changes(field: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _changes(f"{field}.{name}", before.get(name), after.get(name))
    elif before != after:
        yield Change(field, before, after)


def _revision(name: str, spec: InferenceServiceSpec, record: Record | None, revisions: Mapping[str, Revision]) -> str:
    """Name the revision that a spec asks for; "" where its sources must be looked up first."""
    resolution = known(spec, record, revisions)
    return "" if resolution is None or unread(spec, resolution) else revision_name(name, spec, resolution)


def _target(service: Service) -> str:
    return service.revision("rejected") or service.revision("canary") or service.revision("stable")


def _first(spec: InferenceServiceSpec) -> Iterator[str]:
    gpus = spec.replicas * spec.gpu.count
    yield (
        f"The service is new: its sources are looked up, and its first revision begins with"
        f" {count(spec.replicas, 'pod')} on {count(gpus, 'GPU')}."
    )


def _of_revision(
    service: Service,
    record: Record | None,
    revisions: Mapping[str, Revision],
    spec: InferenceServiceSpec,
    then: str,
    same: bool,
) -> Iterator[str]:
    """Tell whether another revision is asked for, and how it would take over."""
    held = record.held if record else None
    if held and held.spec == spec_hash(spec, held.by):
        yield f"It was rejected ({held.reason}) and stays so until it changes, or kubectl triton retry {service.name}."
        return
    if same:
        yield "The revision stays the same: no pod is restarted."
        return
    if then and then == service.revision("stable"):
        yield f"It goes back to revision {then}, which serves: no pod is restarted."
        return
    if then in revisions:
        yield f"It goes back to revision {then}, which is kept."
    elif then:
        yield f"It makes a new revision, {then}."
    elif record:
        yield "It makes a new revision, whose version and files are looked up at the sources first."
    else:
        yield "It makes a new revision, as far as can be told without the operator's record of the service."
    if not spec.suspend and service.part("stable"):
        yield _taken_over(spec, service)
    if spec.rollout.strategy == "Canary" and service.part("rollout"):
        yield f"The canary that is on trial, {service.revision('canary')}, ends."


def _taken_over(spec: InferenceServiceSpec, service: Service) -> str:
    """Tell how a new revision would take over."""
    desired = int(service.part("autoscaling").get("current") or spec.replicas)
    surge = max(1, room_of(spec.rollout, desired=desired, gpu_count=spec.gpu.count).surge)
    gpus = f", on {count(surge * spec.gpu.count, 'further GPU')}" if spec.gpu.count else ""
    stable = service.revision("stable")
    match spec.rollout.strategy:
        case "Recreate":
            return f"All {count(desired, 'pod')} of {stable} end before the new ones begin: nothing serves meanwhile."
        case "BlueGreen":
            further = f", on {count(desired * spec.gpu.count, 'further GPU')}" if spec.gpu.count else ""
            return f"{count(desired, 'pod')} of it load beside {stable}{further}; then all requests move at once."
        case "Canary":
            by_pods = spec.routing.gateway is None
            steps = ladder(spec.rollout, desired=max(1, desired), surge=surge, by_pods=by_pods)
            judged = ", judged by its requests" if spec.rollout.analysis else ""
            return f"It takes over as a canary{judged}: {', '.join(map(_step, steps))}, then promotion."
        case _:
            pods = f"at most {count(surge, 'further pod')} at a time{gpus}"
            return f"All {count(desired, 'pod')} are replaced, {pods}; {stable} serves until they are ready."


def _step(step: Step) -> str:
    if step.set_weight is not None:
        return f"{step.set_weight} %"
    if step.pause:
        wait = step.pause.duration_seconds
        return "until a person promotes" if wait is None else f"{wait} s"
    return next(name for name in type(step).model_fields if getattr(step, name) is not None).replace("_", " ")


def _in_place(service: Service, old: InferenceServiceSpec, new: InferenceServiceSpec, same: bool) -> Iterator[str]:
    """Tell what is carried out on the pods that there are."""
    if new.suspend != old.suspend:
        yield "All pods end, and their GPUs are free." if new.suspend else "The pods come back."
        return
    if new.replicas != old.replicas and not (new.autoscaling and new.autoscaling.mode == "Auto"):
        more = new.replicas - old.replicas
        yield f"{count(abs(more), 'pod')} {'more' if more > 0 else 'fewer'}: {old.replicas} to {new.replicas}."
    if new.autoscaling != old.autoscaling:
        yield "Replicas go by the new autoscaling from the next look on."
    if new.routing != old.routing:
        yield "The routes are changed in place."
    if new.rollout != old.rollout and same:
        told = "is how the next update goes"
        if service.part("rollout"):
            told = "applies to the canary on trial; with other bounds its evidence begins anew"
        yield f"The new rollout {told}."
