"""InferenceServices in files, as kubectl takes them with -f: files, folders, standard input.

Not for: whether they are right; that is `cli.breaches`.
"""

import sys
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from triton_operator.api.names import GROUP, INFERENCE_SERVICE
from triton_operator.cli.errors import Exit, Trouble

Json = dict[str, Any]

_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True, slots=True)
class Document:
    """One InferenceService in a file.

    Attributes:
        file: the file, - for standard input.
        name: of the service; "?" if it has none.
        body: what is written.
        trouble: why it cannot be read, with line and column; "" if it can.
    """

    file: str
    name: str
    body: Json
    trouble: str = ""


class _Strict(yaml.SafeLoader):
    """Refuses a key that is given twice, as an API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def documents(files: Sequence[str]) -> tuple[Document, ...]:
    """Read all InferenceServices of files; other kinds are passed over.

    Raises:
        Trouble: a file cannot be read, or there is no InferenceService in any.
    """
    found = [document for file in files for path in _paths(file) for document in _read(path)]
    if not found:
        raise Trouble(f"no InferenceService in {', '.join(files)}", Exit.USAGE)
    return tuple(found)


def _paths(file: str) -> list[str]:
    path = Path(file)
    if file == "-" or path.is_file():
        return [file]
    if path.is_dir():
        return sorted(str(each) for each in path.iterdir() if each.suffix in _SUFFIXES)
    raise Trouble(f"there is no file {file}", Exit.USAGE)


def _read(file: str) -> Iterator[Document]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{file} cannot be read: {error}", Exit.USAGE) from error
    try:
        bodies = list(yaml.load_all(text, Loader=_Strict))
    except yaml.YAMLError as error:
        yield Document(file, "?", {}, f"this is no YAML: {_told(error)}")
        return
    for body in bodies:
        yield from _of(file, body)


def _of(file: str, body: Any) -> Iterator[Document]:
    if not isinstance(body, dict):
        return
    if body.get("kind") == "List" and isinstance(body.get("items"), list):
        for item in body["items"]:
            yield from _of(file, item)
        return
    if body.get("kind") == INFERENCE_SERVICE.kind and str(body.get("apiVersion", GROUP)).partition("/")[0] == GROUP:
        metadata = body.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        yield Document(file, str(name or "?"), body)


def _told(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
