"""The bounds of replicas at a time: spec.autoscaling, and those of its schedules that apply.

A time that the clocks of a zone skip is when they skip it; one that they show twice, the first. So a schedule begins
and ends once a day, whatever the clocks do.
Not for: how many replicas are needed within them; that is `core.autoscaler`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from triton_operator.api.autoscaling import Autoscaling, Schedule

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = timedelta(days=1)
_WEEK_AND_MORE = range(-1, 9)
"""Days from today whose periods can hold now or be the next: yesterday's may go on, a day of the week comes again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many replicas there may be.

    Attributes:
        least: at least so many.
        most: at most so many; never less than `least`.
        why: which schedules set them, in words; "" where none does.
        next_change: when a schedule begins or ends next, in seconds since the epoch; 0 where none ever does.
        trouble: which schedules cannot be followed, and what to do; "" where all are.
    """

    least: int
    most: int
    why: str = ""
    next_change: float = 0.0
    trouble: str = ""


def bounds(autoscaling: Autoscaling, now: float) -> Bounds:
    """Say how many replicas there may be at a time.

    Args:
        autoscaling: what the spec says.
        now: seconds since the epoch.

    Returns:
        Of the schedules that apply the largest minReplicas and the smallest maxReplicas, and the latter where they
        contradict; what none of them says is the spec's. One whose time zone is unknown is left out.
    """
    apply, changes, troubles = [], [], []
    for place, schedule in enumerate(autoscaling.schedules or ()):
        zone = _zone(schedule.time_zone)
        if zone is None:
            troubles.append(
                f"spec.autoscaling.schedules[{place}].timeZone: there is no time zone {schedule.time_zone}, so schedule"
                f" {schedule.name} does not apply. Take a name of the IANA database, such as Europe/Berlin"
            )
            continue
        for begins, ends in _periods(schedule, zone, now):
            if begins <= now < ends:
                apply.append(schedule)
            changes += [at for at in (begins, ends) if at > now]
    least, at_least = max(
        ((s.min_replicas, s.name) for s in apply if s.min_replicas), default=(autoscaling.min_replicas, "")
    )
    most, at_most = min(
        ((s.max_replicas, s.name) for s in apply if s.max_replicas), default=(autoscaling.max_replicas, "")
    )
    said = [
        f"{field} {replicas} by schedule {name}"
        for field, replicas, name in (("minReplicas", least, at_least), ("maxReplicas", most, at_most))
        if name
    ]
    return Bounds(
        least=min(least, most),
        most=most,
        why=" and ".join(said),
        next_change=min(changes, default=0.0),
        trouble="; ".join(troubles),
    )


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the database, such as America
        return None


def _periods(schedule: Schedule, zone: ZoneInfo, now: float) -> Iterator[tuple[float, float]]:
    """List when a schedule begins and ends, of the days around now."""
    today = datetime.fromtimestamp(now, zone).date()
    for day in (today + _DAY * distance for distance in _WEEK_AND_MORE):
        if schedule.days is None or _DAYS[day.weekday()] in schedule.days:
            last = day if schedule.start < schedule.end else day + _DAY
            period = _instant(day, schedule.start, zone), _instant(last, schedule.end, zone)
            if period[0] < period[1]:
                yield period


def _instant(day: date, clock: str, zone: ZoneInfo) -> float:
    """Say when the clocks of a zone show a time of a day, or pass it, for the first time."""
    hour, minute = int(clock[:2]), int(clock[3:])
    shown = datetime.combine(day, time(hour % 24, minute)) + _DAY * (hour // 24)
    at = shown.replace(tzinfo=zone).timestamp()
    if _shown(at, zone) == shown:
        return at
    before, after = int(shown.replace(tzinfo=zone, fold=1).timestamp()), int(at)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _shown(middle, zone) >= shown else (middle, after)
    return float(after)


def _shown(at: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None)
