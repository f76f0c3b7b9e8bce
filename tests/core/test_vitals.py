"""Whether a backend has died, told from two looks at its counters."""

import pytest

from triton_operator.core.vitals import Counts, has_died


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
    assert has_died({"m/1": before}, {"m/1": after}) is expected
    assert has_died({"x/1": before, "m/1": before}, {"x/1": before, "m/1": after}) is expected


def test_one_look_is_not_enough() -> None:
    assert not has_died({}, {"m/1": Counts(0, 0, 100)})
