"""Flux as far as it evaluates healthCheckExprs; the expressions are those of docs/flux.md.

Not for: what it does with the answer.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import cel
import yaml

Json = dict[str, Any]

PAGE = Path(__file__).parents[2] / "docs" / "flux.md"
FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ORDER = (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current"))


@cache
def written() -> list[Json]:
    """Read the objects of the page."""
    blocks = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    return [body for block in blocks for body in yaml.safe_load_all(block)]


def _expressions() -> list[Json]:
    bodies = [body for body in written() if "healthCheckExprs" in body.get("spec", {})]
    return [exprs for body in bodies for exprs in body["spec"]["healthCheckExprs"]]


STRICT, PAUSED_IS_CURRENT = _expressions()


@cache
def _compiled(expression: str) -> cel.Program:
    return cel.compile(expression)


def status(exprs: Json, body: Json) -> str:
    """Evaluate the expressions as Flux does (pkg/runtime/cel): the first one that is true counts.

    Raises:
        an error: of an expression that cannot be evaluated, which fails the health check.
    """
    seen = (body.get("status") or {}).get("observedGeneration")
    if seen is not None and seen != body["metadata"]["generation"]:
        return "InProgress"
    for name, answer in ORDER:
        if name in exprs:
            found = _compiled(exprs[name]).execute(body)
            assert isinstance(found, bool)
            if found:
                return answer
    return "InProgress"
