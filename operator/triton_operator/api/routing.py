"""What a user says about the way of requests from outside the cluster: spec.routing.

Not for: how a new revision gets its share of them; that is `api.rollout`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsLabel, DnsName
from triton_operator.api.schema import ATOMIC, cel, keyed_by, plain, rules

Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        json_schema_extra=plain("must be a host name such as models.example.com or *.example.com, without a port"),
    ),
]


PathPrefix = Annotated[
    str,
    Field(
        min_length=2,
        max_length=256,
        pattern=r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$",
        json_schema_extra=plain("must be a path such as /team-a or /models/team-a, without a slash at its end"),
    ),
]


class ParentRef(ApiModel):
    """A Gateway, or one listener of it."""

    name: DnsName = Field(description="Name of the Gateway.")
    namespace: DnsLabel | None = Field(
        default=None, description="Its namespace. Left out: that of the service. Its listeners must allow our routes."
    )
    section_name: DnsName | None = Field(default=None, description="One of its listeners. Left out: all of them.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Only listeners on this port.",
        json_schema_extra={"format": "int32"},
    )


class HeaderMatch(ApiModel):
    """A header that requests must have."""

    name: str = Field(
        min_length=1,
        max_length=256,
        pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_|~]+$",
        json_schema_extra=plain("must be the name of an HTTP header"),
        description="Name of the header; capitals do not matter.",
    )
    value: str = Field(min_length=1, max_length=4096, description="Its exact value.")


class Gateway(ApiModel):
    """Gateways of the Gateway API, through which requests from outside the cluster arrive."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.grpc == 'GRPCRoute' || !has(self.grpcHostnames)",
                "these are host names of a GRPCRoute: set grpc: GRPCRoute, or remove grpcHostnames",
                field_path=".grpcHostnames",
            ),
        )
    )

    parent_refs: list[ParentRef] = Field(
        min_length=1,
        max_length=8,
        description="The Gateways, or listeners of them, that the service's routes attach to.",
        json_schema_extra=ATOMIC,
    )
    hostnames: list[Hostname] | None = Field(
        default=None,
        max_length=16,
        description="Host names of the service. Left out: every host name of the listeners.",
        json_schema_extra=ATOMIC,
    )
    headers: list[HeaderMatch] | None = Field(
        default=None,
        max_length=8,
        description=(
            "Headers that tell this service's requests from those of others on the same host name. HTTP paths differ by"
            " the model's name; gRPC calls of all models have the same path."
        ),
        json_schema_extra=keyed_by("name"),
    )
    path_prefix: PathPrefix | None = Field(
        default=None,
        description=(
            "Path before /v2 in this service's HTTP requests, such as /team-a; Triton sees them without it. gRPC calls"
            " have none: they reach the service by headers or a GRPCRoute."
        ),
    )
    grpc: Literal["SameRoute", "GRPCRoute"] = Field(
        default="SameRoute",
        description=(
            "SameRoute: the HTTPRoute serves gRPC too. GRPCRoute: one named like the service does; most Gateways want"
            " it on host names of its own, or on a listener that allows no HTTPRoute."
        ),
    )
    grpc_hostnames: list[Hostname] | None = Field(
        default=None,
        max_length=16,
        description="Host names of the GRPCRoute. Left out: those above.",
        json_schema_extra=ATOMIC,
    )
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description=(
            "How long a request may take. Left out: without a limit, as inference may be long. A GRPCRoute has none:"
            " clients set deadlines."
        ),
        json_schema_extra={"format": "int32"},
    )


class Routing(ApiModel):
    """How requests from outside the cluster reach the service."""

    gateway: Gateway | None = Field(
        default=None,
        description=(
            "Let a Gateway lead to the service, over HTTP and gRPC: an HTTPRoute named like the service is kept, whose"
            " weights the rollout moves. Left out: only the addresses inside the cluster."
        ),
    )
