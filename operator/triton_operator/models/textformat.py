"""Where the fields of a protobuf text (config.pbtxt) stand, so that single fields can be edited in place.

Not for: what the fields mean; protobuf parses that. The scanner follows protobuf's own tokenizer, and expects a text
that protobuf has taken.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SKIPPED = re.compile(r"(?:\s|#[^\n]*)+")
_TOKEN = re.compile(
    r"[A-Za-z_][0-9A-Za-z_+-]*"
    r"|(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*"
    r'|"[^"\n\\]*(?:\\.[^"\n\\]*)*"'
    r"|'[^'\n\\]*(?:\\.[^'\n\\]*)*'"
    r"|[^\W\d]\w*"
    r"|."
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}


class ScanError(ValueError):
    """A text is not in protobuf's text format."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text: an identifier, a number, a string literal or a single character of punctuation."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a field.

    Attributes:
        start: offset of its first character; of the opening bracket for a message.
        end: offset behind its last character.
        tokens: its tokens; brackets of a message included.
    """

    start: int
    end: int
    tokens: tuple[Token, ...]

    @property
    def is_message(self) -> bool:
        """Whether the value is { … } or < … >."""
        return self.tokens[0].text in ("{", "<")

    def fields(self) -> tuple["Field", ...]:
        """The fields of a message value."""
        return tuple(_fields(self.tokens[1:-1])) if self.is_message else ()


@dataclass(frozen=True, slots=True)
class Field:
    """One mention of a field; a repeated field may be mentioned several times.

    Attributes:
        name: the field's name; in brackets for an extension.
        start: offset of the name.
        end: offset behind the value, before any separator.
        values: its values; any number for `name: [ … ]`, else one.
    """

    name: str
    start: int
    end: int
    values: tuple[Value, ...]


def tokens(text: str) -> Iterator[Token]:
    """Split a text into tokens, without white space and comments.

    Args:
        text: any text.

    Returns:
        The tokens in order; what begins no longer token is a token of one character.
    """
    position = 0
    while position < len(text):
        if skipped := _SKIPPED.match(text, position):
            position = skipped.end()
        elif token := _TOKEN.match(text, position):  # always, as line breaks have been skipped
            yield Token(token.group(), position, token.end())
            position = token.end()


def scan(text: str) -> tuple[Field, ...]:
    """Find the top-level fields of a text.

    Args:
        text: a message in protobuf's text format.

    Returns:
        Every mention of a field, in order. Offsets count characters of `text`.

    Raises:
        ScanError: brackets do not match, or a field has no value.
    """
    return tuple(_fields(tuple(tokens(text))))


def _fields(tokens: tuple[Token, ...]) -> Iterator[Field]:
    at = 0
    while at < len(tokens):
        first = tokens[at]
        name_end = _behind_value(tokens, at)
        if first.text != "[" and (name_end != at + 1 or first.text[0] in "\"'"):
            raise ScanError(f"no field name at offset {first.start}")
        name = "".join(token.text for token in tokens[at:name_end])
        at = name_end
        if at < len(tokens) and tokens[at].text == ":":
            at += 1
        end = _behind_value(tokens, at)
        value_tokens = tokens[at:end]
        values = _elements(value_tokens[1:-1]) if value_tokens[0].text == "[" else (_value(value_tokens),)
        yield Field(name, first.start, value_tokens[-1].end, tuple(values))
        at = end
        if at < len(tokens) and tokens[at].text in (",", ";"):
            at += 1


def _elements(tokens: tuple[Token, ...]) -> Iterator[Value]:
    at = 0
    while at < len(tokens):
        end = _behind_value(tokens, at)
        yield _value(tokens[at:end])
        at = end
        if at < len(tokens):
            if tokens[at].text != ",":
                raise ScanError(f"no comma at offset {tokens[at].start}")
            at += 1


def _value(tokens: tuple[Token, ...]) -> Value:
    return Value(tokens[0].start, tokens[-1].end, tokens)


def _behind_value(tokens: tuple[Token, ...], at: int) -> int:
    """Find the index behind the value that begins at index `at`: a bracketed one, adjacent strings, or one token."""
    if at >= len(tokens):
        raise ScanError("the text ends where a field or a value is expected")
    first = tokens[at].text
    if first in _CLOSING:
        open_brackets: list[str] = []
        for index in range(at, len(tokens)):
            text = tokens[index].text
            if text in _CLOSING:
                open_brackets.append(_CLOSING[text])
            elif text in ("}", ">", "]"):
                if open_brackets.pop() != text:
                    raise ScanError(f"brackets do not match at offset {tokens[index].start}")
                if not open_brackets:
                    return index + 1
        raise ScanError(f"the bracket at offset {tokens[at].start} is not closed")
    if first in ("}", ">", "]", ":", ",", ";"):
        raise ScanError(f"{first!r} at offset {tokens[at].start} is not expected")
    end = at + 1
    if first[0] in "\"'":
        while end < len(tokens) and tokens[end].text[0] in "\"'":
            end += 1
    return end
