"""Replicas change as fast as spec.autoscaling.behavior permits, with the fields and meaning of autoscaling/v2."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.autoscaling import Behavior
from triton_operator.core.behavior import History, begin, changed, held_until, limited, recommended, tolerated

Json = dict[str, Any]
NOW = 10_000.0


def policy(kind: str, value: int, seconds: int) -> Json:
    return {"type": kind, "value": value, "periodSeconds": seconds}


def up(*policies: Json, **more: Any) -> Behavior:
    return Behavior.model_validate({"scaleUp": ({"policies": list(policies)} if policies else {}) | more})


def down(*policies: Json, **more: Any) -> Behavior:
    return Behavior.model_validate({"scaleDown": ({"policies": list(policies)} if policies else {}) | more})


def after(*changes: tuple[float, int]) -> History:
    """Changes so many seconds ago."""
    return History(changes=tuple((NOW - ago, by) for ago, by in changes))


def heard(*recommendations: tuple[float, int]) -> History:
    """Recommendations so many seconds ago."""
    return History(recommendations=tuple((NOW - ago, replicas) for ago, replicas in recommendations))


@pytest.mark.parametrize(
    ("behavior", "history", "current", "wanted", "replicas"),
    [
        pytest.param(up(), History(), 2, 100, 6, id="left out: 4 pods in 15 s are more than 100 % of 2"),
        pytest.param(up(), History(), 10, 100, 20, id="left out: 100 % of 10 in 15 s are more than 4 pods"),
        pytest.param(up(selectPolicy="Min"), History(), 10, 100, 14, id="left out, with Min: the smaller"),
        pytest.param(up(selectPolicy="Min"), History(), 2, 100, 4, id="left out, with Min: the smaller, of few"),
        pytest.param(up(), after((20, 10)), 20, 100, 40, id="what changed before the period does not count"),
        pytest.param(up(), after((15, 10)), 20, 100, 40, id="the period is open at its beginning"),
        pytest.param(up(), after((14, 10)), 20, 100, 20, id="what was added within the period counts"),
        pytest.param(
            up(policy("Pods", 100, 120)), after((100, 1), (60, 5), (20, 9)), 100, 500, 185, id="pods, some added"
        ),
        pytest.param(
            up(policy("Percent", 200, 120)), after((100, 2), (60, 4), (20, 6)), 100, 500, 264, id="percent, some added"
        ),
        pytest.param(up(policy("Pods", 4, 60)), after((30, -3)), 7, 20, 14, id="what was removed counts the other way"),
        pytest.param(up(policy("Pods", 4, 60)), after((30, 6)), 16, 20, 16, id="more than permitted was added before"),
        pytest.param(up(policy("Percent", 10, 60)), History(), 1, 9, 2, id="a share is rounded up"),
        pytest.param(up(policy("Percent", 10, 60)), History(), 100, 900, 110, id="a share that is whole stays so"),
        pytest.param(up(policy("Pods", 9, 60), policy("Pods", 2, 15)), after((30, 9)), 19, 99, 21, id="Max"),
        pytest.param(
            up(policy("Pods", 9, 60), policy("Pods", 2, 15), selectPolicy="Min"), after((30, 9)), 19, 99, 19, id="Min"
        ),
        pytest.param(up(selectPolicy="Disabled"), History(), 3, 9, 3, id="Disabled"),
        pytest.param(up(), History(), 5, 7, 7, id="within what is permitted"),
    ],
)
def test_more_replicas_come_as_fast_as_permitted(
    behavior: Behavior, history: History, current: int, wanted: int, replicas: int
) -> None:
    assert limited(history, current, wanted, behavior, NOW)[0] == replicas


@pytest.mark.parametrize(
    ("behavior", "history", "current", "wanted", "replicas"),
    [
        pytest.param(down(), History(), 40, 1, 1, id="left out: all in 15 s"),
        pytest.param(down(policy("Pods", 4, 60)), History(), 40, 1, 36, id="pods"),
        pytest.param(down(policy("Pods", 4, 60)), after((59, -3)), 40, 1, 39, id="pods, some removed"),
        pytest.param(down(policy("Pods", 4, 60)), after((59, -5)), 40, 1, 40, id="more than permitted was removed"),
        pytest.param(down(policy("Pods", 4, 60)), after((59, 5)), 40, 1, 31, id="what was added counts the other way"),
        pytest.param(down(policy("Percent", 10, 60)), History(), 80, 1, 72, id="percent"),
        pytest.param(down(policy("Percent", 10, 60)), History(), 3, 1, 2, id="a share never comes to nothing"),
        pytest.param(down(policy("Percent", 90, 60)), History(), 10, 0, 1, id="a share that is whole stays so"),
        pytest.param(down(policy("Percent", 250, 60)), History(), 10, 1, 1, id="more than all"),
        pytest.param(down(policy("Pods", 4, 60), policy("Percent", 10, 60)), History(), 80, 1, 72, id="Max"),
        pytest.param(
            down(policy("Pods", 4, 60), policy("Percent", 10, 60), selectPolicy="Min"), History(), 80, 1, 76, id="Min"
        ),
        pytest.param(down(selectPolicy="Disabled"), History(), 9, 3, 9, id="Disabled"),
    ],
)
def test_replicas_go_as_fast_as_permitted(
    behavior: Behavior, history: History, current: int, wanted: int, replicas: int
) -> None:
    assert limited(history, current, wanted, behavior, NOW)[0] == replicas


@pytest.mark.parametrize(
    ("behavior", "history", "current", "wanted", "replicas"),
    [
        pytest.param(down(), heard((299, 7)), 9, 2, 7, id="fewer, once nothing more was recommended for 300 s"),
        pytest.param(down(), heard((300, 7)), 9, 2, 2, id="the window is open at its beginning"),
        pytest.param(down(), heard((10, 20)), 9, 2, 9, id="fewer is never more"),
        pytest.param(down(stabilizationWindowSeconds=0), heard((1, 7)), 9, 2, 2, id="no window"),
        pytest.param(down(stabilizationWindowSeconds=60), heard((90, 8), (50, 5), (20, 3)), 9, 2, 5, id="the most"),
        pytest.param(up(), heard((1, 3)), 2, 6, 6, id="more at once, where the window is left out"),
        pytest.param(up(stabilizationWindowSeconds=60), heard((50, 4), (20, 5)), 3, 6, 4, id="the fewest of more"),
        pytest.param(up(stabilizationWindowSeconds=60), heard((50, 1)), 3, 6, 3, id="more is never fewer"),
        pytest.param(up(stabilizationWindowSeconds=3600), heard((3599, 4)), 3, 6, 4, id="the longest window"),
        pytest.param(down(policy("Pods", 1, 60)), heard((100, 7)), 9, 2, 8, id="then the policies"),
    ],
)
def test_of_a_window_the_recommendation_counts_that_changes_least(
    behavior: Behavior, history: History, current: int, wanted: int, replicas: int
) -> None:
    assert limited(history, current, wanted, behavior, NOW)[0] == replicas


@pytest.mark.parametrize(
    ("behavior", "history", "current", "wanted", "why"),
    [
        pytest.param(up(), History(), 2, 6, "", id="nothing"),
        pytest.param(up(), History(), 2, 9, "behavior.scaleUp permits 4 Pods in 15 s", id="a policy"),
        pytest.param(down(selectPolicy="Disabled"), History(), 2, 1, "behavior.scaleDown.selectPolicy is Disabled"),
        pytest.param(
            down(),
            heard((10, 5)),
            7,
            1,
            "5 were recommended within the 300 s of behavior.scaleDown.stabilizationWindowSeconds",
            id="a window",
        ),
    ],
)
def test_it_says_which_field_holds(behavior: Behavior, history: History, current: int, wanted: int, why: str) -> None:
    assert limited(history, current, wanted, behavior, NOW)[1] == why


@pytest.mark.parametrize("behavior", [None, Behavior()])
def test_without_a_word_of_a_direction_nothing_holds(behavior: Behavior | None) -> None:
    assert limited(heard((1, 5)), 3, 900, behavior, NOW) == (900, "")
    assert limited(heard((1, 5)), 900, 3, behavior, NOW) == (3, "")


def test_a_word_of_one_direction_leaves_the_other_free() -> None:
    assert limited(heard((1, 5)), 3, 900, down(selectPolicy="Disabled"), NOW) == (900, "")
    assert limited(heard((1, 5)), 900, 3, up(selectPolicy="Disabled"), NOW) == (3, "")


def test_after_a_restart_the_first_look_gives_nothing_up() -> None:
    assert limited(begin(9, NOW), 9, 1, down(), NOW + 5)[0] == 9


def test_it_is_known_until_when_replicas_are_kept() -> None:
    assert held_until(heard((100, 7), (50, 5), (20, 3)), 5, down()) == NOW - 50 + 300
    assert held_until(heard((100, 7)), 8, down()) == 0
    assert held_until(heard((100, 7)), 7, up()) == 0
    assert held_until(heard((100, 7)), 7, None) == 0


@pytest.mark.parametrize(
    ("behavior", "ratio", "expected"),
    [
        pytest.param(up(), 1.1, True, id="left out: a tenth"),
        pytest.param(up(), 1.11, False, id="more than a tenth"),
        pytest.param(up(), 0.95, True, id="nothing said of fewer: a tenth too"),
        pytest.param(down(), 0.9, True, id="left out: a tenth less"),
        pytest.param(down(), 1.05, True, id="nothing said of more: a tenth too"),
        pytest.param(up(tolerance="50m"), 1.06, False, id="thousandths"),
        pytest.param(up(tolerance="0.5"), 1.5, True, id="decimal"),
        pytest.param(up(tolerance=0), 1.0, True, id="none, on target"),
        pytest.param(up(tolerance=0), 1.001, False, id="none"),
        pytest.param(up(tolerance="1Ki"), 1025.0, True, id="any quantity"),
        pytest.param(up(tolerance="1k"), 1002.0, False, id="any quantity, exceeded"),
        pytest.param(None, 1.0, True, id="on target"),
        pytest.param(None, 1.11, False, id="no behaviour: more than a tenth"),
        pytest.param(up(), math.nan, False, id="not a number"),
    ],
)
def test_a_small_difference_is_tolerated(behavior: Behavior | None, ratio: float, expected: bool) -> None:
    assert tolerated(ratio, behavior) is expected


policies = st.lists(
    st.builds(policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 150), st.sampled_from([5, 15, 60, 1800])),
    min_size=1,
    max_size=3,
)
directions = st.fixed_dictionaries(
    {},
    optional={
        "policies": policies,
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "stabilizationWindowSeconds": st.sampled_from([0, 10, 300]),
    },
)
behaviors = st.fixed_dictionaries({}, optional={"scaleUp": directions, "scaleDown": directions}).map(
    Behavior.model_validate
)
steps = st.lists(st.tuples(st.sampled_from([5, 5, 60]), st.integers(1, 200)), min_size=1, max_size=30)


def walk(behavior: Behavior, start: int, wishes: list[tuple[int, int]]) -> list[tuple[float, int, int, History]]:
    """Follow wishes: the time, what was wanted, what there was then, and what is remembered, of each look."""
    now, current, history = NOW, start, begin(start, NOW)
    looks = [(now, start, start, history)]
    for seconds, wanted in wishes:
        now += seconds
        replicas, _ = limited(history, current, wanted, behavior, now)
        history = changed(recommended(history, wanted, behavior, now), current, replicas, behavior, now)
        current = replicas
        looks.append((now, wanted, current, history))
    return looks


@given(behavior=behaviors, start=st.integers(1, 100), wishes=steps)
def test_replicas_go_towards_what_is_wanted_and_never_past_it(
    behavior: Behavior, start: int, wishes: list[tuple[int, int]]
) -> None:
    before = start
    for _, wanted, replicas, _ in walk(behavior, start, wishes):
        assert min(before, wanted) <= replicas <= max(before, wanted)
        before = replicas


@given(value=st.integers(1, 20), seconds=st.sampled_from([5, 15, 60, 300]), wishes=steps)
def test_while_none_goes_no_more_pods_come_within_any_period_than_the_only_policy_permits(
    value: int, seconds: int, wishes: list[tuple[int, int]]
) -> None:
    rising = sorted(wanted for _, wanted in wishes)
    looks = walk(
        up(policy("Pods", value, seconds)), 1, [(wish[0], to) for wish, to in zip(wishes, rising, strict=True)]
    )

    rises = [(at, after_ - before) for (_, _, before, _), (at, _, after_, _) in pairwise(looks)]
    for at, _ in rises:
        assert sum(by for then, by in rises if at - seconds < then <= at) <= value


@given(behavior=behaviors, start=st.integers(1, 100), wishes=steps)
def test_no_look_changes_more_than_the_most_generous_policy_permits(
    behavior: Behavior, start: int, wishes: list[tuple[int, int]]
) -> None:
    rules = behavior.scale_up
    before = start
    for at, _, replicas, history in walk(behavior, start, wishes):
        if rules is not None and rules.policies and replicas > before:
            starts = [
                replicas - sum(by for then, by in history.changes if then > at - one.period_seconds)
                for one in rules.policies
            ]
            permitted = [
                begun + one.value if one.type == "Pods" else math.ceil(begun * (100 + one.value) / 100)
                for begun, one in zip(starts, rules.policies, strict=True)
            ]
            assert replicas <= (min if rules.select_policy == "Min" else max)(permitted)
        before = replicas


@given(start=st.integers(1, 100), wishes=steps)
def test_what_is_disabled_never_moves_that_way(start: int, wishes: list[tuple[int, int]]) -> None:
    for behavior, sign in ((up(selectPolicy="Disabled"), 1), (down(selectPolicy="Disabled"), -1)):
        counts = [replicas for _, _, replicas, _ in walk(behavior, start, wishes)]
        assert all(sign * after_ <= sign * before for before, after_ in pairwise(counts))


@given(
    behavior=behaviors,
    start=st.integers(1, 100),
    wishes=steps,
    wanted=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_who_wants_more_never_gets_fewer(
    behavior: Behavior, start: int, wishes: list[tuple[int, int]], wanted: tuple[int, int]
) -> None:
    at, _, current, history = walk(behavior, start, wishes)[-1]

    fewer, more = (limited(history, current, each, behavior, at + 5)[0] for each in sorted(wanted))

    assert fewer <= more


@given(behavior=behaviors, start=st.integers(1, 100), wishes=steps)
def test_what_is_forgotten_makes_no_difference(behavior: Behavior, start: int, wishes: list[tuple[int, int]]) -> None:
    now, current, whole = NOW, start, begin(start, NOW)
    remembered = [replicas for _, _, replicas, _ in walk(behavior, start, wishes)]
    for (seconds, wanted), expected in zip(wishes, remembered[1:], strict=True):
        now += seconds
        replicas, _ = limited(whole, current, wanted, behavior, now)
        assert replicas == expected
        whole = History(
            recommendations=(*whole.recommendations, (now, wanted)),
            changes=(*whole.changes, (now, replicas - current)),
        )
        current = replicas


def test_what_is_remembered_is_bounded() -> None:
    behavior = Behavior.model_validate({"scaleUp": {"stabilizationWindowSeconds": 3600}, "scaleDown": {}})
    history = begin(1, NOW)
    for look in range(5000):
        wanted = 1 + (look * 7919) % 1000
        history = recommended(history, wanted, behavior, NOW + 5 * look)
        history = changed(history, wanted, wanted + 1, behavior, NOW + 5 * look)

    assert len(history.recommendations) <= 100
    assert len(history.changes) <= 3
    assert all(at > NOW + 5 * 4999 - 3600 for at, _ in history.recommendations)


def test_an_old_change_is_forgotten_though_nothing_changes_any_more() -> None:
    history = changed(after((1800, 5)), 7, 7, up(policy("Pods", 1, 1800)), NOW)

    assert history.changes == ()
