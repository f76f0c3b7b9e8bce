"""What a user and an administrator do to a cluster, over HTTP and under a field manager that is not the operator's.

Not for: how the operator itself talks to the API server; that is `triton_operator.edges.kubernetes`.
"""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from triton_operator.api import names
from triton_operator.api.names import Kind

Json = dict[str, Any]
Objects = list[Json]

FIELD_MANAGER = "benchmarks"
CALL_SECONDS = 60.0
NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
# The types whose plural is not the kind with an s.
_PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets"}
_CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "Node"}


class Refused(Exception):
    """The API server refused a request; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A connection to the API server; objects are plain dicts."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, *, token: str, trusted: ssl.SSLContext) -> AsyncIterator[Self]:
        """Connect.

        Args:
            url: the server's address.
            token: says who we are.
            trusted: the certificates that are trusted.
        """
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
        ) as session:
            yield cls(session, url)

    async def is_ready(self) -> bool:
        """Ask the server whether it is ready."""
        async with self._session.get(f"{self._url}/readyz") as answer:
            return answer.status == 200

    async def serves(self, kind: Kind) -> bool:
        """Ask the server whether it serves a type."""
        async with self._session.get(f"{self._url}/apis/{kind.group}/{kind.version}/{kind.plural}?limit=1") as answer:
            return answer.status == 200

    async def apply(self, body: Json) -> Json:
        """Apply an object of any type."""
        metadata, kind = body["metadata"], body["kind"]
        group, _, version = body["apiVersion"].rpartition("/")
        type_ = Kind(group, version, kind, _PLURALS.get(kind, f"{kind.lower()}s"))
        namespace = None if kind in _CLUSTER_WIDE else metadata["namespace"]
        return await self._write("PATCH", type_, namespace, metadata["name"], body, _APPLY)

    async def create(self, kind: Kind, body: Json) -> Json:
        """Create an object."""
        return await self._write("POST", kind, body["metadata"].get("namespace"), "", body, "application/json")

    async def merge(self, kind: Kind, namespace: str | None, name: str, patch: Json, *, subresource: str = "") -> Json:
        """Change fields of an object by a merge patch.

        Args:
            kind: its type.
            namespace: its namespace; None for what is in none.
            name: its name.
            patch: the fields; None removes one.
            subresource: such as "status"; empty: the object itself.
        """
        path = f"{name}/{subresource}" if subresource else name
        return await self._write("PATCH", kind, namespace, path, patch, _MERGE)

    async def bind(self, namespace: str, pod: str, node: str) -> None:
        """Give a pod to a node, as a scheduler does.

        Args:
            namespace: the pod's namespace.
            pod: the pod's name.
            node: the node's name.
        """
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        await self._write("POST", names.POD, namespace, f"{pod}/binding", body, "application/json")

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, grace_seconds: int | None = None) -> bool:
        """Delete an object, its dependents in the background.

        Args:
            kind: its type.
            namespace: its namespace.
            name: its name.
            grace_seconds: time for a pod to end, instead of its own; 0: it has ended.

        Returns:
            Whether there was one.
        """
        options: Json = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._write("DELETE", kind, namespace, name, options, "application/json")
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return True

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """Read an object; None when there is none of that name."""
        async with self._session.get(self._path(kind, namespace, name)) as answer:
            return None if answer.status == 404 else await _read(answer)

    async def list(self, kind: Kind, namespace: str) -> Objects:
        """List the objects of a kind in a namespace."""
        return (await self._listing(kind, namespace))[0]

    async def watch(self, kind: Kind, namespace: str) -> AsyncIterator[Json]:
        """Yield every object that appears or changes from now on, for ever; and those that are there, first."""
        items, version = await self._listing(kind, namespace)
        for item in items:
            yield item
        forever = aiohttp.ClientTimeout(total=None)
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "86400"}
        async with self._session.get(self._path(kind, namespace), params=query, timeout=forever) as answer:
            rest = b""
            async for data in answer.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        yield event["object"]
        raise Refused(0, f"the watch of {kind.plural} has ended")

    async def _listing(self, kind: Kind, namespace: str) -> tuple[Objects, str]:
        async with self._session.get(self._path(kind, namespace)) as answer:
            body = await _read(answer)
        return body["items"] or [], body["metadata"]["resourceVersion"]

    async def _write(
        self, method: str, kind: Kind, namespace: str | None, name: str, body: Json, content_type: str
    ) -> Json:
        query = {"fieldManager": FIELD_MANAGER} if method != "DELETE" else {}
        if content_type == _APPLY:
            query["force"] = "true"
        async with self._session.request(
            method,
            self._path(kind, namespace, name),
            params=query,
            data=json.dumps(body),
            headers={"Content-Type": content_type},
        ) as answer:
            return await _read(answer)

    def _path(self, kind: Kind, namespace: str | None, name: str = "") -> str:
        root = f"apis/{kind.group}" if kind.group else "api"
        where = f"namespaces/{namespace}/" if namespace else ""
        return f"{self._url}/{root}/{kind.version}/{where}{kind.plural}/{name}".rstrip("/")


async def _read(answer: aiohttp.ClientResponse) -> Json:
    body: Json = json.loads(await answer.read())
    if answer.status >= 400:
        raise Refused(answer.status, body.get("message", ""))
    return body
