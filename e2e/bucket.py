"""An S3 server in a namespace, and a bucket of models in it."""

import json
from typing import Any

from stories import Namespace, model

Json = dict[str, Any]

BUCKET = "models"
KEY, SECRET = "a-key-of-the-story", "the-secret-of-the-story"
_PORT = 7070
_PUT = """
import json, sys
from obstore.store import S3Store
endpoint, key, secret, files = json.load(sys.stdin)
store = S3Store("models", endpoint=endpoint, access_key_id=key, secret_access_key=secret, region="us-east-1",
                virtual_hosted_style_request=False, client_options={"allow_http": True})
for path, text in files.items():
    store.put(path, text.encode())
"""


class Bucket:
    """A bucket, as who trains models fills it; the namespace has a caller."""

    def __init__(self, namespace: Namespace, *, image: str, shell: str) -> None:
        """Start the server and make Secrets with its key (`models`), and with a wrong one (`wrong`).

        Args:
            namespace: where.
            image: the server's.
            shell: an image with Python.
        """
        self._namespace = namespace
        self.endpoint = f"http://s3.{namespace.name}.svc:{_PORT}"
        namespace.apply(
            self._server(image, shell), _service(), self._secret("models", SECRET), self._secret("wrong", "x")
        )
        self.wait()

    def wait(self) -> None:
        """Wait until the server answers."""
        self._namespace.kubectl("rollout", "status", "deployment/s3", "--timeout=60s")

    def stop(self) -> None:
        """Let nothing answer any more."""
        self._namespace.kubectl("scale", "deployment/s3", "--replicas=0")
        self._namespace.kubectl("wait", "pod", "--selector=app=s3", "--for=delete", "--timeout=60s")

    def put(self, version: int, *, add: int) -> None:
        """Put a version of the model `adder` into the bucket, or write over it."""
        files = model("adder", add=add)["data"]
        paths = {
            "vision/adder/config.pbtxt": files["config.pbtxt"],
            f"vision/adder/{version}/model.py": files["model.py"],
        }
        order = json.dumps([self.endpoint, KEY, SECRET, paths]).encode()
        self._namespace.kubectl("exec", "--stdin", "caller", "--", "python", "-c", _PUT, stdin=order)

    def _secret(self, name: str, secret: str) -> Json:
        values = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret, "AWS_ENDPOINT_URL": self.endpoint}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}

    def _server(self, image: str, shell: str) -> Json:
        locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        mounts = [{"name": "data", "mountPath": "/data"}]
        options = ["--port", f":{_PORT}", "--access", KEY, "--secret", SECRET, "--quiet", "posix", "/data"]
        labels = {"app": "s3"}
        nobody = {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        make = {"name": "bucket", "image": shell, "command": ["mkdir", "-p", f"/data/{BUCKET}"]}
        serve = {"name": "s3", "image": image, "command": ["/versitygw", *options]}
        probe = {"tcpSocket": {"port": _PORT}, "periodSeconds": 1}
        common = {"volumeMounts": mounts, "securityContext": locked}
        pod = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": nobody,
            "initContainers": [make | common],
            "containers": [serve | common | {"readinessProbe": probe}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "s3"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


def _service() -> Json:
    ports = [{"port": _PORT, "targetPort": _PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s3"},
        "spec": {"selector": {"app": "s3"}, "ports": ports},
    }
