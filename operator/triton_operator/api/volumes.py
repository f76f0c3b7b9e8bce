"""The volumes that a user may give to the pods, and where they are mounted.

Not for: the volumes that the operator itself puts into a pod; those are in `resources.pod`.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsLabel, DnsName, TextQuantity
from triton_operator.api.schema import cel, plain, rules

_PART = r"[^/:\x00-\x1f\x7f]+"


class ConfigMapVolume(ApiModel):
    """Files from a ConfigMap."""

    name: DnsName = Field(description="Name of the ConfigMap.")
    optional: bool | None = Field(default=None, description="Whether pods start without it. Default: false.")


class SecretVolume(ApiModel):
    """Files from a Secret."""

    secret_name: DnsName = Field(description="Name of the Secret.")
    optional: bool | None = Field(default=None, description="Whether pods start without it. Default: false.")


class EmptyDirectory(ApiModel):
    """Scratch space that lives as long as the pod."""

    medium: Literal["Memory"] | None = Field(default=None, description="Memory, or the node's disk when left out.")
    size_limit: TextQuantity | None = Field(default=None, description="How much it may hold, such as 1Gi.")


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim of the namespace."""

    claim_name: DnsName = Field(description="Name of the claim.")
    read_only: bool | None = Field(default=None, description="Mount it read-only. Default: false.")


class Volume(ApiModel):
    """A volume of the pods; exactly one source is given."""

    name: DnsLabel = Field(description="Name that volumeMounts use.")
    config_map: ConfigMapVolume | None = Field(default=None, description="Files from a ConfigMap.")
    secret: SecretVolume | None = Field(default=None, description="Files from a Secret.")
    empty_dir: EmptyDirectory | None = Field(default=None, description="Scratch space.")
    persistent_volume_claim: ClaimVolume | None = Field(default=None, description="A claim.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.persistentVolumeClaim)]"
                ".exists_one(x, x)",
                "a volume takes exactly one of configMap, secret, emptyDir and persistentVolumeClaim",
            ),
            cel(
                "!(self.name in ['models', 'shm', 'tmp', 'credentials']) && !self.name.startsWith('source-')",
                "volume names models, shm, tmp, credentials and source-* are the operator's: choose another",
                field_path=".name",
            ),
        )
    )


class VolumeMount(ApiModel):
    """Where a volume appears in the Triton container."""

    name: DnsLabel = Field(description="Name of an entry of volumes.")
    mount_path: str = Field(
        min_length=1,
        max_length=512,
        pattern=rf"^(/{_PART})+$",
        json_schema_extra=plain(
            "mountPath must be an absolute path below /, without ':', control characters, '//' or a '/' at the end"
        ),
        description="Absolute path in the container.",
    )
    sub_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=rf"^{_PART}(/{_PART})*$",
        json_schema_extra=plain(
            "subPath must be a relative path, without ':', control characters, '//' or a '/' at the end"
        ),
        description="Path within the volume. Default: its root.",
    )
    read_only: bool | None = Field(default=None, description="Mount it read-only. Default: false.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!self.mountPath.split('/').exists(part, part in ['.', '..'])",
                "mountPath must not hold '.' or '..' as a part: write the path without them",
                field_path=".mountPath",
            ),
            cel(
                "!['/models', '/source', '/dev', '/tmp', '/proc', '/sys'].exists(own,"
                " self.mountPath == own || self.mountPath.startsWith(own + '/'))",
                "mountPath must not lie at or below /models, /source, /dev, /tmp, /proc or /sys: the pod needs them"
                " itself",
                field_path=".mountPath",
            ),
            cel(
                "!has(self.subPath) || !self.subPath.split('/').exists(part, part in ['.', '..'])",
                "subPath must not hold '.' or '..' as a part: write the path without them",
                field_path=".subPath",
            ),
        )
    )
