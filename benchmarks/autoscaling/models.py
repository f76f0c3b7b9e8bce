"""What a simulated model costs: how long a batch takes, and how fast its requests are to be answered.

Not for: who executes the batches; see `servers`.
"""

from collections.abc import Callable
from dataclasses import dataclass

Curve = Callable[[int], float]


def linear(alpha: float, beta: float) -> Curve:
    """A batch takes so many seconds, and so many more for each request in it."""
    return lambda batch: alpha + beta * batch


def concave(alpha: float, beta: float, power: float) -> Curve:
    """The more requests a batch has, the less each one adds: a GPU that small batches do not fill.

    Args:
        alpha: seconds of an empty batch.
        beta: what the first request adds.
        power: between 0 and 1.
    """
    return lambda batch: float(alpha + beta * batch**power)


def step(alpha: float, beta: float) -> Curve:
    """A batch is padded to the next power of two: an engine that was built for a few shapes."""
    return lambda batch: alpha + beta * 2.0 ** (batch - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its objective.

    Attributes:
        name: for the table.
        curve: seconds that a batch of a size takes on average.
        most_batch: the largest batch.
        objective_seconds: how fast requests are to be answered.
        percentile: of 100 requests, how many.
        instances: batches that a replica executes at a time, without slowing each other down.
        noise: standard deviation of a batch's time beside its mean; the times are lognormal.
        timeout_seconds: how long a request waits in the queue before it is given up.
    """

    name: str
    curve: Curve
    most_batch: int
    objective_seconds: float
    percentile: int = 95
    instances: int = 1
    noise: float = 0.15
    timeout_seconds: float = 30.0

    @property
    def peak(self) -> float:
        """Requests per second of one replica whose batches are full: what a load test without an objective shows."""
        return self.instances * self.most_batch / self.curve(self.most_batch)
