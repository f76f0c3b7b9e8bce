"""The API server as tests use it: plain requests, answers and refusals.

Not for: what the operator does; its own port (`edges.kubernetes`) takes fields over and never asks for a dry run.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from triton_operator.api.names import API_VERSION, GROUP, INFERENCE_SERVICE, VERSION

Json = dict[str, Any]

JSON = "application/json"
YAML = "application/yaml"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said.

    Attributes:
        code: HTTP status.
        body: the object, or the Status that says why not.
        warnings: the Warning headers, such as those about unknown fields.
    """

    code: int
    body: Json
    warnings: str

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and message of each thing that is wrong."""
        causes = self.body.get("details", {}).get("causes") or []
        return [(cause.get("field", ""), cause.get("message", "")) for cause in causes]


class ApiServer:
    """One connection to the API server."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration, persist_config=False)
        self._client = ApiClient(configuration)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        content_type: str = YAML,
        accept: str = JSON,
        **query: str,
    ) -> Answer:
        """Send one request; a refusal is an answer too."""
        headers = {"Accept": accept, "Content-Type": content_type}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._client.configuration.host}{path}{'?' if query else ''}{urlencode(query)}"
        text = encoded(body) if body is not None and content_type in (APPLY, YAML) else body
        response = self._client.rest_client.request(method, url, headers=headers, body=text, _request_timeout=30)
        data = response.read()
        return Answer(response.status, json.loads(data), response.getheader("Warning") or "")

    def apply(
        self, body: Json, *, path: str, manager: str = "tests", dry_run: bool = False, force: str = "false"
    ) -> Answer:
        """Apply an object server-side, strictly, without taking over others' fields unless told to."""
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": force}
        return self.ask("PATCH", path, body=body, content_type=APPLY, **query, **({"dryRun": "All"} if dry_run else {}))

    def try_spec(self, spec: Any, *, name: str = "sample", validation: str = "Strict") -> Answer:
        """Ask whether an InferenceService with this spec would be taken; nothing is stored."""
        body = inference_service(spec, name=name, namespace="default")
        query = {"dryRun": "All", "fieldValidation": validation}
        return self.ask("POST", services_path("default"), body=body, **query)


def encoded(body: Json) -> str:
    """Write a body as JSON that is YAML too: as kubectl does, and unlike the client library, which writes a character
    beyond U+FFFF as two escapes, that YAML does not know.
    """
    text = json.dumps(body, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def services_path(namespace: str, name: str = "", subresource: str = "") -> str:
    """Name the URL of the InferenceServices of a namespace, of one of them, or of a subresource of it."""
    parts = ["/apis", GROUP, VERSION, "namespaces", namespace, INFERENCE_SERVICE.plural, name, subresource]
    return "/".join(part for part in parts if part)


def inference_service(spec: Any, *, name: str, namespace: str) -> Json:
    """Make an InferenceService."""
    return {
        "apiVersion": API_VERSION,
        "kind": INFERENCE_SERVICE.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
