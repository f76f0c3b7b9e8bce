"""The Kubernetes API as a person with a kubeconfig uses it: contexts, annotations, dry runs, and what one may do.

Not for: the operator, whose writes take fields over (`edges.kubernetes`); here only what the person may do is done.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.request import getproxies

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.kube_config import KubeConfigMerger

from triton_operator.api.names import INFERENCE_SERVICE, Kind
from triton_operator.edges import wire
from triton_operator.edges.kubernetes import Kube, Object
from triton_operator.edges.place import Place
from triton_operator.edges.wire import Request

FIELD_MANAGER = "kubectl-triton"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml; charset=utf-8"
_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
_CONNECTIONS = 8
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoLogin(Exception):
    """It cannot be told which cluster is meant, or as whom to ask; the message says what to do."""


class _Nobody:
    """Counts nothing."""

    def called(self, *, verb: str, code: str) -> None:
        """Pass the call over."""


class Person(Kube):
    """A connection to the API server with a person's credentials.

    Attributes:
        context: the context of the kubeconfig; "" for the service account of a pod.
        namespace: the namespace that is worked in.
        server: address of the API server.
    """

    def __init__(self, client: ApiClient, *, context: str, namespace: str) -> None:
        super().__init__(client, concurrency=_CONNECTIONS, observer=_Nobody())
        self.context = context
        self.namespace = namespace
        self.server = str(client.configuration.host)

    @classmethod
    @asynccontextmanager
    async def signed_in(cls, place: Place) -> AsyncIterator[Self]:
        """Connect as a kubeconfig says; without any, in a pod, as its service account.

        Raises:
            NoLogin: there is no such kubeconfig or context, or it cannot be used.
        """
        configuration = Configuration()
        configuration.retries = None
        configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
        configuration.connection_pool_maxsize = _CONNECTIONS + 1
        context, namespace = await _signed_in(place, configuration)
        async with ApiClient(configuration) as client:
            client.user_agent = f"{FIELD_MANAGER}/{version('triton-operator')}"
            yield cls(client, context=context, namespace=place.namespace or namespace)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Read whatever stands at a path, such as /version."""
        return await self._json("get", Request("GET", path, query=query or {}))

    async def read_service(self, *, namespace: str, name: str) -> Object:
        """Read an InferenceService.

        Raises:
            NotFound: there is none of that name, or the cluster does not know the kind; the message tells which.
        """
        return await self._json("get", Request("GET", wire.path(INFERENCE_SERVICE, namespace=namespace, name=name)))

    async def annotate(
        self, kind: Kind, *, namespace: str, name: str, resource_version: str, annotations: Mapping[str, str]
    ) -> Object:
        """Set annotations of an object, if it has not changed since it was read.

        Args:
            kind: its type.
            namespace: its namespace.
            name: its name.
            resource_version: what it was when it was read.
            annotations: by key.

        Raises:
            Conflict: it has changed meanwhile.
        """
        body = {"metadata": {"resourceVersion": resource_version, "annotations": dict(annotations)}}
        path, query = wire.path(kind, namespace=namespace, name=name), {"fieldManager": FIELD_MANAGER}
        return await self._json("patch", Request("PATCH", path, query=query, body=body, content_type=_MERGE))

    async def tried(self, body: Object, *, kind: Kind, namespace: str) -> Object:
        """Apply an object without storing it, and give what it would be.

        Raises:
            Invalid: the API server would refuse it; the message says why.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
        path = wire.path(kind, namespace=namespace, name=body["metadata"]["name"])
        return await self._json("patch", Request("PATCH", path, query=query, body=body, content_type=_APPLY))

    async def may(self, verb: str, kind: Kind, *, namespace: str | None, subresource: str = "") -> bool:
        """Ask whether this person may do something."""
        attributes: dict[str, Any] = {"verb": verb, "group": kind.group, "resource": kind.plural}
        attributes |= {"namespace": namespace} if namespace else {}
        attributes |= {"subresource": subresource} if subresource else {}
        body = {"apiVersion": _REVIEW.api_version, "kind": _REVIEW.kind, "spec": {"resourceAttributes": attributes}}
        answer = await self._json("create", Request("POST", wire.path(_REVIEW, namespace=None), body=body))
        return bool(answer["status"].get("allowed"))


def contexts(place: Place) -> list[str]:
    """List the contexts of a kubeconfig.

    Raises:
        NoLogin: it is none.
    """
    return sorted(_merged(_paths(place))[0])


def _paths(place: Place) -> str:
    return place.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _merged(paths: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Read the contexts of a kubeconfig, by name, and which one is the current one."""
    # The client library would take a list of files that are not there for an empty one, and fail without a word.
    if not (there := _files(paths)):
        return {}, ""
    try:
        merged = KubeConfigMerger(os.pathsep.join(there)).config.value  # type: ignore[no-untyped-call]  # has no types
        known = {str(context["name"]): context.value["context"] or {} for context in merged["contexts"]}
    except (yaml.YAMLError, OSError, KeyError, TypeError, AttributeError, config.ConfigException) as error:
        raise NoLogin(f"{paths} is not a kubeconfig: {error}") from error
    return known, str(merged.get("current-context") or "")


async def _signed_in(place: Place, configuration: Configuration) -> tuple[str, str]:
    """Fill the configuration; give the context and its namespace."""
    paths = _paths(place)
    if not (there := _files(paths)):
        return _in_pod(place, configuration, paths)
    known, current = _merged(paths)
    if not (context := place.context or current):
        raise NoLogin(f"{paths} names no current context: kubectl config use-context NAME, or --context NAME")
    if context not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise NoLogin(f"there is no context {context} in {paths}; there are: {listed}")
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library's config has no types
            config_file=os.pathsep.join(there),
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (config.ConfigException, OSError, KeyError, ValueError, aiohttp.ClientError) as error:
        raise NoLogin(f"context {context} of {paths} cannot be used: {error}") from error
    return context, str(known[context].get("namespace") or "default")


def _files(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path and Path(path).expanduser().is_file()]


def _in_pod(place: Place, configuration: Configuration, paths: str) -> tuple[str, str]:
    if place.kubeconfig or place.context:
        raise NoLogin(f"there is no kubeconfig {paths}")
    try:
        config.load_incluster_config(  # type: ignore[no-untyped-call]  # the library's config has no types
            client_configuration=configuration
        )
        return "", _IN_POD.read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise NoLogin(f"no cluster: there is no kubeconfig {paths}; set KUBECONFIG, or --kubeconfig FILE") from error
