"""The way to a bucket: endpoint, credentials, certificates and proxy, from a uri and what the user gave.

Not for: listing and reading; that is `models.objects`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from triton_operator.models import google
from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, escaped
from triton_operator.models.request import ModelRequest

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config

S3_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_VIRTUAL_HOSTED_STYLE",
)
GS_KEYS = (
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "service-account.json",
    "key.json",
    "GOOGLE_ENDPOINT_URL",
    "NO_GCE_CHECK",
)
AZ_KEYS = (
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_ENDPOINT_URL",
)

_DEFAULT_REGION = "us-east-1"  # what S3-compatible servers are mostly set to, and where AWS answers with the right one
_NO_RETRIES: "RetryConfig" = {"max_retries": 0, "retry_timeout": timedelta(0)}  # the engine tries again


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and how it is reached.

    Attributes:
        store: obstore's client.
        root: its uri.
        name: of the bucket or container.
        endpoint: the scheme, host and port that are asked.
        access: with what, for messages: a clause such as "without credentials".
    """

    store: S3Store | GCSStore | AzureStore
    root: str
    name: str
    endpoint: str
    access: str

    @property
    def kind(self) -> str:
        """What the store calls it."""
        return "container" if self.root.startswith("az://") else "bucket"

    @property
    def host(self) -> str:
        """The name of the server."""
        return urlsplit(self.endpoint).hostname or self.endpoint


def bucket_of(model: ModelRequest, credentials: Credentials) -> tuple[Bucket, str]:
    """Find the way to the bucket of a uri.

    Args:
        model: its uri is s3://…, gs://… or az://….
        credentials: what the user gave.

    Returns:
        The bucket, and the path in it.

    Raises:
        PrepareError: BadCredentials: a key is wrong or missing; BadRequest: the uri has no bucket.
    """
    _, _, after = model.uri.partition("://")
    segments = [segment for segment in after.split("/") if segment]
    depth = 2 if model.scheme == "az" else 1
    if len(segments) < depth:
        raise PrepareError(Reason.BAD_REQUEST, f"{model.uri} has no container: write az://ACCOUNT/CONTAINER/PATH.")
    make = {"s3": _s3, "gs": _gs, "az": _az}[model.scheme]
    root = f"{model.scheme}://{'/'.join(segments[:depth])}"
    try:
        bucket = make(model, root, segments[:depth], credentials)
    except (BaseError, ValueError) as error:  # the text may hold what was given
        raise _bad(f"obstore refuses it ({type(error).__name__}) for {root}") from None
    return bucket, "/".join(segments[depth:])


def _s3(model: ModelRequest, root: str, names: list[str], credentials: Credentials) -> Bucket:
    credentials.check(uri=model.shown, keys=S3_KEYS)
    (bucket,) = names
    key, secret = credentials.get("AWS_ACCESS_KEY_ID"), credentials.get("AWS_SECRET_ACCESS_KEY")
    if (key is None) != (secret is None):
        missing = "AWS_ACCESS_KEY_ID" if key is None else "AWS_SECRET_ACCESS_KEY"
        raise _bad(f"{missing} is missing: {model.uri} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together")
    endpoint = _url("AWS_ENDPOINT_URL", credentials)
    style = (credentials.get("AWS_VIRTUAL_HOSTED_STYLE") or "").lower()
    if style not in ("", "true", "false"):
        raise _bad("AWS_VIRTUAL_HOSTED_STYLE must be true or false")
    virtual = style == "true" if style else endpoint is None
    region = credentials.get("AWS_REGION", "AWS_DEFAULT_REGION") or _DEFAULT_REGION
    config: dict[str, str | bool] = {"region": region, "virtual_hosted_style_request": virtual}
    if endpoint:
        parts = urlsplit(endpoint)
        url = parts._replace(netloc=f"{bucket}.{parts.netloc}") if virtual else parts
        config["endpoint"] = url.geturl().rstrip("/")
    if key and secret:
        config |= {"access_key_id": key, "secret_access_key": secret}
        access = "with the AWS_ACCESS_KEY_ID of the Secret in spec.model.credentials"
        if token := credentials.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
            access += " and its AWS_SESSION_TOKEN"
    elif found := _settings(
        credentials,
        {
            "AWS_ROLE_ARN": "role_arn",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
            "AWS_ROLE_SESSION_NAME": "role_session_name",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "container_credentials_full_uri",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "container_authorization_token_file",
        },
    ):
        config |= found
        access = "with the workload identity of the service account"
    else:
        config["skip_signature"] = True
        access = _ANONYMOUS
    host = endpoint or f"https://s3.{region}.amazonaws.com"
    store = S3Store(
        bucket, config=cast("S3Config", config), client_options=_client(credentials, host), retry_config=_NO_RETRIES
    )
    return Bucket(store, root, bucket, _host(host), access)


def _gs(model: ModelRequest, root: str, names: list[str], credentials: Credentials) -> Bucket:
    credentials.check(uri=model.shown, keys=GS_KEYS)
    (bucket,) = names
    endpoint = _url("GOOGLE_ENDPOINT_URL", credentials)
    config: dict[str, str | bool] = {}
    if endpoint:
        config["base_url"] = endpoint
    if key := credentials.get(*GS_KEYS[:3]):
        config["service_account_key"] = _service_account(key)
        access = "with the service account's key of the Secret in spec.model.credentials"
    elif path := credentials.environment.get("GOOGLE_APPLICATION_CREDENTIALS"):  # set by a webhook
        config["application_credentials"] = _application_credentials(path)
        access = "with the application credentials of the pod"
    elif nobody := _nobody_at_google(credentials, endpoint):
        config["skip_signature"] = True
        access = f"{_ANONYMOUS}, and {nobody}"
    else:  # obstore asks the metadata server by itself
        access = "with the workload identity of the service account"
    host = endpoint or "https://storage.googleapis.com"
    store = GCSStore(
        bucket, config=cast("GCSConfig", config), client_options=_client(credentials, host), retry_config=_NO_RETRIES
    )
    return Bucket(store, root, bucket, _host(host), access)


def _nobody_at_google(credentials: Credentials, endpoint: str | None) -> str | None:
    """Say why a request to a bucket has no identity, as a clause; None where the metadata server gives one."""
    if credentials.get("NO_GCE_CHECK") == "true":
        return "NO_GCE_CHECK is true"
    if credentials.environment.get("GCE_METADATA_HOST"):
        return None
    if endpoint and not (urlsplit(endpoint).hostname or "").endswith(".googleapis.com"):  # it gets no token of Google's
        return "GOOGLE_ENDPOINT_URL is not Google's"
    return google.why_nobody_here()


def _application_credentials(path: str) -> str:
    """Make sure that obstore can use a file of application credentials."""
    try:
        kind = json.loads(Path(path).read_bytes()).get("type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind in ("service_account", "authorized_user"):
        return path
    problem = f"is of type {kind}" if isinstance(kind, str) else "cannot be read as application credentials"
    raise PrepareError(
        Reason.BAD_CREDENTIALS,
        f"The file that GOOGLE_APPLICATION_CREDENTIALS of the pod names {escaped(problem)}; service_account and"
        " authorized_user can be used. Name a Secret with a service account's key in spec.model.credentials.",
    )


def _az(model: ModelRequest, root: str, names: list[str], credentials: Credentials) -> Bucket:
    credentials.check(uri=model.shown, keys=AZ_KEYS)
    account, container = names
    endpoint = _url("AZURE_ENDPOINT_URL", credentials)
    config: dict[str, str | bool] = {"account_name": account}
    if endpoint:
        config["endpoint"] = endpoint
    identity = _settings(
        credentials,
        {
            "AZURE_CLIENT_ID": "client_id",
            "AZURE_TENANT_ID": "tenant_id",
            "AZURE_CLIENT_SECRET": "client_secret",
            "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
            "AZURE_AUTHORITY_HOST": "authority_host",
        },
    )
    if key := credentials.get("AZURE_STORAGE_KEY"):
        config["account_key"] = key
        access = "with the AZURE_STORAGE_KEY of the Secret in spec.model.credentials"
    elif token := credentials.get("AZURE_STORAGE_SAS_TOKEN"):
        config["sas_key"] = token.removeprefix("?")
        access = "with the AZURE_STORAGE_SAS_TOKEN of the Secret in spec.model.credentials"
    elif identity.keys() >= {"client_id", "tenant_id"} and identity.keys() & {"client_secret", "federated_token_file"}:
        config |= identity
        access = "with the AZURE_CLIENT_ID given to the pod"
    elif credentials.secret is not None and credentials.secret.keys() & set(AZ_KEYS[2:5]):
        raise _bad("AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET are needed together")
    else:
        config["skip_signature"] = True
        access = _ANONYMOUS
    host = endpoint or f"https://{account}.blob.core.windows.net"
    store = AzureStore(
        container,
        config=cast("AzureConfig", config),
        client_options=_client(credentials, host),
        retry_config=_NO_RETRIES,
    )
    return Bucket(store, root, container, _host(host), access)


_ANONYMOUS = "without credentials, as spec.model.credentials names no key"


def _client(credentials: Credentials, url: str) -> "ClientConfig":
    client: ClientConfig = {
        "allow_http": url.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "read_timeout": timedelta(seconds=60),
        "timeout": timedelta(hours=24),  # of a whole answer; the engine sees to it that something comes
    }
    if certificates := credentials.certificates:
        client["root_certificate"] = certificates
    return client


def _settings(credentials: Credentials, names: Mapping[str, str]) -> dict[str, str]:
    return {setting: value for name, setting in names.items() if (value := credentials.get(name))}


def _url(key: str, credentials: Credentials) -> str | None:
    url = credentials.get(key)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.query
    except ValueError:
        good = False
    if not good:
        raise _bad(f"{key} must be a url such as https://minio.storage:9000, without user and query")
    return url.rstrip("/")


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _service_account(text: str) -> str:
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict) or "private_key" not in key or "client_email" not in key:
        raise _bad(
            "the service account's key must be the JSON file that Google gives out, with client_email and private_key"
        )
    return text


def _bad(problem: str) -> PrepareError:
    return PrepareError(
        Reason.BAD_CREDENTIALS, f"The Secret in spec.model.credentials does not fit: {problem}. Correct the Secret."
    )
