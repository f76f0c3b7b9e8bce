import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.models.config import merge_config
from triton_operator.models.model_config import ConfigSyntaxError, ModelConfig, parse_model_config
from triton_operator.models.request import Kind

KIND_AUTO, KIND_GPU = 0, 1

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def merged(text: str, *, kind: Kind | None = Kind.GPU) -> str:
    result = merge_config(text.encode(), model="resnet50", version=7, kind=kind)
    assert result is not None
    return result.decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('name: "resnet50"', id="the right name"),
        pytest.param('platform: "onnxruntime_onnx"', id="no name"),
        pytest.param('name: ""', id="an empty name"),
        pytest.param("version_policy { latest { num_versions: 2 } }", id="latest"),
        pytest.param("version_policy: { all {} }", id="all"),
        pytest.param("version_policy { specific { versions: 7 } }", id="exactly the version"),
        pytest.param("", id="an empty file"),
        pytest.param("future [ { list[1] value: NAME [x.y]: 2 } ]", id="fields of a newer Triton"),
        pytest.param("# \u00e9", id="a comment only"),
        pytest.param(
            "input { data_type: TYPE_FP4 # TYPE_FP4\n }\noutput [{data_type:TYPE_FP4}] " * 200,
            id="a type of a newer Triton",
        ),
        pytest.param("instance_group { kind: KIND_AUTO }", id="an automatic kind without GPU"),
    ],
)
def test_a_config_in_which_nothing_must_change_is_the_same_object(text: str) -> None:
    config = text.encode()

    assert merge_config(config, model="resnet50", version=7, kind=None) is config


@pytest.mark.parametrize("kind", ["KIND_CPU", "KIND_GPU", "KIND_MODEL", "KIND_OF_A_NEWER_TRITON", "17"])
def test_an_explicit_kind_is_the_authors(kind: str) -> None:
    text = f"instance_group [ {{ count: 2 kind: {kind} }} ]"

    assert merged(text) == text


@pytest.mark.parametrize(
    "text", ['platform: "ensemble"', "ensemble_scheduling { step [ { model_name: 'a' model_version: -1 } ] }"]
)
def test_an_ensemble_never_gets_an_instance_group(text: str) -> None:
    assert merged(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('name: "a"', 'name: "resnet50"', id="another name"),
        pytest.param("name : 'a' # c\n\"b\" ; x: 1", 'name : "resnet50" ; x: 1', id="a name in adjacent strings"),
        pytest.param(
            "# keep\nversion_policy: { specific: { versions: [1, 7] } },\nx: 1",
            "# keep\nversion_policy { specific { versions: [ 7 ] } },\nx: 1",
            id="specific versions",
        ),
        pytest.param(
            "version_policy { specific {} }", "version_policy { specific { versions: [ 7 ] } }", id="specific and none"
        ),
        pytest.param('p { name: "a" } name: "b"', 'p { name: "a" } name: "resnet50"', id="a name deeper is not ours"),
    ],
)
def test_only_the_fields_concerned_are_edited(text: str, expected: str) -> None:
    assert merged(text, kind=None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "instance_group [ { kind: KIND_GPU } ]\n", id="empty file"),
        pytest.param("x: 1 # end", "x: 1 # end\ninstance_group [ { kind: KIND_GPU } ]\n", id="comment at the end"),
        pytest.param(
            "instance_group []", "instance_group []\ninstance_group [ { kind: KIND_GPU } ]\n", id="empty list"
        ),
        pytest.param("instance_group{}", "instance_group{ kind: KIND_GPU }", id="empty group"),
        pytest.param("instance_group <count:2>", "instance_group < kind: KIND_GPU count:2>", id="angle brackets"),
        pytest.param("instance_group { kind: KIND_AUTO }", "instance_group { kind: KIND_GPU }", id="automatic kind"),
        pytest.param(
            "instance_group { kind: 0 }", "instance_group { kind: KIND_GPU }", id="automatic kind as a number"
        ),
        pytest.param(
            "instance_group [{ # one\n count: 1}, { kind: KIND_CPU }]\ninstance_group { gpus: [0, 1] }",
            "instance_group [{ kind: KIND_GPU # one\n count: 1}, { kind: KIND_CPU }]\n"
            "instance_group { kind: KIND_GPU gpus: [0, 1] }",
            id="several groups written both ways",
        ),
        pytest.param(
            'instance_group { profile: "kind" unknown { kind: KIND_AUTO } }',
            'instance_group { kind: KIND_GPU profile: "kind" unknown { kind: KIND_AUTO } }',
            id="a kind deeper is not ours",
        ),
    ],
)
def test_with_gpus_a_kind_left_to_triton_becomes_kind_gpu(text: str, expected: str) -> None:
    assert merged(text) == expected


@pytest.mark.parametrize("kind", Kind)
def test_without_a_config_one_is_written_only_for_a_kind(kind: Kind) -> None:
    assert merge_config(None, model="m", version=1, kind=None) is None
    expected = f"instance_group [ {{ kind: {kind} }} ]\n"
    assert merge_config(None, model="m", version=1, kind=kind) == expected.encode()


def test_a_kind_left_to_triton_can_become_kind_cpu() -> None:
    assert merged("instance_group { count: 2 }", kind=Kind.CPU) == "instance_group { kind: KIND_CPU count: 2 }"


def test_bytes_in_comments_line_ends_and_fields_of_a_newer_triton_stay() -> None:
    config = b'# caf\xe9\r\nnew_field: <a: [NEW, {b: "\\xff"}]>\r\ninput { data_type: TYPE_FP4 }\r\nname: "a"\r\n'

    result = merge_config(config, model="m", version=1, kind=None)

    assert result == config.replace(b'"a"', b'"m"')


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        pytest.param(b'name: "a"\nplatform "b"', "line 2, column 10: Expected", id="missing colon"),
        pytest.param(b"instance_group [ {kind: KIND_GPU }", "line 1, column", id="unclosed list"),
        pytest.param(b'name: "a" name: "b"', 'multiple \\\\"name\\\\" fields', id="two names"),
        pytest.param(b"\x80\x00ELF", "line 1, column 1", id="binary"),
        pytest.param(b'name: "\xff"', "line 1, column 7: the string is not UTF-8", id="a string that is not UTF-8"),
        pytest.param(b'parameters { key: "\xff" }', "line 1, column 19: the string is not UTF-8", id="a key not UTF-8"),
        pytest.param(b"a{" * 5000, "nested too deeply", id="deep nesting"),
        pytest.param(
            b"".join(b"input { data_type: NEW%d }" % number for number in range(200)),
            "different unknown enum values",
            id="endless unknown values",
        ),
    ],
)
def test_a_config_that_protobuf_cannot_read_is_refused_with_the_place(config: bytes, problem: str) -> None:
    with pytest.raises(ConfigSyntaxError, match=problem):
        merge_config(config, model="m", version=1, kind=Kind.GPU)


_SCALARS = {
    "int": st.integers(0, 2**31 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "bool": st.booleans(),
    "str": st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    "bytes": st.binary(max_size=6),
}


@st.composite
def messages(draw: st.DrawFn, kind: type = ModelConfig, depth: int = 0) -> object:
    """A random message of a generated type; each field is set now and then."""
    message = kind()
    names = sorted(kind.DESCRIPTOR.fields_by_name)
    for name in draw(st.sets(st.sampled_from(names), max_size=4) if names else st.just(set())):
        field = kind.DESCRIPTOR.fields_by_name[name]
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type and depth >= 3:
            continue
        if field.containing_oneof and message.WhichOneof(field.containing_oneof.name):
            continue
        for _ in range(draw(st.integers(1, 3)) if field.is_repeated else 1):
            if field.message_type:
                value = draw(messages(field.message_type._concrete_class, depth + 1))
                if field.is_repeated:
                    getattr(message, name).add().CopyFrom(value)
                else:
                    getattr(message, name).CopyFrom(value)
            else:
                if field.enum_type:
                    value = draw(st.sampled_from([value.number for value in field.enum_type.values]))
                else:
                    value = draw(
                        _SCALARS[type(field.default_value).__name__ if not field.is_repeated else _plain(field)]
                    )
                if field.is_repeated:
                    getattr(message, name).append(value)
                else:
                    setattr(message, name, value)
    return message


def _plain(field: object) -> str:
    return {9: "str", 12: "bytes", 8: "bool", 2: "float", 1: "float"}.get(field.type, "int")


NOISE = [
    "# comment } ] > \" '\n",
    "future: 1.5e+3,",
    "future { kind: KIND_AUTO name: 'x' };",
    "future: [ <a: 'it\\'s'>, { b: \"}\" 'c' } ]",
    "future: FUTURE_VALUE ;",
    "future_group [ { kind: KIND_AUTO } ]",
    "future: 'a' \"#\"\n",
    "\r\n\t",
]


@st.composite
def config_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A ModelConfig as one of the many texts that mean it, and the noise that was put between its fields."""
    message = draw(messages())
    noise, parts = [], []
    for field, _ in message.ListFields():
        single = ModelConfig()
        if field.is_repeated:
            getattr(single, field.name).extend(getattr(message, field.name))
        elif field.message_type:
            getattr(single, field.name).CopyFrom(getattr(message, field.name))
        else:
            setattr(single, field.name, getattr(message, field.name))
        parts.append(
            text_format.MessageToString(
                single,
                as_one_line=draw(st.booleans()),
                as_utf8=draw(st.booleans()),
                pointy_brackets=draw(st.booleans()),
                use_short_repeated_primitives=draw(st.booleans()),
            )
        )
        parts.append(draw(st.sampled_from([" ", "\n", " ; ", ", # comma\n"])))
        noise.append(draw(st.sampled_from(NOISE)))
        parts.append(noise[-1] + " ")
    return "".join(parts), noise


@unhurried
@given(config_texts(), st.sampled_from([None, *Kind]))
def test_any_config_keeps_all_that_is_not_ours_and_gets_what_is(
    text_and_noise: tuple[str, list[str]], kind: Kind | None
) -> None:
    text, noise = text_and_noise
    found = parse_model_config(text)

    edited = merged(text, kind=kind)

    result = parse_model_config(edited)
    assert result.name in ("", "resnet50")
    assert bool(result.name) == bool(found.name)
    if found.version_policy.HasField("specific"):
        assert list(result.version_policy.specific.versions) == [7]
    else:
        assert result.version_policy == found.version_policy
    ensemble = found.platform == "ensemble" or found.HasField("ensemble_scheduling")
    if kind and not ensemble:
        assert len(result.instance_group) == max(1, len(found.instance_group))
        for before, after in zip(found.instance_group, result.instance_group, strict=False):
            assert after.kind == (type(before).Kind.Value(kind) if before.kind == KIND_AUTO else before.kind)
            before.kind = after.kind
            assert before == after
    else:
        assert result.instance_group == found.instance_group
    for name in ("name", "version_policy", "instance_group"):
        found.ClearField(name)
        result.ClearField(name)
    assert result == found
    position = 0
    for piece in noise:
        assert piece in edited[position:]
        position = edited.index(piece, position) + len(piece)
    assert merged(edited, kind=kind) == edited


@unhurried
@given(messages(), st.booleans(), st.booleans(), st.booleans())
def test_a_known_config_is_understood_as_protobuf_does(
    message: object, one_line: bool, angle: bool, short: bool
) -> None:
    text = text_format.MessageToString(
        message, as_one_line=one_line, pointy_brackets=angle, use_short_repeated_primitives=short
    )

    assert parse_model_config(text) == message


PIECES = [*"{}[]<>:,;-1\"'\\\n\0", "name", '"a"', "instance_group", "kind", "KIND_AUTO", "KIND_X", "version_policy"]
PIECES += ["specific", "versions", "# x\n", "future", "[a.b]", "\udcff"]


@unhurried
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_whatever_stands_in_the_file_it_is_merged_or_refused(pieces: list[str]) -> None:
    config = " ".join(pieces).encode(errors="surrogateescape")

    try:
        result = merge_config(config, model="m", version=7, kind=Kind.GPU)
    except ConfigSyntaxError:
        return
    assert merge_config(result, model="m", version=7, kind=Kind.GPU) == result
