"""Lists of the Kubernetes API, page by page.

Not for: keeping what they show; see `controller.store`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from triton_operator.api.names import Kind
from triton_operator.edges.errors import ApiError

CHUNK = 100
"""Objects per page: bounds the memory of a list on both sides."""

Ask = Callable[[dict[str, str]], Awaitable[dict[str, Any]]]
"""Asks for a list with this query."""


class Form(StrEnum):
    """How much of each object a list has."""

    WHOLE = "application/json"
    METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a complete list.

    Attributes:
        items: objects, each with apiVersion and kind.
        resource_version: the state of the cluster that the list shows.
        is_first: whether the list begins with it, perhaps anew because it had expired half-way.
    """

    items: list[dict[str, Any]]
    resource_version: str
    is_first: bool


async def pages(ask: Ask, kind: Kind, query: dict[str, str]) -> AsyncIterator[Page]:
    """Ask for page after page; see `Kube.pages`."""
    place = {"limit": str(CHUNK)}
    while True:
        try:
            answer = await ask(query | place)
        except ApiError as error:
            if error.status != 410 or "continue" not in place:
                raise
            # The pages expired half-way. One page cannot expire, so this happens once.
            place = {}
            continue
        yield Page(
            items=[item | {"apiVersion": kind.api_version, "kind": kind.kind} for item in answer.get("items") or ()],
            resource_version=answer["metadata"]["resourceVersion"],
            is_first="continue" not in place,
        )
        if not (token := answer["metadata"].get("continue")):
            return
        place = {"limit": str(CHUNK), "continue": token}
