"""What a user says about a model: where its files are, which version is served, what it depends on: spec.model.

Not for: how its files are fetched; that is `models`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import DNS_NAME_PATTERN, ApiModel, DnsName, TextQuantity
from triton_operator.api.schema import cel, keyed_by, literal, plain, rules

_KEY = r"(/[^\s?#\\]*)?"
_URI_PATTERN = (
    rf"^(configmap://{DNS_NAME_PATTERN}"
    rf"|pvc://{DNS_NAME_PATTERN}(/[A-Za-z0-9._/-]*)?"
    rf"|(s3|gs)://[A-Za-z0-9][A-Za-z0-9._-]{{1,221}}{_KEY}"
    rf"|az://[a-z0-9]{{3,24}}/[a-z0-9-]{{3,63}}{_KEY}"
    r"|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[^\s?#\\]*(#sha256=[0-9a-f]{64})?"
    rf"|hf://([A-Za-z0-9._-]+/)?[A-Za-z0-9._-]+@[0-9a-f]{{40}}{_KEY})$"
)
_IN_NAMESPACE = "^(configmap|pvc)://"
# What has a directory above it that may hold other models.
_IN_REPOSITORY = r"^((pvc|s3|gs)://[^/]+/[^/]|az://[^/]+/[^/]+/[^/]|hf://[^@]+@[0-9a-f]{40}/[^/]|https?://[^/]+/[^/])"
_ARCHIVE = r"^https?://.*([.]tar|[.]tar[.]gz|[.]tgz|[.]zip)(#.*)?$"
_PATH = "self.substring(self.indexOf('://') + 3)"

ModelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        json_schema_extra=plain(
            "the name of a model must be of letters, digits, '_', '-' and '.', and must not begin with '-' or '.'"
        ),
    ),
]
ModelUri = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            cel(
                f"self.matches({literal(_URI_PATTERN)}) && self.split('/')[2].size() <= 253",
                "uri must be s3://BUCKET/path, gs://BUCKET/path, az://ACCOUNT/CONTAINER/path, https://HOST/path,"
                " hf://ORG/REPO@COMMIT/path with 40 digits of COMMIT, pvc://CLAIM/path (letters, digits, '._-/')"
                " or configmap://NAME, without user, query and spaces",
            ),
            cel(
                f"!{_PATH}.split('/').exists(part, part in ['.', '..'])",
                "the path of uri must not hold '.' or '..'",
            ),
            cel(
                f"!{_PATH}.contains('//')",
                "the path of uri must not hold an empty part: write one '/' where '//' stands",
            ),
        ),
    ),
]
Version = Annotated[int, Field(ge=1, le=2**53 - 1, json_schema_extra={"format": "int64"})]


class Credentials(ApiModel):
    """What opens the source."""

    secret_name: DnsName = Field(
        description=(
            "Name of a Secret of the namespace. Its keys have the names of the usual environment variables, such as"
            " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, HF_TOKEN, HTTPS_PROXY, or ca.crt. Only the"
            " programs that read the source see it; Triton does not."
        )
    )


class Scratch(ApiModel):
    """The space into which a model is fetched."""

    size: TextQuantity | None = Field(
        default=None,
        description="How much it may hold, such as 50Gi. It is requested of the node. Left out: what the node has.",
    )
    storage_class_name: DnsName | None = Field(
        default=None,
        description="Take a volume of this StorageClass, made for each pod, instead of the node's disk. Needs size.",
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.storageClassName) || has(self.size)",
                "scratch.storageClassName makes a volume: set scratch.size too",
                field_path=".storageClassName",
            )
        )
    )


class Dependency(ApiModel):
    """A further model that the model, an ensemble say, calls by name."""

    name: ModelName = Field(description="Name under which the model calls it.")
    uri: ModelUri | None = Field(
        default=None,
        description="Where its model directory is. Left out: the directory of that name beside the model's own.",
    )
    version: Version | None = Field(
        default=None, description="Version served. Left out: the highest there is when the revision is made."
    )
    instance_kind: Literal["KIND_CPU", "KIND_GPU"] | None = Field(
        default=None,
        description=(
            "What its instances run on where config.pbtxt leaves it open. Left out: as the model, KIND_GPU where"
            " spec.gpu.count is not 0."
        ),
    )


class Model(ApiModel):
    """The model and the version of it that is served."""

    name: ModelName = Field(
        description=(
            "Name under which clients ask for the model, /v2/models/NAME. A name in config.pbtxt is changed to it."
        ),
    )
    uri: ModelUri = Field(
        description=(
            "Where the model directory is: the directory that holds config.pbtxt and the version directories."
            " s3://BUCKET/path, gs://BUCKET/path, az://ACCOUNT/CONTAINER/path: in an object store."
            " https://HOST/path: a page that lists the directory, or an archive (.tar, .tar.gz, .tgz, .zip)."
            " hf://ORGANISATION/REPOSITORY@COMMIT/path: at a commit of the Hugging Face Hub."
            " pvc://CLAIM/path: a directory on a PersistentVolumeClaim of the namespace."
            " configmap://NAME: a ConfigMap of the namespace, whose key config.pbtxt is the configuration and whose"
            " other keys are the files of the version."
        ),
    )
    version: Version | None = Field(
        default=None,
        description=(
            "Version served: the name of a numbered directory below uri. It keeps its number for clients. Left out: the"
            " highest there is, looked up once for each value of spec.model."
        ),
    )
    credentials: Credentials | None = Field(
        default=None,
        description="What opens the source. Left out: workload identity of the ServiceAccount, else anonymous.",
    )
    dependencies: list[Dependency] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=keyed_by("name"),
        description="Models that the model calls, as an ensemble or a business logic script does.",
    )
    scratch: Scratch | None = Field(default=None, description="The space into which models are fetched.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!has(self.credentials) || !self.uri.matches('{_IN_NAMESPACE}') || (has(self.dependencies)"
                f" && self.dependencies.exists(d, has(d.uri) && !d.uri.matches('{_IN_NAMESPACE}')))",
                "credentials open remote sources, and pvc:// and configmap:// need none: remove credentials",
                field_path=".credentials",
            ),
            cel(
                "!has(self.dependencies) || self.dependencies.all(d, d.name != self.name)",
                "a model cannot depend on itself: each of dependencies needs a name other than model.name",
                field_path=".dependencies",
            ),
            cel(
                "!has(self.dependencies) || self.dependencies.all(d, has(d.uri))"
                f" || (self.uri.matches({literal(_IN_REPOSITORY)}) && !self.uri.matches({literal(_ARCHIVE)}))",
                "nothing lies beside model.uri: give each of dependencies its own uri",
                field_path=".dependencies",
            ),
        )
    )


def sibling(uri: str, name: str) -> str:
    """Name the directory beside another one.

    Args:
        uri: of a directory that lies in another one.
        name: of the directory beside it.

    Returns:
        Its uri.
    """
    return f"{uri.rstrip('/').rpartition('/')[0]}/{name}"
