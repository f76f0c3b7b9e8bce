"""What the words of a status are found from: the world, the record after a look, and what that look came to.

Not for: the words; those are `core.conditions` and `core.canary_status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from triton_operator.core.lookup import Look
from triton_operator.core.preflight import Gate
from triton_operator.core.record import Record
from triton_operator.core.revision import Revision
from triton_operator.core.rollout import NOTHING
from triton_operator.core.shares import Room
from triton_operator.core.world import Failure, Fleet, World

Verdict = tuple[str, str, str]  # status, reason, message


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules below are asked about.

    Attributes:
        world: the world.
        record: the record after this look.
        target: the revision that the spec asks for.
        desired: pods wanted in all.
        expected: pods wanted of the target now: fewer than those where it is on trial.
        weights: share of the requests through a Gateway by revision, in percent.
        room: the room of the rollout.
        failure: what is wrong with the target, or None.
        gate: how far the checks of the target are.
        refusal: why the spec cannot be carried out, as reason and message, or None.
        lookup: the look at the sources, while it is not known what revision the spec asks for.
    """

    world: World
    record: Record
    target: Revision
    desired: int
    expected: int
    weights: Mapping[str, int]
    room: Room
    failure: Failure | None
    gate: Gate
    refusal: tuple[str, str] | None
    lookup: Look | None

    @property
    def fleet(self) -> Fleet:
        """The Deployment of the target."""
        return self.world.fleets.get(self.target.name, NOTHING)

    @property
    def pods(self) -> int:
        """Pods that exist, of all revisions; while suspended, or of others than the target, until they have ended."""
        ending = {n: f.ending for n, f in self.world.fleets.items() if self.record.suspended or n != self.target.name}
        warm = self.record.warm.revision if self.record.warm else None
        return sum(f.pods + ending.get(name, 0) for name, f in self.world.fleets.items() if name != warm)

    @property
    def least(self) -> int:
        """Ready pods that the spec asks an update to leave in service; 0 if it leaves that open."""
        return (self.world.spec.rollout.min_available or 0) if self.world.spec else 0

    @property
    def ready(self) -> int:
        """Ready pods in service."""
        return ready_pods(self.world, self.record)


def ready_pods(world: World, record: Record) -> int:
    """Count the ready pods in service."""
    return sum(world.fleets.get(name, NOTHING).ready for name in record.serving)


def why(s: Situation) -> str:
    """Tell what is wrong, or went wrong last with pods that have since been replaced."""
    if s.failure:
        remedy = _remedy(s)
        return f"; {s.failure.reason}: {s.failure.message.rstrip('. ') if remedy else s.failure.message}{remedy}"
    last = s.record.failure
    return f"; before: {last['reason']}: {last['message']}" if last else ""


def _remedy(s: Situation) -> str:
    """Tell how an update gets on that lacks GPUs for its surge."""
    surging = s.room.surge and s.record.stable not in (None, s.target.name)
    short = s.failure is not None and s.failure.reason in {"InsufficientGPU", "PodsRefused"}
    if not (surging and short and s.target.gpu_count):
        return ""
    if s.world.spec and s.world.spec.rollout.strategy == "BlueGreen":
        return (
            f". BlueGreen needs {s.desired * s.target.gpu_count} further GPUs until the old revision has gone:"
            " rollout.strategy: RollingUpdate updates pod by pod, with rollout.maxSurgeGPUs: 0 on the GPUs there are"
        )
    if s.world.spec and s.world.spec.rollout.strategy == "Canary":
        return ". Steps of a smaller setWeight need fewer pods beside those that serve"
    if s.desired == 1:
        return ". rollout.strategy: Recreate updates on the GPUs there are, and nothing serves meanwhile"
    beside = f" with rollout.minAvailable: {s.desired - 1}" if s.least >= s.desired else ""
    return f". rollout.maxSurgeGPUs: 0{beside} updates pod by pod on the GPUs there are"
