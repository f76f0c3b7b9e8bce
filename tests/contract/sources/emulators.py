"""Emulators of Google Cloud Storage (fake-gcs-server) and Azure Blob Storage (Azurite) on loopback.

Not for: the clouds' own access control, which neither of them has in full.
"""

import base64
import email.utils
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

RECIPE = Path(__file__).with_name("azurite")
ACCOUNT = "devstoreaccount1"
# The key that Microsoft documents for Azurite; it opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Gcs:
    """A server of buckets that anybody may read."""

    url: str

    def create(self, bucket: str) -> None:
        self._post(f"{self.url}/storage/v1/b?project=tests", json.dumps({"name": bucket}).encode())

    def put(self, files: Mapping[str, bytes], *, bucket: str) -> None:
        for name, content in files.items():
            query = urllib.parse.urlencode({"uploadType": "media", "name": name})
            self._post(f"{self.url}/upload/storage/v1/b/{bucket}/o?{query}", content)

    def _post(self, url: str, content: bytes) -> None:
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30):
            pass


@dataclass(frozen=True, slots=True)
class Azure:
    """A server of containers, which its key opens; public ones anybody may read."""

    url: str

    def create(self, container: str, *, public: bool) -> None:
        access = {"x-ms-blob-public-access": "container"} if public else {}
        self._put(f"/{ACCOUNT}/{container}", b"", query="restype=container", headers=access)

    def put(self, files: Mapping[str, bytes], *, container: str) -> None:
        for name, content in files.items():
            path = f"/{ACCOUNT}/{container}/{urllib.parse.quote(name)}"
            self._put(path, content, query="", headers={"x-ms-blob-type": "BlockBlob"})

    def _put(self, path: str, content: bytes, *, query: str, headers: dict[str, str]) -> None:
        named = headers | {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        length = str(len(content)) if content else ""
        kind = "application/octet-stream"
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(named.items()))
        resource = f"/{ACCOUNT}{path}" + (f"\n{query.replace('=', ':')}" if query else "")
        text = f"PUT\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{canonical}{resource}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
        sent = named | {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Type": kind}
        address = f"{self.url}{path}" + (f"?{query}" if query else "")
        request = urllib.request.Request(address, content, sent, method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass


def azurite() -> Path:
    """The program of Azurite, installed into the user's cache by the hash of its lock file."""
    lock = (RECIPE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triton-operator"
    target = cache / f"azurite-{hashlib.sha256(lock).hexdigest()[:16]}"
    program = target / "node_modules" / ".bin" / "azurite-blob"
    if program.exists():
        return program
    if not shutil.which("npm"):
        pytest.fail("npm is missing: apt-get install nodejs npm", pytrace=False)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="azurite-partial-") as partial:
        built = Path(partial) / "built"
        shutil.copytree(RECIPE, built)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=built, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"Azurite cannot be installed:\n{done.stderr}", pytrace=False)
        try:
            built.rename(target)
        except OSError:  # another run was faster
            if not program.exists():
                raise
    return program
