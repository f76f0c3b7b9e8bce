"""Reading what a cluster has, again and again: kubectl starts anew each time, which takes longer than the answer.

Not for: changing anything, which stories do with kubectl and helm, as users do.
"""

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from typing import Any

from cluster.processes import bound_to_us
from cluster.provider import Cluster

Json = dict[str, Any]

_READY = re.compile(r"Starting to serve on (127\.0\.0\.1:\d+)")


class Api:
    """The API of a cluster, through `kubectl proxy`."""

    def __init__(self, cluster: Cluster) -> None:
        """Start the proxy."""
        command = bound_to_us([cluster.tools / "kubectl", "proxy", "--port=0"])
        environment = {**os.environ, **cluster.environment()}
        self._proxy = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._proxy.stdout
        told = self._proxy.stdout.readline()
        found = _READY.search(told)
        assert found, f"kubectl proxy said {told!r}"
        self._url = f"http://{found[1]}"
        self._prefixes: dict[str, tuple[str, str]] = {}

    def close(self) -> None:
        """End the proxy."""
        self._proxy.terminate()
        self._proxy.wait()

    def get(self, kind: str, name: str, *, namespace: str) -> Json:
        """Read one object of a kind, by its plural, singular or short name."""
        return self._read(f"{self._path(kind, namespace)}/{name}")

    def list(self, kinds: str, *, namespace: str, selector: str = "", fields: str = "") -> "list[Json]":
        """List objects of one kind, or of several with commas between them."""
        chosen = {"labelSelector": selector, "fieldSelector": fields}
        query = urllib.parse.urlencode({key: value for key, value in chosen.items() if value})
        found: list[Json] = []
        for kind in kinds.split(","):
            answer = self._read(f"{self._path(kind, namespace)}?{query}")
            # As kubectl prints them: in a list items do not say what they are.
            named = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
            found += [named | item for item in answer["items"]]
        return found

    def _path(self, kind: str, namespace: str) -> str:
        if kind not in self._prefixes:
            self._discover()
        prefix, plural = self._prefixes[kind]
        return f"{prefix}/namespaces/{namespace}/{plural}"

    def _discover(self) -> None:
        groups = [group["preferredVersion"]["groupVersion"] for group in self._read("/apis")["groups"]]
        for prefix in ("/api/v1", *(f"/apis/{group}" for group in groups)):
            for kind in self._read(prefix)["resources"]:
                for word in (kind["name"], kind["singularName"], *kind.get("shortNames", ())):
                    self._prefixes.setdefault(word, (prefix, kind["name"]))

    def _read(self, path: str) -> Json:
        with urllib.request.urlopen(self._url + path, timeout=30) as answer:
            body: Json = json.load(answer)
        return body
