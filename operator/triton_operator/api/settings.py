"""The operator's settings: one YAML file, written by the chart and read once at start.

Not for: what a user says about one service; that is `api.spec`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, model_validator

from triton_operator.api.fields import DnsLabel, DnsName, StrictModel
from triton_operator.api.gpu_settings import GpuSettings

Whole = Annotated[int, Field(strict=True)]  # `port: true` or `workers: "4"` is a mistake, not a number
Image = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]


class Watch(StrictModel):
    """Which InferenceServices this operator is responsible for."""

    namespaces: tuple[Namespace, ...] = Field(
        default=(), description="Namespaces to watch. Empty: the whole cluster, which needs a ClusterRole."
    )
    selector: str = Field(
        default="",
        max_length=1024,
        description="Label selector that an InferenceService must match; keeps several operators apart. Empty: all.",
    )


class LeaderElection(StrictModel):
    """The Lease by which one replica of the operator acts at a time."""

    name: DnsLabel = Field(default="triton-operator", description="Name of the Lease.")
    namespace: Namespace | None = Field(
        default=None, description="Namespace of the Lease. None: the pod's own, or `default` outside a cluster."
    )
    leaseDurationSeconds: Whole = Field(
        default=15, ge=3, le=600, description="A Lease not renewed for this long may be taken over."
    )
    renewSeconds: Whole = Field(
        default=10, ge=1, le=300, description="The leader gives up after failing for this long."
    )
    retrySeconds: Whole = Field(default=2, ge=1, le=60, description="Time between two attempts to take or renew it.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.retrySeconds < self.renewSeconds < self.leaseDurationSeconds:
            raise ValueError("retrySeconds must be less than renewSeconds, and that less than leaseDurationSeconds")
        return self


class Log(StrictModel):
    """The operator's own log."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["json", "text"] = Field(
        default="json", description="json: an object a line, for collectors. text: for people."
    )


class Prometheus(StrictModel):
    """The Prometheus, or what speaks its API, that knows the counters of the Gateways' proxies and of Tritons."""

    url: Annotated[str, Field(max_length=2048, pattern=r"^(https?://[^\s]+)?$")] = Field(
        default="",
        description=(
            "Its address. Empty: canaries are judged by Triton's own counters, which do not see every failure, and for"
            " autoscaling pods are asked for theirs one by one, 50 every 5 s."
        ),
    )
    caFile: str | None = Field(
        default=None, description="File with the certificates that its own is signed by. None: those of the image."
    )
    tokenFile: str | None = Field(
        default=None, description="File with a bearer token, read anew for each question; it may be rotated."
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="Further headers of each question, such as X-Scope-OrgID."
    )
    allowQueries: bool = Field(
        default=True,
        strict=True,
        description=(
            "Whether services may be judged by PromQL of their authors' own, spec.rollout.analysis.metrics. It is asked"
            " with this address, token and headers, and its value stands in status: false where not every author may"
            " read all that these can."
        ),
    )


class PodMonitor(StrictModel):
    """The PodMonitor of each service, for the Prometheus Operator, where the cluster has that kind."""

    enabled: bool = Field(default=True, description="Make it. false: what was made is removed.")
    intervalSeconds: Whole = Field(
        default=5, ge=1, le=3600, description="How often Prometheus is to read what Triton has counted."
    )
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Labels by which a Prometheus selects PodMonitors, such as {release: kube-prometheus-stack}.",
    )


class Settings(StrictModel):
    """Everything an administrator decides for all services."""

    tritonImage: Image = Field(
        default="nvcr.io/nvidia/tritonserver:26.07-py3",
        description="Triton image of services that name none. Frozen into each revision when it is made.",
    )
    prepareImage: Image = Field(
        description="Image of the init container that prepares the model directory: the operator's own image.",
    )
    prepareImagePullPolicy: PullPolicy = Field(
        default="IfNotPresent", description="Pull policy of the init container's image."
    )
    prepareImagePullSecrets: tuple[DnsName, ...] = Field(
        default=(),
        description="Secrets that pull prepareImage, by name, in each service's namespace; added to the service's own.",
    )
    watch: Watch = Watch()
    leaderElection: LeaderElection = LeaderElection()
    log: Log = Log()
    gpu: GpuSettings = GpuSettings()
    prometheus: Prometheus = Prometheus()
    podMonitor: PodMonitor = PodMonitor()
    workers: Whole = Field(default=16, ge=1, le=64, description="Services reconciled, and API requests, at a time.")
    resyncSeconds: Whole = Field(
        default=600, ge=30, le=86400, description="Every object is listed and looked at again after this time, ± 10 %."
    )
    port: Whole = Field(default=8080, ge=1, le=65535, description="Port of /healthz, /readyz and /metrics.")


def read_settings(path: Path) -> Settings:
    """Read and validate the settings file.

    Args:
        path: a YAML file with the fields of `Settings`.

    Returns:
        The settings.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: a field is unknown or out of bounds; the message names it.
    """
    return Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
