"""The load: recorded traces and shapes, second by second, and requests drawn from them.

Not for: whom it is put on; see `scenarios`.
"""

import csv
import gzip
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRACES = Path(__file__).parent / "traces"
WARM_SECONDS = 600
MEASURED_SECONDS = 1800
SECONDS = WARM_SECONDS + MEASURED_SECONDS

Rates = NDArray[np.float64]


@cache
def azure(name: str) -> Rates:
    """Requests by second of an hour of 2023-11-16 in Azure.

    Args:
        name: "code" or "conv".
    """
    with (TRACES / f"azure_llm_2023_{name}_1s.csv").open(encoding="utf-8") as file:
        return np.array([float(row["requests"]) for row in csv.DictReader(file)])


@cache
def mooncake() -> Rates:
    """Requests by second of an hour of Mooncake, spread over the 3 s to which their times were rounded."""
    with gzip.open(TRACES / "mooncake_conversation_requests.csv.gz", "rt", encoding="utf-8") as file:
        times = np.array([float(row["arrival_ms"]) for row in csv.DictReader(file)])
    return np.repeat(np.bincount((times / 3000).astype(int)) / 3.0, 3)


def _warm() -> Rates:
    """Up and down by a third in five minutes, so that there is something to learn from, and as long at 1."""
    times = np.arange(WARM_SECONDS)
    return 1 + np.where(times < 300, np.sin(times * 2 * np.pi / 300) / 3, 0.0)


def steps(height: float) -> Rates:
    """From 1 up to a height after 10 minutes, for a quarter of an hour, and back."""
    shape = np.ones(MEASURED_SECONDS)
    shape[600:1500] = height
    return np.concatenate([_warm(), shape])


def ramp(height: float) -> Rates:
    """From 1 up to a height in a quarter of an hour, for 5 minutes, and down twice as fast."""
    times = np.arange(MEASURED_SECONDS)
    return np.concatenate([_warm(), np.interp(times, [0, 900, 1200, 1650], [1, height, height, 1])])


def sawtooth(height: float, period_seconds: int) -> Rates:
    """From 1 up to a height, and down at once, again and again."""
    times = np.arange(MEASURED_SECONDS) % period_seconds
    return np.concatenate([_warm(), 1 + (height - 1) * times / period_seconds])


def flash(height: float, decay_seconds: float) -> Rates:
    """A crowd that comes within half a minute, after 10 minutes, and goes by and by."""
    times = np.arange(MEASURED_SECONDS) - 600.0
    decay = np.exp(-np.clip(times - 30, 0, None) / decay_seconds)
    return np.concatenate([_warm(), 1 + (height - 1) * np.where(times < 0, 0, np.clip(times / 30, 0, 1) * decay)])


def arrivals(rates: Rates, factor: float, random: np.random.Generator) -> list[float]:
    """Draw requests: as many as a Poisson variable says in each second, anywhere in it.

    Args:
        rates: per second.
        factor: by which they are multiplied; the bursts of a trace stay what they are beside its mean.
        random: for the draw.

    Returns:
        Times in seconds, in order.
    """
    counts = random.poisson(rates * factor)
    times = np.repeat(np.arange(len(rates), dtype=float), counts) + random.random(int(counts.sum()))
    return [float(time) for time in np.sort(times)]
