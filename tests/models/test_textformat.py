import pytest

from triton_operator.models.textformat import ScanError, scan


def spans(text: str) -> list[tuple[str, str, list[str]]]:
    return [
        (field.name, text[field.start : field.end], [text[value.start : value.end] for value in field.values])
        for field in scan(text)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("# only a comment", [], id="comment only"),
        pytest.param('name: "a"', [("name", 'name: "a"', ['"a"'])], id="scalar"),
        pytest.param("a:1,b:2;c:3", [("a", "a:1", ["1"]), ("b", "b:2", ["2"]), ("c", "c:3", ["3"])], id="separators"),
        pytest.param("a { b: 1 }", [("a", "a { b: 1 }", ["{ b: 1 }"])], id="message"),
        pytest.param("a: { b: 1 }", [("a", "a: { b: 1 }", ["{ b: 1 }"])], id="message with colon"),
        pytest.param("a < b { c: [1] } >", [("a", "a < b { c: [1] } >", ["< b { c: [1] } >"])], id="angle brackets"),
        pytest.param("a [ {}, {b: 1} ]", [("a", "a [ {}, {b: 1} ]", ["{}", "{b: 1}"])], id="list of messages"),
        pytest.param("a: [ ]", [("a", "a: [ ]", [])], id="empty list"),
        pytest.param("a: [1, -2.5e+3, inf]", [("a", "a: [1, -2.5e+3, inf]", ["1", "-2.5e+3", "inf"])], id="numbers"),
        pytest.param(
            "a: 'x' \"y\"\n'z' b:1",
            [("a", "a: 'x' \"y\"\n'z'", ["'x' \"y\"\n'z'"]), ("b", "b:1", ["1"])],
            id="adjacent",
        ),
        pytest.param(r'a: "\"}" b: 1', [("a", r'a: "\"}"', [r'"\"}"']), ("b", "b: 1", ["1"])], id="escaped quote"),
        pytest.param(r"a: '\\' b: 1", [("a", r"a: '\\'", [r"'\\'"]), ("b", "b: 1", ["1"])], id="escaped backslash"),
        pytest.param('a: "# no comment"', [("a", 'a: "# no comment"', ['"# no comment"'])], id="hash in a string"),
        pytest.param("a: # }{\n1", [("a", "a: # }{\n1", ["1"])], id="comment within a field"),
        pytest.param("[x.y/z.T] { a: 1 }", [("[x.y/z.T]", "[x.y/z.T] { a: 1 }", ["{ a: 1 }"])], id="any name"),
        pytest.param("[x.y]: 1 b: 2", [("[x.y]", "[x.y]: 1", ["1"]), ("b", "b: 2", ["2"])], id="extension name"),
        pytest.param("7: 1", [("7", "7: 1", ["1"])], id="field number"),
        pytest.param("é: 1\r\nb: 2", [("é", "é: 1", ["1"]), ("b", "b: 2", ["2"])], id="letters beyond ASCII"),
    ],
)
def test_every_field_is_found_where_it_stands(text: str, expected: list[tuple[str, str, list[str]]]) -> None:
    assert spans(text) == expected


def test_fields_of_a_message_are_found_at_offsets_of_the_whole_text() -> None:
    text = "x: 1 group { count: 2 # kind: 3\n kind: KIND_AUTO }"

    (kind,) = [field for field in scan(text)[1].values[0].fields() if field.name == "kind"]

    assert text[kind.start : kind.end] == "kind: KIND_AUTO"


@pytest.mark.parametrize("text", ["a {", "a { ]", "a }", "a:", "a: }", "a: [1 2]", "{ a: 1 }", ": 1", '"a": 1', "a: ["])
def test_what_is_no_protobuf_text_is_refused(text: str) -> None:
    with pytest.raises(ScanError):
        scan(text)


def test_deep_nesting_is_no_matter() -> None:
    text = "a {" * 20_000 + "}" * 20_000

    assert len(scan(text)) == 1
