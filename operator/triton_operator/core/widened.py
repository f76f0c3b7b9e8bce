"""A canary in the Service: where there is no Gateway, or its pods replace others while it is judged.

Each pod there gets about as many requests. So without a Gateway the weight is the share of its pods, and only such ones
can be had. Kubernetes shares out connections: a client that keeps one open stays with its pod.
Not for: when a canary gets more; that is `core.canary`.
"""

from dataclasses import replace

from triton_operator.api.rollout import Rollout
from triton_operator.core.record import Record, Trial
from triton_operator.core.rollout import NOTHING, has_pods
from triton_operator.core.traffic import carried, is_canary, is_shrinking, is_split, is_widened, needed
from triton_operator.core.world import World


def fitting(weight: int, desired: int) -> int:
    """Say how many pods of a canary get a weight, or come next below it.

    Args:
        weight: in percent, 1 to 99.
        desired: pods of the revision that serves, 1 or more.
    """
    pods = needed(weight, desired)
    return pods if carried(pods, desired) == weight else pods - 1


def unachievable(rollout: Rollout, *, desired: int) -> str | None:
    """Say which weight no number of pods has and what to do; None if there is none.

    Args:
        rollout: what the spec says.
        desired: pods of the revision that serves, 0 or more.
    """
    for number, step in enumerate(rollout.steps or ()):
        weight = step.set_weight
        if not weight or weight == 100 or not desired or carried(needed(weight, desired), desired) == weight:
            continue
        most = needed(weight, desired)
        fits = [f"{share} ({_pods(n)})" for n in (most - 1, most) if n and (share := carried(n, desired))]
        return (
            f"spec.rollout.steps[{number}].setWeight {weight} is no share of pods beside {desired} that serve: set it"
            f" to {' or '.join(fits)}, leave steps out, or set spec.routing.gateway, which shares out by any weight"
        )
    return None


def apart(world: World, record: Record, target: str) -> Record:
    """Take the revision that is on trial out of service; `joined` puts it back as long as it is.

    Args:
        world: the world.
        record: the record.
        target: the revision to get to. If it is not the one on trial, that leaves at once, unless it has the load of
            pods that have gone.
    """
    trial = record.trial
    if trial is None or trial.promoted or not is_canary(world) or (trial.revision != target and not is_widened(world)):
        return record
    return replace(record, serving=tuple(name for name in record.serving if name != trial.revision))


def joined(world: World, record: Record, *, desired: int) -> Record:
    """Put the revision on trial into service if it has a weight; never while a third revision has pods.

    Args:
        world: the world.
        record: the record after this look, with the trial as it is to be.
        desired: pods of the revision that serves, 0 or more.
    """
    trial = record.trial
    if trial is None or trial.revision in record.serving or record.stable is None or not desired:
        return record
    served = world.record is not None and trial.revision in world.record.serving
    if is_shrinking(world):  # one that has failed has the load of pods that have gone
        joins = bool(trial.weight) or served
    elif is_split(world):  # it has the load of pods that had gone while the spec asked for that, until they are back
        joins = served and world.fleets.get(record.stable, NOTHING).ready < desired
    else:
        joins = is_widened(world) and trial.weight > 0 and fitting(trial.weight, desired) > 0
    if not joins:
        return record
    others = [name for name in {*world.fleets, *world.revisions} if name not in (record.stable, trial.revision)]
    if has_pods(world, *others) or not world.fleets.get(trial.revision, NOTHING).ready:
        return record
    return replace(record, serving=(*record.serving, trial.revision))


def is_applied(world: World, record: Record, trial: Trial, *, desired: int) -> bool:
    """Say whether the Service shows just the pods that make the weight of a trial.

    Args:
        world: the world.
        record: the record.
        trial: its trial, with a weight.
        desired: pods of the revision that serves; those of them that have failed are not waited for, as perhaps the
            canary is what mends that.
    """
    shown = world.endpoints or {}
    stable, pods = record.stable or "", fitting(trial.weight, max(1, desired))
    ready = world.fleets.get(stable, NOTHING).ready
    return (
        carried(pods, desired) == trial.weight and shown.get(trial.revision) == pods and shown.get(stable, 0) >= ready
    )


def size(world: World, record: Record, trial: Trial | None, ahead: int, *, desired: int) -> int:
    """Say how many pods a canary is to have.

    Args:
        world: the world.
        record: the record.
        trial: its trial, or None before it begins.
        ahead: the weight of the step that it is at, 0 for none.
        desired: pods of the revision that serves, 1 or more.

    Returns:
        Those of its weight. They come before the first one, as no request reaches them; from then on the weight comes
        first, and none comes before so many serve that it does not get more than its weight.
    """
    if trial is None or not trial.weight:
        return max(1, fitting(ahead, desired) if ahead else 0)
    ready = world.fleets.get(record.stable or "", NOTHING).ready
    has = world.fleets.get(trial.revision, NOTHING).wanted
    return max(1, min(fitting(trial.weight, desired), max(has, fitting(trial.weight, ready) if ready else 0)))


def weights(world: World, record: Record) -> dict[str, int]:
    """Say which share of the ready pods in service each revision has, in percent; those without any are left out."""
    ready = {name: world.fleets.get(name, NOTHING).ready for name in record.serving}
    return {name: round(100 * pods / sum(ready.values())) for name, pods in ready.items() if pods}


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
