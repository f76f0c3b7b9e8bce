"""What the user's Secret holds for a source: one file per key, named like the usual environment variables.

Values are secret: nothing here, and nobody who asks, may put one into a message, a log or an exception.
Not for: the operator, which reads no Secrets.
"""

import os
import ssl
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason, quoted

DIRECTORY = Path("/credentials")
CERTIFICATES = "ca.crt"
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
# Where clouds tell a pod who it is: on its own node, and no business of a proxy's.
METADATA_SERVERS = ("metadata.google.internal", "169.254.169.254", "169.254.170.23")

# Where distributions keep the roots that OpenSSL reads one by one from a directory.
_SYSTEM_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_MAX_BYTES = 2**20  # of one key; a Secret cannot hold more


@dataclass(frozen=True, slots=True)
class Credentials:
    """Settings of a source by the names of the usual environment variables.

    Attributes:
        secret: what the Secret holds; None if the service names none.
        environment: the process's environment, which counts where the Secret has no such key.
    """

    secret: Mapping[str, str] | None = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, directory: Path, environment: Mapping[str, str]) -> "Credentials":
        """Read the mounted Secret.

        Args:
            directory: where it is mounted; absent if the service names none.
            environment: the process's environment.

        Raises:
            PrepareError: BadCredentials: a key cannot be read as text.
        """
        if not directory.is_dir():
            return cls(None, environment)
        secret = {}
        for path in sorted(directory.iterdir()):
            if path.name.startswith("..") or not path.is_file():  # the kubelet's own
                continue
            try:
                with path.open("rb") as stream:
                    secret[path.name] = stream.read(_MAX_BYTES).decode().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise PrepareError(
                    Reason.BAD_CREDENTIALS,
                    f"The key {quoted(path.name)} of the Secret in spec.model.credentials cannot be read as text:"
                    " write it again.",
                ) from error
        return cls(secret, environment)

    def get(self, *keys: str) -> str | None:
        """The value of the first key that is set and not empty: in the Secret, else in the environment."""
        for source in (self.secret or {}, self.environment):
            for key in keys:
                if value := source.get(key):
                    return value
        return None

    def check(self, *, uri: str, keys: Iterable[str]) -> None:
        """Make sure that a Secret, if there is one, has something for a source.

        Args:
            uri: of the model, as it may be shown.
            keys: what the source would take, apart from the proxies and `ca.crt`, which every source takes.

        Raises:
            PrepareError: BadCredentials, naming the keys that would be taken.
        """
        known = (*keys, CERTIFICATES, *PROXIES)
        if self.secret is not None and not any(self.secret.get(key) for key in known):
            there = ", ".join(quoted(key) for key in list(self.secret)[:10]) or "nothing"
            raise PrepareError(
                Reason.BAD_CREDENTIALS,
                f"The Secret in spec.model.credentials has no key that {uri} could use; it holds {there}. Keys that"
                f" would be taken: {', '.join(known)}.",
            )

    def apply(self, environment: MutableMapping[str, str]) -> None:
        """Let every HTTP client of this process use the Secret's proxies and trust its certificates.

        The system's roots stay trusted. The bundle lies in memory, as the container's file system is read-only.

        Args:
            environment: of this process; before the first client is made.

        Raises:
            PrepareError: BadCredentials: ca.crt is no certificate.
        """
        for name in PROXIES:
            if value := (self.secret or {}).get(name):
                environment[name] = environment[name.lower()] = value
        if (self.secret or {}).get("HTTP_PROXY"):
            direct = ",".join(filter(None, (environment.get("NO_PROXY"), *METADATA_SERVERS)))
            environment["NO_PROXY"] = environment["no_proxy"] = direct
        if not (certificates := self.certificates):
            return
        bundle = os.memfd_create("certificates", 0)
        with os.fdopen(os.dup(bundle), "wb") as stream:
            for system in (ssl.get_default_verify_paths().cafile, *_SYSTEM_ROOTS):
                if system and Path(system).is_file():
                    stream.write(Path(system).read_bytes() + b"\n")
                    break
            stream.write(certificates.encode())
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            environment[name] = f"/proc/{os.getpid()}/fd/{bundle}"

    @property
    def certificates(self) -> str | None:
        """The PEM text of `ca.crt`, if it is there.

        Raises:
            PrepareError: BadCredentials: it is no certificate.
        """
        if not (text := (self.secret or {}).get(CERTIFICATES)):
            return None
        try:
            ssl.create_default_context(cadata=text)
        except (ssl.SSLError, ValueError) as error:
            raise PrepareError(
                Reason.BAD_CREDENTIALS,
                f"The key {CERTIFICATES} of the Secret in spec.model.credentials is not a certificate in PEM"
                " (-----BEGIN CERTIFICATE-----): put the certificate of your authority there.",
            ) from error
        return text
