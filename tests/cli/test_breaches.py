from copy import deepcopy
from typing import Any

import pytest

from tests.api.breaches import breaches as bounds
from tests.api.full_spec import EVERY, MINIMAL
from tests.api.rule_samples import NAME_WORDS, REFUSED_NAMES, TAKEN_NAMES, acceptances, refusals
from tests.api.test_admission import laid_over, normal
from tests.api.test_written_specs import SERVICES
from triton_operator.cli.breaches import Breach, breaches, schema

Json = dict[str, Any]

SCHEMA: Json = schema()
SPEC: Json = SCHEMA["properties"]["spec"]


def of(spec: Any) -> tuple[Breach, ...]:
    return breaches(spec, SPEC, "spec")


@pytest.mark.parametrize(("field", "words", "overlay"), [pytest.param(*case, id=name) for name, *case in refusals()])
def test_what_breaks_a_rule_is_told_in_its_words_without_a_cluster(field: str, words: str, overlay: Json) -> None:
    found = of(laid_over(MINIMAL, overlay))

    said = [each.message for each in found if normal(each.field) == normal(f"spec.{field}")]
    assert any(words in message for message in said), found


@pytest.mark.parametrize("overlay", [pytest.param(overlay, id=name) for name, overlay in acceptances()])
def test_what_keeps_the_rules_is_taken_without_a_cluster(overlay: Json) -> None:
    assert of(laid_over(MINIMAL, overlay)) == ()


@pytest.mark.parametrize(("spec", "field", "words"), [pytest.param(*case, id=name) for name, *case in bounds()])
def test_what_breaks_a_bound_is_told_without_a_cluster(spec: Json, field: str, words: str) -> None:
    found = of(spec)

    assert any(normal(each.field) == normal(field) for each in found), (field, words, found)


@pytest.mark.parametrize("spec", SERVICES)
def test_a_written_spec_is_taken_without_a_cluster(spec: Json) -> None:
    assert of(spec) == ()


def test_whole_specs_are_taken_and_stay_as_they_are() -> None:
    for spec in EVERY:
        before = deepcopy(spec)

        assert of(spec) == ()
        assert spec == before


@pytest.mark.parametrize(
    ("name", "words"),
    [*((name, NAME_WORDS) for name in REFUSED_NAMES), *((name, "") for name in TAKEN_NAMES)],
)
def test_names_are_judged_without_a_cluster(name: str, words: str) -> None:
    found = breaches({"metadata": {"name": name}, "spec": MINIMAL}, SCHEMA, "")

    assert [each.message.startswith(words) for each in found if words] == ([True] if words else [])


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        pytest.param(
            {"runtime": {"imge": "a"}}, Breach("spec.runtime.imge", "unknown field; is image meant?"), id="misspelled"
        ),
        pytest.param(
            {"replicas": "2"},
            Breach("spec.replicas", "must be of type integer, and is a text: leave the quotes out"),
            id="quoted number",
        ),
        pytest.param(
            {"rollout": {"strategy": "canary"}},
            Breach(
                "spec.rollout.strategy",
                'Unsupported value: "canary": supported values: "RollingUpdate", "Canary", "BlueGreen", "Recreate"',
            ),
            id="wrong word",
        ),
    ],
)
def test_a_slip_is_told_with_what_is_meant(overlay: Json, told: Breach) -> None:
    assert of(laid_over(MINIMAL, overlay)) == (told,)
