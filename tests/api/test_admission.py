from copy import deepcopy
from typing import Any

import pytest

from triton_operator.api.spec import InferenceServiceSpec

from .api_server import JSON, Answer, ApiServer, inference_service, services_path
from .breaches import breaches
from .crd_tree import messages
from .full_spec import EVERY, MINIMAL
from .rule_samples import NAME_WORDS, REFUSED_NAMES, SAMPLES, TAKEN_NAMES, acceptances, refusals

Json = dict[str, Any]


def laid_over(base: Json, overlay: Json) -> Json:
    merged = deepcopy(base)
    for key, value in overlay.items():
        merged[key] = (
            laid_over(merged[key], value) if isinstance(merged.get(key), dict) and isinstance(value, dict) else value
        )
    return merged


def normal(field: str) -> str:
    """Write a key of a map one way: the server says a.b or a[b], depending on who looked."""
    return field.replace("[", ".").replace("]", "")


def assert_refused(answer: Answer, *, field: str, words: str) -> None:
    assert answer.code == 422, answer.body
    said = [message for where, message in answer.causes if normal(where) == normal(field)]
    assert any(words in message for message in said), answer.causes


def test_every_rule_has_samples_that_it_refuses_and_samples_that_it_takes() -> None:
    heads = [sample.words for sample in SAMPLES if sample.refused and sample.taken] + [NAME_WORDS]

    assert [message for message in messages() if not any(message.startswith(head) for head in heads)] == []


def test_every_sample_is_of_one_rule() -> None:
    for sample in SAMPLES:
        assert len([message for message in messages() if message.startswith(sample.words)]) == 1, sample.words


@pytest.mark.cluster
@pytest.mark.parametrize(("field", "words", "overlay"), [pytest.param(*case, id=name) for name, *case in refusals()])
def test_what_breaks_a_rule_is_refused_in_its_words(server: ApiServer, field: str, words: str, overlay: Json) -> None:
    assert_refused(server.try_spec(laid_over(MINIMAL, overlay)), field=f"spec.{field}", words=words)


@pytest.mark.cluster
@pytest.mark.parametrize("overlay", [pytest.param(overlay, id=name) for name, overlay in acceptances()])
def test_what_keeps_the_rules_is_taken_and_read(server: ApiServer, overlay: Json) -> None:
    answer = server.try_spec(laid_over(MINIMAL, overlay))

    assert answer.code == 201, answer.body
    InferenceServiceSpec.model_validate(answer.body["spec"])


@pytest.mark.cluster
@pytest.mark.parametrize(("spec", "field", "words"), [pytest.param(*case, id=name) for name, *case in breaches()])
def test_what_breaks_a_bound_is_refused_by_the_name_of_the_field(
    server: ApiServer, spec: Json, field: str, words: str
) -> None:
    assert_refused(server.try_spec(spec), field=field, words=words)


@pytest.mark.cluster
@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_a_name_that_no_service_can_have_is_refused(server: ApiServer, name: str) -> None:
    assert_refused(server.try_spec(MINIMAL, name=name), field="metadata.name", words=NAME_WORDS)


@pytest.mark.cluster
@pytest.mark.parametrize("name", TAKEN_NAMES)
def test_a_name_that_a_service_can_have_is_taken(server: ApiServer, name: str) -> None:
    assert server.try_spec(MINIMAL, name=name).code == 201


@pytest.mark.cluster
@pytest.mark.parametrize("name", ["", "a" * 254])
def test_a_name_that_no_object_can_have_is_refused(server: ApiServer, name: str) -> None:
    assert server.try_spec(MINIMAL, name=name).code == 422


@pytest.mark.cluster
@pytest.mark.parametrize("full", EVERY)
def test_a_full_sample_is_taken_unchanged(server: ApiServer, full: Json) -> None:
    answer = server.try_spec(full)

    assert answer.code == 201, answer.body
    assert answer.body["spec"] == full


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("overlay", "field"),
    [
        pytest.param({"replicaCount": 3}, "spec.replicaCount", id="top"),
        pytest.param({"runtime": {"envs": []}}, "spec.runtime.envs", id="below"),
        pytest.param(
            {"runtime": {"env": [{"name": "A", "values": "x"}]}}, "spec.runtime.env[0].values", id="in a list"
        ),
        pytest.param({"runtime": {"hostNetwork": True}}, "spec.runtime.hostNetwork", id="of a pod"),
    ],
)
def test_an_unknown_field_is_an_error_to_kubectl_and_never_stored(server: ApiServer, overlay: Json, field: str) -> None:
    spec = laid_over(MINIMAL, overlay)

    strict = server.try_spec(spec)
    warned = server.try_spec(spec, validation="Warn")

    assert (strict.code, f'unknown field "{field}"' in strict.body["message"]) == (400, True)
    assert warned.code == 201
    assert f'unknown field \\"{field}\\"' in warned.warnings
    assert field.rsplit(".", 1)[-1] not in str(warned.body["spec"])


@pytest.mark.cluster
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(laid_over(MINIMAL, {"runtime": None, "replicas": None, "suspend": None}), id="fields"),
        pytest.param(laid_over(MINIMAL, {"runtime": {"env": None, "image": None, "log": None}}), id="fields below"),
    ],
)
def test_null_means_left_out(server: ApiServer, spec: Json) -> None:
    assert server.try_spec(spec).body["spec"] == server.try_spec(MINIMAL).body["spec"]


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param(None, "spec", id="spec"),
        pytest.param(laid_over(MINIMAL, {"model": None}), "spec.model", id="model"),
        pytest.param(laid_over(MINIMAL, {"model": {"uri": None}}), "spec.model.uri", id="uri"),
        pytest.param({}, "spec.model", id="nothing"),
    ],
)
def test_what_is_required_cannot_be_null(server: ApiServer, spec: Any, field: str) -> None:
    assert_refused(server.try_spec(spec), field=field, words="Required value")


@pytest.mark.cluster
@pytest.mark.parametrize("spec", ["text", 5, True, []])
def test_a_spec_that_is_no_object_is_refused(server: ApiServer, spec: Any) -> None:
    assert_refused(server.try_spec(spec), field="spec", words="must be of type object")


@pytest.mark.cluster
@pytest.mark.parametrize("code_point", [pytest.param("a", id="ascii"), pytest.param("🦀", id="four bytes")])
def test_an_argument_of_a_megabyte_is_refused(server: ApiServer, code_point: str) -> None:
    spec = laid_over(MINIMAL, {"runtime": {"args": [code_point * (1_000_000 // len(code_point.encode()))]}})

    assert_refused(server.try_spec(spec), field="spec.runtime.args[0]", words="Too long")


@pytest.mark.cluster
def test_a_map_of_a_megabyte_is_refused(server: ApiServer) -> None:
    labels = {f"key{number}": "v" * 60 for number in range(15_000)}

    answer = server.try_spec(laid_over(MINIMAL, {"runtime": {"labels": labels}}))

    assert_refused(answer, field="spec.runtime.labels", words="Too many")


@pytest.mark.cluster
def test_a_key_of_a_megabyte_is_refused(server: ApiServer) -> None:
    spec = laid_over(MINIMAL, {"runtime": {"labels": {"k" * 1_000_000: "v"}}})
    body = inference_service(spec, name="sample", namespace="default")

    answer = server.ask("POST", services_path("default"), body=body, content_type=JSON, dryRun="All")

    assert_refused(answer, field="spec.runtime.labels", words="keys of labels must be")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("composed", "decomposed"),
    [pytest.param("caf\u00e9", "cafe\u0301", id="é"), pytest.param("\u1e69", "s\u0323\u0307", id="ṩ")],
)
def test_text_is_kept_as_it_was_written_and_never_normalised(server: ApiServer, composed: str, decomposed: str) -> None:
    notes = {"example.com/composed": composed, "example.com/decomposed": decomposed}

    answer = server.try_spec(laid_over(MINIMAL, {"runtime": {"annotations": notes}}))

    assert answer.body["spec"]["runtime"]["annotations"] == notes
