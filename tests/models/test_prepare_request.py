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
from triton_operator.models.request import Kind, PrepareRequest

GOOD = {
    "name": "resnet50",
    "version": 7,
    "uri": "pvc://models/vision/resnet50",
    "source": "/source/vision/resnet50",
    "layout": "directory",
    "kind": "KIND_GPU",
    "digest": None,
}
REMOTE = {"uri": "s3://models/vision/resnet50", "source": None}


def request_of(*models: dict[str, object], repository: object = "/models") -> PrepareRequest:
    return PrepareRequest.from_json(json.dumps({"repository": repository, "models": models}))


def test_a_request_comes_back_as_it_was_written() -> None:
    request = request_of(GOOD, GOOD | REMOTE | {"name": "pre", "digest": "sha256:" + "0a" * 32})

    assert request.models[0].kind is Kind.GPU
    assert PrepareRequest.from_json(request.to_json()) == request
    assert json.loads(request.to_json())["models"][0] == GOOD


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
    assert str(request_of(GOOD | changes).models[0].volume) == volume


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(
            pytest.param({"name": model}, "name must", id=f"name {model!r:.20}")
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
            for version in (0, -1, 2**63, 1.0, "7", "../7", True)
        ),
        *(
            pytest.param({"source": path}, "source must be an absolute path", id=f"source {path!r}")
            for path in ("", "/", "//", "source", "/a/../b", "/a/", "/a//b", "/a/.", "/a\0")
        ),
        pytest.param(
            {"source": "/models/a", "uri": "pvc://models/a"}, "within each other", id="source in the repository"
        ),
        pytest.param({"source": None}, "source must be a directory", id="a volume without a mount"),
        pytest.param({"source": 7}, "source must be null or", id="source of another type"),
        pytest.param({"uri": "s3://b/vision/resnet50"}, "null for everything else", id="a mount without a volume"),
        pytest.param({"layout": "flat"}, "layout must be flat for", id="a claim that is flat"),
        pytest.param({"source": "/source/other"}, "source must end with", id="source of another path"),
        pytest.param({"uri": "pvc://models/../x", "source": "/source/x"}, "source must end with", id="dots in the uri"),
        pytest.param({"uri": "resnet50"}, "uri must", id="uri without a scheme"),
        pytest.param({"uri": "pvc://a\nb"}, "uri must", id="line break in the uri"),
        pytest.param({"uri": "pvc://" + "a" * 1024}, "uri must", id="long uri"),
        pytest.param({"layout": "tar"}, "layout must", id="layout"),
        pytest.param({"kind": "KIND_MODEL"}, "kind must", id="kind"),
        pytest.param({"digest": "sha256:0"}, "digest must", id="digest"),
        pytest.param({"extra": 1}, "1 unknown field", id="unknown field"),
    ],
)
def test_a_request_that_is_not_safe_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(PrepareError) as caught:
        request_of(GOOD | changes)

    assert caught.value.reason is Reason.BAD_REQUEST
    assert problem in caught.value.message


@pytest.mark.parametrize("path", ["", "/", "//", "source", "/a/../b", "/a/", "/a//b", "/a/.", "/a\0", 7, None])
def test_a_repository_that_is_no_plain_directory_is_refused(path: object) -> None:
    with pytest.raises(PrepareError, match="repository must be"):
        request_of(GOOD, repository=path)


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        pytest.param([], "models must be 1 to 17", id="none"),
        pytest.param([GOOD | {"name": f"m{number}"} for number in range(18)], "models must be 1 to 17", id="too many"),
        pytest.param([GOOD, GOOD], "names of the models must differ", id="twice the same name"),
        pytest.param(["resnet50"], "a model is not a JSON object", id="no object"),
    ],
)
def test_models_that_cannot_stand_together_are_refused(models: list[dict[str, object]], problem: str) -> None:
    with pytest.raises(PrepareError, match=problem):
        request_of(*models)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        pytest.param("https://me:secret@host:8/a?token=x#y", "https://host:8/a", id="user, query and fragment"),
        pytest.param("https://[::1:8/a", "https://…", id="not a url"),
        pytest.param("s3://bucket/a?b#c", "s3://bucket/a?b#c", id="a key of an object store"),
    ],
)
def test_what_is_shown_of_a_uri_holds_nothing_secret(uri: str, shown: str) -> None:
    assert request_of(GOOD | REMOTE | {"uri": uri}).models[0].shown == shown


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
