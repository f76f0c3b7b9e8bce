"""The message type of config.pbtxt, inference.ModelConfig, and reading it from text.

Not for: changing a config.pbtxt; that is `models.config`.
"""

import re
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from triton_operator.models.failure import escaped
from triton_operator.models.textformat import tokens


class ConfigSyntaxError(ValueError):
    """A config.pbtxt is not a text of inference.ModelConfig; the message has line and column."""


def _model_config_type() -> Any:
    """Load the message type from tritonclient's generated module, without tritonclient.grpc.

    The generated module needs protobuf only. Importing it through its package would also import grpc and numpy, which
    is most of the time an init container takes.
    """
    package = find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("tritonclient is not installed: install triton-operator with its dependencies")
    path = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = spec_from_file_location("triton_operator.models.model_config_pb2", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"tritonclient has no {path.name}: install the version of the lock file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ModelConfig


ModelConfig = _model_config_type()

# Stands for an enum value that only a newer Triton knows. proto3 enums take any number; no Triton will use this one.
_UNKNOWN_ENUM_VALUE = "2147483646"
_MAX_UNKNOWN_ENUM_VALUES = 100
_POSITION = re.compile(r"^\d+:\d+ : ")


def parse_model_config(text: str) -> Any:
    """Read a config.pbtxt.

    Args:
        text: the file; fields and enum values that only a newer Triton knows are passed over.

    Returns:
        An inference.ModelConfig. A field with an unknown enum value holds a number that stands for nothing.

    Raises:
        ConfigSyntaxError: the text is not a ModelConfig.
    """
    understood = _with_colons(text)
    for _ in range(_MAX_UNKNOWN_ENUM_VALUES):
        try:
            return text_format.Parse(understood, ModelConfig(), allow_unknown_field=True)
        except RecursionError as error:
            raise ConfigSyntaxError("messages are nested too deeply") from error
        except text_format.ParseError as error:
            if "has no value named" not in str(error):
                raise ConfigSyntaxError(_in_plain_words(error)) from error
            understood = _without_enum_value(understood, error)
    raise ConfigSyntaxError(f"more than {_MAX_UNKNOWN_ENUM_VALUES} different unknown enum values")


def _with_colons(text: str) -> str:
    """Write `field [ … ]` as `field: [ … ]`, which protobuf takes for fields that it does not know, too.

    A colon takes the place of white space where there is some, so that error messages point to the right column.
    """
    pieces, written = [], 0
    before_last, last = "", None
    for token in tokens(text):
        if token.text == "[" and last and before_last != ":" and (last.text[0] == "_" or last.text[0].isalpha()):
            pieces += [text[written : last.end], ":"]
            written = last.end + (text[last.end] in " \t")
        before_last, last = last.text if last else "", token
    return "".join(pieces) + text[written:]


def _without_enum_value(text: str, error: text_format.ParseError) -> str:
    """Replace the enum value that protobuf does not know, wherever it stands as a value."""
    line, column = error.GetLine(), error.GetColumn()
    if line is None or column is None:
        raise ConfigSyntaxError(_in_plain_words(error)) from error
    offset = sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1
    all_tokens = list(tokens(text))
    unknown = next((token.text for token in all_tokens if token.start == offset), None)
    pieces, written = [], 0
    for previous, token in pairwise(all_tokens):
        if token.text == unknown and previous.text in (":", "[", ","):
            pieces += [text[written : token.start], _UNKNOWN_ENUM_VALUE]
            written = token.end
    if not pieces:
        raise ConfigSyntaxError(_in_plain_words(error)) from error
    return "".join(pieces) + text[written:]


def _in_plain_words(error: text_format.ParseError) -> str:
    """Say where and what; protobuf repeats the whole line, which may be long or hold what no log should show."""
    problem = _POSITION.sub("", str(error)).rpartition("': ")[2]
    if "surrogates not allowed" in problem:
        problem = "the string is not UTF-8"
    if error.GetLine() is None:
        return escaped(problem)
    return f"line {error.GetLine()}, column {error.GetColumn()}: {escaped(problem)}"
