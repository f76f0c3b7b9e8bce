"""Whether a backend may have died, told from two looks at its counters."""

import pytest

from triton_operator.core.vitals import Counts, has_executed, suspects

M, X = ("m", "1"), ("x", "1")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(Counts(9, 9, 1), Counts(9, 9, 4), True, id="failures only"),
        pytest.param(Counts(9, 9, 1), Counts(9, 9, 3), False, id="too few of them"),
        pytest.param(Counts(9, 9, 1), Counts(9, 9, 1), False, id="no requests"),
        pytest.param(Counts(9, 9, 1), Counts(12, 9, 4), False, id="a model that raises an error for each request"),
        pytest.param(Counts(9, 9, 1), Counts(9, 10, 9), False, id="one answered all the same"),
        pytest.param(Counts(9, 9, 9), Counts(0, 0, 3), False, id="a restarted Triton"),
    ],
)
def test_a_backend_has_died_when_requests_fail_in_it_and_none_is_executed(
    before: Counts, after: Counts, expected: bool
) -> None:
    found = [M] if expected else []
    assert list(suspects({M: before}, {M: after})) == found
    assert list(suspects({X: before, M: before}, {X: before, M: after})) == found


def test_one_look_is_not_enough() -> None:
    assert list(suspects({}, {M: Counts(0, 0, 100)})) == []


def test_a_pod_lives_when_any_of_its_models_executes() -> None:
    before = {M: Counts(9, 9, 4), X: Counts(1, 1, 0)}
    assert has_executed(before, before | {X: Counts(2, 1, 0)})
    assert has_executed(before, before | {M: Counts(0, 0, 0)})  # its Triton was restarted
    assert not has_executed(before, before | {M: Counts(9, 9, 8)})
    assert not has_executed(before, {})
