"""The operator's log: one line an entry, with the fields of the reconcile that it belongs to.

Not for: telling users about their services; that is status and events. Bodies of objects are never logged.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TextIO

from triton_operator.api.settings import Log

_bound: ContextVar[Mapping[str, str | int]] = ContextVar("bound", default=MappingProxyType({}))

# Loggers of libraries, and the least level at which they tell an administrator something.
_LIBRARIES = {
    "kopf": logging.WARNING,  # "Handler 'x' succeeded" for every event
    "kopf.objects": logging.WARNING,
    "kopf._core.reactor.running": logging.ERROR,  # that signals are ignored in its thread, which is meant
    "asyncio": logging.WARNING,
    "aiohttp": logging.WARNING,
    "kubernetes": logging.WARNING,
    "urllib3": logging.WARNING,
}


@contextmanager
def bound(**fields: str | int) -> Iterator[None]:
    """Give every entry that is logged inside these fields, in this task and in those it starts."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def bind(**fields: str | int) -> None:
    """Add fields to the surrounding `bound`, such as a generation that is known only later."""
    _bound.set({**_bound.get(), **fields})


def configure(settings: Log, *, stream: TextIO | None = None) -> None:
    """Send all logs of the process to one stream.

    Args:
        settings: level and format.
        stream: where to; None: standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.setLevel(level)
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(level, least))


class JsonLines(logging.Formatter):
    """An object a line: time, level, logger, message, the bound fields, and error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one entry."""
        entry: dict[str, str | int] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _bound.get().items():
            entry.setdefault(name, value)
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextLines(logging.Formatter):
    """For people: time, level, message and the bound fields on one line; a traceback on those that follow."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one entry."""
        # Messages can quote what users wrote: a line break in it must not look like another entry.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        fields = "".join(f" {name}={value}" for name, value in _bound.get().items())
        line = f"{_time(record)} {record.levelname:<7} {message} [{record.name}]{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
