import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triton_operator.models.failure import (
    TERMINATION_LOG_BYTES,
    PrepareError,
    Reason,
    escaped,
    termination_message,
)
from triton_operator.models.request import Layout, PrepareRequest

GOOD = {
    "model": "resnet50",
    "version": 7,
    "uri": "pvc://models/vision/resnet50",
    "source": "/source/vision/resnet50",
    "repository": "/models",
    "layout": "directory",
    "gpu": True,
}


def test_a_request_comes_back_as_it_was_written() -> None:
    request = PrepareRequest(**(GOOD | {"layout": Layout.DIRECTORY}))

    assert PrepareRequest.from_json(request.to_json()) == request
    assert json.loads(request.to_json()) == GOOD


@pytest.mark.parametrize(
    ("changes", "volume"),
    [
        pytest.param({}, "/source", id="a path of a claim"),
        pytest.param({"uri": "pvc://models/resnet50/", "source": "/source/resnet50"}, "/source", id="slash at the end"),
        pytest.param({"uri": "pvc://models", "source": "/source"}, "/source", id="a whole claim"),
        pytest.param({"uri": "configmap://m", "source": "/source", "layout": "flat"}, "/source", id="a config map"),
    ],
)
def test_the_volume_is_where_the_path_of_the_uri_begins(changes: dict[str, object], volume: str) -> None:
    assert str(PrepareRequest.from_json(json.dumps(GOOD | changes)).volume) == volume


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(
            pytest.param({"model": model}, "model must", id=f"model {model!r:.20}")
            for model in (
                "",
                ".",
                "..",
                "../etc",
                "a/b",
                "-rf",
                ".a",
                "a b",
                "a\n",
                "a\0",
                "é",
                "$(id)",
                "a" * 129,
                7,
                None,
            )
        ),
        *(
            pytest.param({"version": version}, "version must", id=f"version {version!r}")
            for version in (0, -1, 2**63, 1.0, "7", "../7", True, None)
        ),
        *(
            pytest.param({name: path}, f"{name} must be an absolute path", id=f"{name} {path!r}")
            for name in ("source", "repository")
            for path in ("", "/", "//", "source", "/a/../b", "/a/", "/a//b", "/a/.", "/a\0")
        ),
        pytest.param({"repository": "/source"}, "within each other", id="repository above the source"),
        pytest.param({"repository": "/source/vision/resnet50/x"}, "within each other", id="repository in the source"),
        pytest.param({"source": "/source/other"}, "source must end with", id="source of another path"),
        pytest.param({"uri": "pvc://models/../x", "source": "/source/x"}, "source must end with", id="dots in the uri"),
        pytest.param({"uri": "resnet50"}, "uri must", id="uri without a scheme"),
        pytest.param({"uri": "pvc://a\nb"}, "uri must", id="line break in the uri"),
        pytest.param({"uri": "pvc://" + "a" * 1024}, "uri must", id="long uri"),
        pytest.param({"layout": "tar"}, "layout must", id="layout"),
        pytest.param({"gpu": 1}, "gpu must", id="gpu"),
        pytest.param({"extra": 1}, "1 unknown field", id="unknown field"),
    ],
)
def test_a_request_that_is_not_safe_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(PrepareError) as caught:
        PrepareRequest.from_json(json.dumps(GOOD | changes))

    assert caught.value.reason is Reason.BAD_REQUEST
    assert problem in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"model": "a"}'])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(PrepareError) as caught:
        PrepareRequest.from_json(text)

    assert caught.value.reason is Reason.BAD_REQUEST


@settings(deadline=None)
@given(st.text(max_size=20), st.sampled_from([1, 300, 5000]))
def test_a_termination_message_is_one_line_of_json_that_the_kubelet_keeps_whole(text: str, times: int) -> None:
    line = termination_message(PrepareError(Reason.NOT_FOUND, text * times))

    assert len(line.encode()) <= TERMINATION_LOG_BYTES
    assert "\n" not in line
    content = json.loads(line)
    assert content["reason"] == "NotFound"
    assert content["message"] == text * times or content["message"].endswith("…") or "\\" in content["message"]


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_printable_and_short(text: str) -> None:
    assert escaped(text).isprintable()
    assert len(escaped(text)) <= 2000
    escaped(text).encode()
