"""What clients of the old signature can rely on when a new revision serves."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.signature import About, Signature, Tensor, about_from_json, differences

IMAGE = Tensor("IMAGE", "FP32", (-1, 3, 224, 224))
CLASS = Tensor("CLASS", "INT64", (-1, 1))
EXTRA = Tensor("X", "FP32", (1,))
OLD = Signature((IMAGE,), (CLASS,), most_batch=8)

TENSORS = st.lists(
    st.builds(
        Tensor,
        name=st.sampled_from("ABC"),
        datatype=st.sampled_from(("FP32", "BYTES")),
        shape=st.lists(st.sampled_from((-1, 1, 4)), max_size=3).map(tuple),
        optional=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda tensor: tensor.name,
).map(tuple)
SIGNATURES = st.builds(Signature, inputs=TENSORS, outputs=TENSORS, most_batch=st.integers(0, 8))


@pytest.mark.parametrize(
    ("new", "found"),
    [
        pytest.param(OLD, (), id="the same"),
        pytest.param(replace(OLD, inputs=(replace(IMAGE, name="X"),)), ("input IMAGE is no longer taken", "input X is new and required"), id="renamed"),  # noqa: E501
        pytest.param(replace(OLD, inputs=(IMAGE, replace(EXTRA, optional=True))), (), id="optional input added"),
        pytest.param(replace(OLD, inputs=(replace(IMAGE, datatype="FP16"),)), ("input IMAGE is FP16, was FP32",), id="datatype"),  # noqa: E501
        pytest.param(replace(OLD, inputs=(replace(IMAGE, shape=(-1, 3, -1, -1)),)), (), id="takes more"),
        pytest.param(replace(OLD, inputs=(replace(IMAGE, shape=(-1, 3, 256, 256)),)), ("input IMAGE takes shape [-1, 3, 256, 256], took [-1, 3, 224, 224]",), id="other size"),  # noqa: E501
        pytest.param(replace(OLD, inputs=(replace(IMAGE, shape=(3, 224, 224)),)), ("input IMAGE takes shape [3, 224, 224], took [-1, 3, 224, 224]",), id="batch lost"),  # noqa: E501
        pytest.param(replace(OLD, outputs=()), ("output CLASS is gone",), id="output gone"),
        pytest.param(replace(OLD, outputs=(CLASS, EXTRA)), (), id="output added"),
        pytest.param(replace(OLD, outputs=(replace(CLASS, shape=(-1, -1)),)), ("output CLASS has shape [-1, -1], had [-1, 1]",), id="output less definite"),  # noqa: E501
        pytest.param(replace(OLD, most_batch=4), ("batches of up to 4 are taken, were 8",), id="smaller batches"),
    ],
)  # fmt: skip
def test_only_what_breaks_clients_is_a_difference(new: Signature, found: tuple[str, ...]) -> None:
    assert differences(OLD, new) == found


def test_an_optional_input_that_becomes_required_is_a_difference() -> None:
    old = replace(OLD, inputs=(replace(IMAGE, optional=True),))
    assert differences(old, OLD) == ("input IMAGE is required, was optional",)


@given(SIGNATURES)
def test_a_signature_is_compatible_with_itself_and_survives_the_record(signature: Signature) -> None:
    assert differences(signature, signature) == ()
    about = About(signature, kinds=("KIND_CPU",))
    assert about_from_json(json.loads(json.dumps(about.to_json()))) == about


@given(SIGNATURES, SIGNATURES, SIGNATURES)
def test_what_two_updates_may_do_one_may_too(a: Signature, b: Signature, c: Signature) -> None:
    # an input that the second update no longer needs to know was never sent by clients of the first
    if not differences(a, b) and not differences(b, c) and a.most_batch and b.most_batch:
        assert not [d for d in differences(a, c) if "new and required" not in d]
