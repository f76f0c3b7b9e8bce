"""Schedules bound replicas by the clocks of their zone, on the days when those change too."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.core.schedules import Bounds, bounds

Json = dict[str, Any]
BERLIN = "Europe/Berlin"


def spec(*schedules: Json, least: int = 1, most: int = 10) -> Autoscaling:
    named = [{"name": f"s{number}"} | schedule for number, schedule in enumerate(schedules)]
    return Autoscaling.model_validate({"minReplicas": least, "maxReplicas": most, "schedules": named or None})


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def local(text: str, zone: str = BERLIN, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def hours(schedule: Json, begin: float, end: float) -> list[str]:
    """When, in UTC, the schedule (minReplicas 5) begins (+) and ends (-), found by looking every minute."""
    autoscaling = spec({"minReplicas": 5} | schedule)
    found, before = [], bounds(autoscaling, begin - 60).least
    for at in range(int(begin), int(end), 60):
        least = bounds(autoscaling, at).least
        if least != before:
            found.append(("+" if least > before else "-") + datetime.fromtimestamp(at, UTC).strftime("%dT%H:%M"))
        before = least
    return found


def test_without_schedules_the_bounds_are_those_of_the_spec_for_ever() -> None:
    assert bounds(spec(least=2, most=7), utc("2026-03-02T12:00")) == Bounds(2, 7)


@pytest.mark.parametrize(
    ("at", "least"),
    [
        pytest.param("2026-03-02T08:29:59", 1, id="a second before"),
        pytest.param("2026-03-02T08:30:00", 4, id="from"),
        pytest.param("2026-03-02T17:59:59", 4, id="the last second"),
        pytest.param("2026-03-02T18:00:00", 1, id="to"),
        pytest.param("2026-03-07T12:00:00", 1, id="on another day of the week"),
    ],
)
def test_a_schedule_applies_between_from_and_to_on_its_days(at: str, least: int) -> None:
    office = {
        "days": ["Mon", "Tue", "Wed", "Thu", "Fri"],
        "from": "08:30",
        "to": "18:00",
        "timeZone": BERLIN,
        "minReplicas": 4,
    }

    assert bounds(spec(office), local(at)).least == least


@pytest.mark.parametrize(
    ("at", "most"),
    [
        pytest.param("2026-03-06T21:59", 10, id="before, on Friday"),
        pytest.param("2026-03-06T22:00", 2, id="Friday night"),
        pytest.param("2026-03-07T05:59", 2, id="Saturday morning, as Friday's night goes on"),
        pytest.param("2026-03-07T06:00", 10, id="over"),
        pytest.param("2026-03-07T22:00", 10, id="Saturday night is not listed"),
        pytest.param("2026-03-06T05:00", 10, id="Friday morning belongs to Thursday's night"),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(at: str, most: int) -> None:
    night = {"days": ["Fri"], "from": "22:00", "to": "06:00", "maxReplicas": 2}

    assert bounds(spec(night), utc(at)).most == most


@pytest.mark.parametrize("to", ["24:00", "00:00"])
def test_a_period_may_end_at_midnight(to: str) -> None:
    evening = spec({"from": "20:00", "to": to, "minReplicas": 3})

    assert bounds(evening, utc("2026-03-02T23:59:59")).least == 3
    assert bounds(evening, utc("2026-03-03T00:00:00")).least == 1


def test_without_hours_it_is_the_whole_day() -> None:
    weekend = spec({"days": ["Sat", "Sun"], "maxReplicas": 2})

    assert bounds(weekend, utc("2026-03-06T23:59:59")).most == 10
    assert bounds(weekend, utc("2026-03-07T00:00:00")).most == 2
    assert bounds(weekend, utc("2026-03-08T23:59:59")).most == 2
    assert bounds(weekend, utc("2026-03-09T00:00:00")).most == 10


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        pytest.param([{"minReplicas": 3}, {"minReplicas": 5}], (5, 10), id="the largest minReplicas"),
        pytest.param([{"maxReplicas": 8}, {"maxReplicas": 4}], (1, 4), id="the smallest maxReplicas"),
        pytest.param([{"minReplicas": 3}, {"maxReplicas": 4}], (3, 4), id="one of each"),
        pytest.param(
            [{"minReplicas": 8, "maxReplicas": 9}, {"maxReplicas": 4}], (4, 4), id="the most in contradiction"
        ),
        pytest.param([{"minReplicas": 20, "maxReplicas": 40}], (20, 40), id="beyond the spec's own"),
    ],
)
def test_of_schedules_that_apply_the_tightest_bounds_hold_in_any_order(
    schedules: list[Json], expected: tuple[int, int]
) -> None:
    for order in (schedules, schedules[::-1]):
        found = bounds(spec(*order), utc("2026-03-02T12:00"))
        assert (found.least, found.most) == expected


def test_a_schedule_may_go_below_the_least_of_the_spec() -> None:
    night = spec({"minReplicas": 1, "maxReplicas": 2}, least=5)

    found = bounds(night, utc("2026-03-02T12:00"))

    assert (found.least, found.most) == (1, 2)


def test_it_says_which_schedules_set_the_bounds() -> None:
    found = bounds(spec({"minReplicas": 3}, {"minReplicas": 5, "to": "13:00"}, {"maxReplicas": 8}), utc("2026-03-02"))

    assert found.why == "minReplicas 5 by schedule s1 and maxReplicas 8 by schedule s2"
    assert bounds(spec({"minReplicas": 3, "to": "13:00"}), utc("2026-03-02T14:00")).why == ""


def test_the_next_change_is_when_any_schedule_begins_or_ends() -> None:
    two = spec({"from": "08:00", "to": "18:00", "minReplicas": 3}, {"days": ["Wed"], "minReplicas": 5})

    assert bounds(two, utc("2026-03-02T07:00")).next_change == utc("2026-03-02T08:00")
    assert bounds(two, utc("2026-03-02T08:00")).next_change == utc("2026-03-02T18:00")
    assert bounds(two, utc("2026-03-03T18:00")).next_change == utc("2026-03-04T00:00")


def test_the_next_change_may_be_a_week_away() -> None:
    monday = spec({"days": ["Mon"], "from": "08:00", "to": "08:01", "minReplicas": 3})

    assert bounds(monday, utc("2026-03-02T08:01")).next_change == utc("2026-03-09T08:00")


@pytest.mark.parametrize("name", ["Europe/Brelin", "America", "Nowhere"])
def test_an_unknown_zone_is_told_and_the_other_bounds_hold(name: str) -> None:
    lost = spec({"minReplicas": 2}, {"minReplicas": 5, "timeZone": name}, least=1)

    found = bounds(lost, utc("2026-03-02T12:00"))

    assert (found.least, found.most) == (2, 10)
    assert found.trouble == (
        f"spec.autoscaling.schedules[1].timeZone: there is no time zone {name}, so schedule s1 does not apply. Take a"
        " name of the IANA database, such as Europe/Berlin"
    )


def test_with_unknown_zones_only_the_bounds_of_the_spec_hold_and_nothing_changes() -> None:
    found = bounds(spec({"minReplicas": 5, "timeZone": "Nowhere"}), utc("2026-03-02T12:00"))

    assert (found.least, found.most, found.why, found.next_change) == (1, 10, "", 0.0)


# Berlin's clocks go from 02:00 to 03:00 at 01:00 UTC of 2026-03-29, and from 03:00 to 02:00 at 01:00 UTC of 2026-10-25.
@pytest.mark.parametrize(
    ("schedule", "day", "expected"),
    [
        pytest.param({"from": "08:00", "to": "18:00"}, "2026-03-28", ["+28T07:00", "-28T17:00"], id="in winter"),
        pytest.param({"from": "08:00", "to": "18:00"}, "2026-03-29", ["+29T06:00", "-29T16:00"], id="in summer"),
        pytest.param({"from": "02:30", "to": "06:00"}, "2026-03-29", ["+29T01:00", "-29T04:00"], id="from is skipped"),
        pytest.param({"from": "00:30", "to": "02:30"}, "2026-03-29", ["+28T23:30", "-29T01:00"], id="to is skipped"),
        pytest.param({"from": "02:10", "to": "02:50"}, "2026-03-29", [], id="all of it is skipped"),
        pytest.param({"from": "02:30", "to": "06:00"}, "2026-10-25", ["+25T00:30", "-25T05:00"], id="from comes twice"),
        pytest.param({"from": "00:30", "to": "02:30"}, "2026-10-25", ["+24T22:30", "-25T00:30"], id="to comes twice"),
        pytest.param({"from": "02:10", "to": "02:50"}, "2026-10-25", ["+25T00:10", "-25T00:50"], id="all comes twice"),
    ],
)
def test_when_the_clocks_change_a_schedule_follows_them(schedule: Json, day: str, expected: list[str]) -> None:
    midnight = local(f"{day}T00:00")

    assert hours(schedule | {"timeZone": BERLIN}, midnight, midnight + 20 * 3600) == expected


def test_a_night_is_an_hour_longer_or_shorter_when_the_clocks_change() -> None:
    night = {"from": "22:00", "to": "06:00", "timeZone": BERLIN}

    assert hours(night, local("2026-03-28T12:00"), local("2026-03-29T12:00")) == ["+28T21:00", "-29T04:00"]
    assert hours(night, local("2026-10-24T12:00"), local("2026-10-25T12:00")) == ["+24T20:00", "-25T05:00"]


def test_a_day_that_a_zone_left_out_has_no_hours() -> None:
    friday = spec({"days": ["Fri"], "timeZone": "Pacific/Apia", "minReplicas": 5})  # 2011-12-30 was left out

    leasts = {bounds(friday, utc("2011-12-29T00:00") + 1800 * number).least for number in range(5 * 48)}

    assert leasts == {1}


def test_zones_with_quarters_of_an_hour_are_followed() -> None:
    kathmandu = {"from": "06:00", "to": "07:00", "timeZone": "Asia/Kathmandu"}

    assert hours(kathmandu, utc("2026-03-02T00:00"), utc("2026-03-02T04:00")) == ["+02T00:15", "-02T01:15"]


clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 30, 59]))
schedules = st.builds(
    lambda start, end, more: {"from": start, "to": "24:00" if end == start else end} | more,
    clocks,
    clocks,
    st.fixed_dictionaries(
        {
            "minReplicas": st.integers(1, 5),
            "timeZone": st.sampled_from(["UTC", BERLIN, "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"]),
        },
        optional={
            "maxReplicas": st.integers(5, 20),
            "days": st.lists(st.sampled_from(["Mon", "Wed", "Sat", "Sun"]), min_size=1, unique=True),
        },
    ),
)
times = st.integers(int(utc("2011-12-20")), int(utc("2027-12-31")))


@given(parts=st.lists(schedules, min_size=1, max_size=4), now=times)
def test_the_bounds_stay_until_the_next_change(parts: list[Json], now: int) -> None:
    autoscaling = spec(*parts)
    found = bounds(autoscaling, now)

    assert now < found.next_change <= now + timedelta(days=9).total_seconds()
    for share in (0.1, 0.5, 0.9, 1.0):
        later = bounds(autoscaling, now + share * (found.next_change - now) - (share == 1.0))
        assert (later.least, later.most, later.why) == (found.least, found.most, found.why)


@given(parts=st.lists(schedules, min_size=1, max_size=4), now=times)
def test_the_least_is_never_above_the_most(parts: list[Json], now: int) -> None:
    found = bounds(spec(*parts, least=3, most=4), now)

    assert 1 <= found.least <= found.most


@given(part=schedules, now=times)
def test_a_schedule_applies_when_the_clock_shows_its_hours(part: Json, now: int) -> None:
    shown = datetime.fromtimestamp(now, ZoneInfo(part["timeZone"]))
    offsets = {(shown + timedelta(hours=hour)).utcoffset() for hour in range(-36, 37)}
    clock, day = shown.strftime("%H:%M"), shown
    inside = part["from"] <= clock < part["to"]
    if part["to"] < part["from"]:
        inside = clock >= part["from"] or clock < part["to"]
        day = shown if clock >= part["from"] else shown - timedelta(days=1)
    inside = inside and ("days" not in part or day.strftime("%a") in part["days"])

    if len(offsets) == 1:
        assert bool(bounds(spec(part), now).why) == inside
