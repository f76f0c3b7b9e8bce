"""Bounded types that the fields of the API share.

Not for: the fields themselves; see `api.spec` and its neighbours.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from triton_operator.api.schema import Json, cel, literal, plain


class ApiModel(BaseModel):
    """Base of what is read from the cluster: unknown fields of a newer CRD are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class StrictModel(BaseModel):
    """Base of what an administrator writes: an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_NAME_PATTERN = rf"{_LABEL}(\.{_LABEL})*"
LABEL_KEY_PATTERN = rf"^({DNS_NAME_PATTERN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
# Of what Kubernetes reads as a quantity: no sign, and no form that it would round or cut.
QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?([KMGTPE]i|[mkMGTPE])?$"

DnsName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=rf"^{DNS_NAME_PATTERN}$",
        json_schema_extra=plain("must be the name of an object: lower-case letters, digits, '-' and '.' between them"),
    ),
]
DnsLabel = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=rf"^{_LABEL}$",
        json_schema_extra=plain(
            "must be of lower-case letters, digits and '-', beginning and ending with a letter or digit"
        ),
    ),
]
LabelKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=LABEL_KEY_PATTERN,
        json_schema_extra=plain(
            "must be the key of a label: NAME or example.com/NAME, with at most 63 characters of NAME"
        ),
    ),
]
LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        json_schema_extra=plain("must be the value of a label: letters, digits, '-', '_' and '.' between them"),
    ),
]
TextQuantity = Annotated[
    str,
    Field(
        min_length=1,
        max_length=24,
        pattern=QUANTITY_PATTERN,
        json_schema_extra=plain("must be a quantity such as 2, 500m, 2Gi or 1.5Gi"),
    ),
]
Quantity = Annotated[int, Field(ge=0, le=10**15 - 1)] | TextQuantity


def label_keys(field: str) -> Json:
    """Make the rule that a map's keys are keys of labels.

    Args:
        field: name of the map, for the message.
    """
    return cel(
        f"self.all(key, size(key) <= 253 && key.matches({literal(LABEL_KEY_PATTERN)}))",
        f"keys of {field} must be NAME or example.com/NAME, with at most 63 characters of NAME: letters, digits, '-',"
        " '_' and '.'",
    )
