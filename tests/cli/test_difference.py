from typing import Any

import pytest

from tests.cli.samples import NEW, OLD, on_trial, service
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.cli.difference import Change, Difference, difference
from triton_operator.core.record import Held, Record
from triton_operator.core.resolution import Resolution, Resolved, key_of
from triton_operator.core.revision import Revision, revision_name, spec_hash

Json = dict[str, Any]

SPEC: Json = {
    "model": {"name": "digits", "uri": "pvc://models/digits", "version": 1},
    "replicas": 2,
    "gpu": {"count": 1},
}


def resolved(spec: Json, version: int = 1) -> tuple[str, Resolution]:
    read = InferenceServiceSpec.model_validate(spec)
    resolution = Resolution(key_of(read), (Resolved("digits", version, f"sha{version}"),), ())
    return revision_name("digits", read, resolution), resolution


def revision(name: str, resolution: Resolution, number: int = 1) -> Revision:
    return Revision(name, number, "digits", "pvc://models/digits", 1, 1, 900, {}, resolution)


def differs(after: Json, before: Json = SPEC, *, record: Record | None = None, **status: Any) -> Difference:
    name, resolution = resolved(before)
    stable = {"name": name, "version": 1, "replicas": 2, "ready": 2, "weight": 100}
    kept = {name: revision(name, resolution)}
    of = service(spec=before, **({"stable": stable} | status))
    return difference(after, of, record or Record(stable=name, resolution=resolution), kept, name="digits")


def test_the_same_spec_changes_nothing() -> None:
    found = differs(SPEC)

    assert found.changes == ()
    assert found.effects == ("Nothing would change.",)


def test_defaults_that_are_written_down_change_nothing() -> None:
    assert differs(SPEC | {"suspend": False, "rollout": {"strategy": "RollingUpdate"}}).changes == ()


def test_a_file_without_replicas_leaves_them_to_whoever_scales() -> None:
    assert differs({key: value for key, value in SPEC.items() if key != "replicas"}).changes == ()


def test_more_replicas_make_no_revision() -> None:
    found = differs(SPEC | {"replicas": 4})

    assert found.changes == (Change("spec.replicas", 2, 4),)
    assert not found.new
    assert found.effects == ("The revision stays the same: no pod is restarted.", "2 pods more: 2 to 4.")


def test_a_version_that_is_left_out_and_was_found_makes_no_revision() -> None:
    left_out = SPEC | {"model": {"name": "digits", "uri": "pvc://models/digits"}}
    _, resolution = resolved(left_out)

    found = differs(left_out, record=Record(resolution=resolution))

    assert not found.new
    assert "no pod is restarted" in found.effects[0]


def test_a_new_image_makes_a_revision_whose_name_is_told() -> None:
    found = differs(SPEC | {"runtime": {"image": "triton:2"}})

    assert found.new
    assert found.revision in found.effects[0]
    assert found.effects[0].startswith("It makes a new revision, digits-")
    assert found.effects[1].startswith("All 2 pods are replaced, at most 1 further pod at a time, on 1 further GPU; ")


def test_a_new_version_is_looked_up_first() -> None:
    found = differs(SPEC | {"model": SPEC["model"] | {"version": 2}})

    assert found.revision == ""
    assert "looked up at the sources first" in found.effects[0]


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({"strategy": "Recreate"}, "nothing serves meanwhile"),
        ({"strategy": "BlueGreen"}, "on 2 further GPUs; then all requests move at once"),
        (
            {"strategy": "Canary", "analysis": {}, "steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}]},
            "as a canary, judged by its requests: 20 %, until a person promotes, 50 %, then promotion",
        ),
    ],
)
def test_how_it_would_take_over_is_told(rollout: Json, words: str) -> None:
    found = differs(SPEC | {"runtime": {"image": "triton:2"}, "rollout": rollout})

    assert any(words in effect for effect in found.effects), found.effects


def test_a_spec_that_was_rejected_stays_so() -> None:
    after = SPEC | {"runtime": {"image": "triton:2"}}
    held = Held(spec_hash(InferenceServiceSpec.model_validate(after), "person"), NEW, OLD, "person", "Undone", "m", "t")

    assert differs(after, record=Record(held=held)).effects[0].startswith("It was rejected (Undone) and stays so")


def test_other_bounds_begin_the_evidence_of_a_canary_anew() -> None:
    trial = on_trial()
    after = trial.spec | {"rollout": {"strategy": "Canary", "analysis": {"maxDurationSeconds": 60}}}

    found = difference(after, trial, None, {}, name="digits")

    assert "its evidence begins anew" in found.effects[-1]


def test_a_service_that_is_not_there_is_new() -> None:
    found = difference(SPEC, None, None, {}, name="digits")

    assert not found.exists
    assert "2 pods on 2 GPUs" in found.effects[0]


def test_to_suspend_frees_the_gpus() -> None:
    assert differs(SPEC | {"suspend": True}).effects[-1] == "All pods end, and their GPUs are free."
