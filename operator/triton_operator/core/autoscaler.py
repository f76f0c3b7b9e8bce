"""How many replicas a service needs: from what was measured to a number and the reason for it.

Pure: the operator and the simulator in `benchmarks/` run this very policy.
Not for: measuring (`core.signals`), what one replica carries (`core.capacity`), how replicas are shared out among
revisions (`core.shares`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.core.load import Load


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows of a service.

    Attributes:
        wish: what the spec says.
        least: replicas that there must be, after schedules.
        most: replicas that there may be, after schedules.
        revision: the revision that serves, whose load this is.
        load: what was measured, or None.
        trouble: why nothing, or not all, could be measured; "" where all was.
        values: of `wish.metrics` of type prometheus, by their place; one that is missing could not be had.
        ready: replicas that are ready.
        starting: replicas that have been asked for and are not ready yet.
        leads: seconds from the creation of a pod to its being ready, of those that became ready last.
        stuck: why those that start do not get ready, in a sentence; "" while they may.
        judged: whether a canary is being judged.
        most_batch: the largest batch of the model; 0 where it knows none, 1 for no batching.
        instances: executions that one replica runs at a time.
    """

    wish: Autoscaling
    least: int
    most: int
    revision: str
    load: Load | None
    ready: int
    starting: int
    trouble: str = ""
    values: Mapping[int, float] = field(default_factory=dict)
    leads: tuple[float, ...] = ()
    stuck: str = ""
    judged: bool = False
    most_batch: int = 0
    instances: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there are to be, and why.

    Attributes:
        replicas: so many.
        because: one sentence with the numbers.
        capacity: requests per second that one replica carries within the objective; 0 while that is not known.
        lead_seconds: how long it takes from a decision to a replica that is ready.
        hold_until: until when replicas that are not needed are kept, in seconds since the epoch; 0 while none is.
        hold_reason: why.
        limited_by: what stands in the way of more: max, nodes, quota or metrics; "" where nothing does.
        measured_at: when the newest sample was taken, in seconds since the epoch; 0 before the first.
    """

    replicas: int
    because: str = ""
    capacity: float = 0.0
    lead_seconds: float = 0.0
    hold_until: float = 0.0
    hold_reason: str = ""
    limited_by: str = ""
    measured_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the policy carries from look to look; opaque to its callers but for the decision.

    Attributes:
        decision: the last one.
    """

    decision: Decision


def begin(replicas: int) -> Memory:
    """Begin with so many replicas."""
    return Memory(Decision(replicas))


def advance(memory: Memory, sight: Sight, now: float) -> Memory:
    """Look once.

    Args:
        memory: what the last look left, or `begin`.
        sight: what this look shows.
        now: seconds since the epoch; looks are about 5 s apart.
    """
    raise NotImplementedError
