"""The Kubernetes API: a few verbs on plain dicts, with time limits, patience with a busy server, and error types.

Not for: the typed classes of the client library, which cost memory and time and are never used here; nor for watches of
what the operator reconciles, which are Kopf's (`controller.events`).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.edges import wire
from triton_operator.edges.credentials import load_configuration
from triton_operator.edges.errors import AlreadyExists, ApiError, Conflict, NotFound
from triton_operator.edges.lists import Form, Page, pages
from triton_operator.edges.wire import Request

Object = dict[str, Any]
Objects = list[Object]

CALL_SECONDS = 30.0
"""Time limit of one request, from connecting to the last byte of the answer."""

PATIENCE_SECONDS = 10.0
"""How long one call waits in all when the server answers 429 or 503 with Retry-After; then it raises, and the rest is
the caller's to wait."""

# Not the bare type: for that the client library writes JSON that is not YAML (two \\u escapes for one character).
_APPLY = "application/apply-patch+yaml; charset=utf-8"
_LOG_LINES = 500
_LOG_BYTES = 1 << 20


class Observer(Protocol):
    """Whoever counts the calls."""

    def called(self, *, verb: str, code: str) -> None:
        """Count one request: its Kubernetes verb, and the HTTP status, "timeout", "unreachable" or "cancelled"."""


class Kube:
    """One connection pool to the API server.

    Every method raises `ApiError` or a subclass of it when the server refuses or does not answer.
    """

    def __init__(self, client: ApiClient, *, concurrency: int, observer: Observer) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(concurrency)
        self._observer = observer

    @classmethod
    @asynccontextmanager
    async def connect(cls, *, concurrency: int, observer: Observer) -> AsyncIterator[Self]:
        """Connect as the pod's service account or, outside a cluster, by the kubeconfig that KUBECONFIG names.

        Args:
            concurrency: requests in flight at a time.
            observer: told about every answer.
        """
        # One connection more for `changed`, which holds its own.
        configuration = await load_configuration(connections=concurrency + 1)
        async with ApiClient(configuration) as client:
            client.user_agent = f"{names.OPERATOR}/{version('triton-operator')}"
            yield cls(client, concurrency=concurrency, observer=observer)

    async def get(self, kind: Kind, *, namespace: str | None, name: str) -> Object | None:
        """Read one object; None when there is none of that name."""
        try:
            return await self._json("get", Request("GET", wire.path(kind, namespace=namespace, name=name)))
        except NotFound:
            return None

    async def list(
        self, kind: Kind, *, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> Objects:
        """List the objects of a kind, of one namespace or (None) of all; see `pages`."""
        items: Objects = []
        async for page in self.pages(kind, namespace, label_selector=label_selector, field_selector=field_selector):
            items = page.items if page.is_first else items + page.items
        return items

    async def list_cached(self, kind: Kind, *, namespace: str | None, label_selector: str) -> Objects:
        """List the objects of a kind as the API server remembers them: cheap for it, and perhaps some seconds old.

        Args:
            kind: the type.
            namespace: the namespace, or None for all.
            label_selector: as in `kubectl -l`.

        Returns:
            All of them, in one answer.
        """
        query = {"labelSelector": label_selector, "resourceVersion": "0"}
        answer = await self._json("list", Request("GET", wire.path(kind, namespace=namespace), query=query))
        return list(answer.get("items") or ())

    def pages(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        form: Form = Form.WHOLE,
    ) -> AsyncIterator[Page]:
        """List the objects of a kind completely, a page at a time, so that never all of them are in memory.

        Args:
            kind: the type.
            namespace: the namespace, or None for all.
            label_selector: as in `kubectl -l`; empty: all.
            field_selector: as in `kubectl --field-selector`; empty: all.
            form: how much of each object.

        Returns:
            The pages; with a first one in between, what came before it counts no more.
        """

        async def ask(query: dict[str, str]) -> Object:
            return await self._json(
                "list", Request("GET", wire.path(kind, namespace=namespace), query=query, accept=form)
            )

        return pages(ask, kind, {"labelSelector": label_selector, "fieldSelector": field_selector})

    async def create(self, body: Object, *, kind: Kind) -> Object:
        """Create an object by POST.

        For what is later written by `update`. A child that is later applied is made by `create_applied`.

        Raises:
            AlreadyExists: an object of that name is there.
        """
        return await self._json(
            "create",
            Request(
                "POST",
                wire.path(kind, namespace=body["metadata"].get("namespace")),
                query={"fieldManager": names.FIELD_MANAGER},
                body=body,
            ),
        )

    async def create_applied(self, body: Object, *, kind: Kind) -> Object:
        """Create an object by server-side apply, without ever touching one that exists.

        A resourceVersion that no object can have (etcd's first write is revision 2) makes the API server refuse the
        apply with 409 when the object exists, whatever is in it, and means nothing when it does not. Unlike POST it
        leaves field ownership of operation Apply, without which later applies could not remove a field.

        Raises:
            AlreadyExists: an object of that name is there.
        """
        impossible = body | {"metadata": body["metadata"] | {"resourceVersion": "1"}}
        try:
            return await self.apply(impossible, kind=kind)
        except Conflict as error:
            raise AlreadyExists(
                status=error.status,
                reason="AlreadyExists",
                message=f'{kind.plural} "{body["metadata"]["name"]}" already exists',
            ) from error

    async def apply(self, body: Object, *, kind: Kind, subresource: str | None = None) -> Object:
        """Write an object by server-side apply, as the one field manager of the operator, taking over its fields.

        Args:
            body: the fields we mean. With `metadata.uid` the object must be that very one; without, it is created when
                there is none.
            kind: the body's type.
            subresource: "status", or None for the object itself.

        Returns:
            The object as the server holds it now.

        Raises:
            Conflict: the object is gone or was re-created (`metadata.uid`), or changed (`metadata.resourceVersion`).
        """
        metadata = body["metadata"]
        try:
            return await self._json(
                "patch",
                Request(
                    "PATCH",
                    wire.path(
                        kind, namespace=metadata.get("namespace"), name=metadata["name"], subresource=subresource
                    ),
                    query={"fieldManager": names.FIELD_MANAGER, "force": "true"},
                    body=body,
                    content_type=_APPLY,
                ),
            )
        except ApiError as error:
            # Another uid is answered with 409 when the object is absent, but with 422 when another one took its name.
            if error.status == 422 and "uid" in metadata and "metadata.uid: " in error.message:
                raise Conflict(status=409, reason="Conflict", message=error.message) from error
            raise

    async def update(self, body: Object, *, kind: Kind) -> Object:
        """Replace an object by PUT; `metadata.resourceVersion` is the precondition.

        Raises:
            Conflict: the object changed since it was read.
            NotFound: the object is gone.
        """
        metadata = body["metadata"]
        return await self._json(
            "update",
            Request(
                "PUT",
                wire.path(kind, namespace=metadata.get("namespace"), name=metadata["name"]),
                query={"fieldManager": names.FIELD_MANAGER},
                body=body,
            ),
        )

    async def delete(self, kind: Kind, *, namespace: str | None, name: str, uid: str | None) -> None:
        """Delete an object, its dependents in the background; it is no error when it is gone already.

        Args:
            kind: the type.
            namespace: the object's namespace.
            name: the object's name.
            uid: only this very object; None: whichever has the name.

        Raises:
            Conflict: another object has that name now.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._json("delete", Request("DELETE", wire.path(kind, namespace=namespace, name=name), body=options))
        except NotFound:
            return

    async def log(self, namespace: str, pod: str, container: str, *, previous: bool, limit_bytes: int) -> str:
        """Read the end of a container's log.

        Args:
            namespace: the pod's namespace.
            pod: the pod's name.
            container: the container's name.
            previous: of the container's previous run instead of the present one.
            limit_bytes: most bytes returned, the last ones.

        Returns:
            The text; "" when there is no such log (yet, or any more).
        """
        try:
            data = await self._call(
                "get",
                Request(
                    "GET",
                    wire.path(names.POD, namespace=namespace, name=pod, subresource="log"),
                    query={
                        "container": container,
                        "previous": "true" if previous else "",
                        "tailLines": str(_LOG_LINES),
                        "limitBytes": str(_LOG_BYTES),
                    },
                ),
            )
        except ApiError as error:
            if error.status in (400, 404):
                return ""
            raise
        return data[-limit_bytes:].decode("utf-8", errors="replace")

    async def served(self, kind: Kind) -> bool:
        """Tell whether the API server serves a type, such as one that a CRD brings."""
        try:
            answer = await self._json("get", Request("GET", wire.group_path(kind)))
        except NotFound:
            return False
        return any(resource["name"] == kind.plural for resource in answer["resources"])

    async def changed(self, kind: Kind, *, namespace: str, name: str, since: str, within_seconds: float) -> bool:
        """Wait until an object is no longer at a resourceVersion, or until the time is over, whichever is first.

        Args:
            kind: the type.
            namespace: the object's namespace.
            name: the object's name.
            since: the resourceVersion last seen.
            within_seconds: time to wait at most.

        Returns:
            Whether it changed; False also when the server ended the wait early, or cannot tell because it has forgotten
            what followed on that resourceVersion.
        """
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": since,
            "timeoutSeconds": str(max(1, int(within_seconds))),
        }
        try:
            async with asyncio.timeout(within_seconds):
                response = await self._send(Request("GET", wire.path(kind, namespace=namespace), query=query))
                try:
                    self._observer.called(verb="watch", code=str(response.status))
                    if response.status >= 400:
                        wire.refuse(response, await response.read())
                    # The first line may also say that the resourceVersion is too old to watch from.
                    line = await response.content.readline()
                    return line != b"" and json.loads(line)["type"] != "ERROR"
                finally:
                    response.close()
        except TimeoutError:
            return False
        except aiohttp.ClientError as error:
            raise ApiError(status=0, reason="Unreachable", message=f"The API server: {error}") from error

    async def _json(self, verb: str, request: Request) -> Object:
        answer: Object = json.loads(await self._call(verb, request))
        return answer

    async def _call(self, verb: str, request: Request) -> bytes:
        patience = PATIENCE_SECONDS
        async with self._slots:  # kept while waiting for a busy server: all callers together slow down
            while True:
                try:
                    return await self._attempt(verb, request)
                except ApiError as error:
                    if error.status not in (429, 503) or error.retry_after is None or error.retry_after > patience:
                        raise
                    pause = max(error.retry_after, 1.0)
                    patience -= pause
                    await asyncio.sleep(pause)

    async def _attempt(self, verb: str, request: Request) -> bytes:
        code = "cancelled"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                response = await self._send(request)
                try:
                    data: bytes = await response.read()
                finally:
                    response.release()
            code = str(response.status)
        except TimeoutError as error:
            code = "timeout"
            message = f"No answer from the API server to {request.method} {request.path} within {CALL_SECONDS:g} s"
            raise ApiError(status=0, reason="Timeout", message=message) from error
        except aiohttp.ClientError as error:
            code = "unreachable"
            message = f"The API server cannot be reached for {request.method} {request.path}: {error}"
            raise ApiError(status=0, reason="Unreachable", message=message) from error
        finally:
            self._observer.called(verb=verb, code=code)
        if response.status >= 400:
            wire.refuse(response, data)
        return data

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        # Not `ApiClient.param_serialize`: it copies the body member by member, which costs more than the request.
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": self._client.user_agent,
        }
        body = request.body
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.method, body)
        given = urlencode({key: value for key, value in request.query.items() if value}, quote_via=quote)
        answer = await self._client.call_api(
            request.method,
            f"{self._client.configuration.host}{request.path}{'?' if given else ''}{given}",
            header_params=headers,
            body=wire.as_yaml(body) if request.content_type == _APPLY and body is not None else body,
            _request_timeout=aiohttp.ClientTimeout(total=None),
        )
        response: aiohttp.ClientResponse = answer.response
        return response
