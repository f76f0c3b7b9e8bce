"""A person's own metric of a canary: an expression of PromQL, and which of its values are good and bad.

Not for: failed and slow requests, which are judged by statistics; see `api.rollout`.
"""

import re
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.fields import FieldInfo

from triton_operator.api.fields import ApiModel, DnsLabel
from triton_operator.api.schema import cel, plain, rules

PLACEHOLDERS = ("canary", "stable", "canaryPods", "stablePods", "namespace", "service", "interval")


def placeholder(names: tuple[str, ...]) -> re.Pattern[str]:
    """Find what is to be filled in in PromQL; its first group is one of the names."""
    return re.compile(r"\{\{ ?(" + "|".join(names) + r") ?\}\}")


PLACEHOLDER = placeholder(PLACEHOLDERS)


def promql(names: tuple[str, ...]) -> FieldInfo:
    """Bound a text to PromQL in which only these names are to be filled in.

    Args:
        names: what may stand in {{ }}.
    """
    found: FieldInfo = Field(
        min_length=1,
        max_length=2048,
        pattern=r"^([^{\x00]|\{[^{\x00]|" + placeholder(names).pattern + r")*$",
        json_schema_extra=plain(f"must be PromQL, and what stands in {{{{ }}}} one of {', '.join(names)}"),
    )
    return found


Decimal = (
    Annotated[int, Field(ge=-(10**15) + 1, le=10**15 - 1)]
    | Annotated[
        str,
        Field(
            min_length=1,
            max_length=32,
            pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$",
            json_schema_extra=plain("must be a whole number, or a decimal one in quotes such as '0.95'"),
        ),
    ]
)


class Range(ApiModel):
    """Values between two bounds, which belong to it."""

    min: Decimal | None = Field(default=None, description="The least of them. Left out: there is none.")
    max: Decimal | None = Field(default=None, description="The greatest of them. Left out: there is none.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.min) || has(self.max)", "a range needs min, max or both"),
            cel(
                "!has(self.min) || !has(self.max) || double(string(self.min)) <= double(string(self.max))",
                "max must not be below min",
            ),
        )
    )

    def has(self, value: float) -> bool:
        """Say whether a value lies in it."""
        return (self.min is None or value >= float(self.min)) and (self.max is None or value <= float(self.max))

    def __str__(self) -> str:
        """Say it in words, such as `at most 50`."""
        if self.max is None:
            return f"at least {self.min}"
        return f"at most {self.max}" if self.min is None else f"{self.min} to {self.max}"


class Metric(ApiModel):
    """An expression of PromQL whose value says how the canary does."""

    name: DnsLabel = Field(description="What it is called in status and messages.")
    query: Annotated[str, promql(PLACEHOLDERS)] = Field(
        description=(
            "PromQL that comes to one number, asked of the operator's prometheus.url at every interval. In it"
            " {{canaryPods}} and {{stablePods}} stand for regular expressions of the pods' names, {{canary}} and"
            " {{stable}} for the revisions' names, {{namespace}} and {{service}} for this one's, {{interval}} for"
            " analysis.intervalSeconds, such as 30s."
        )
    )
    success: Range | None = Field(
        default=None, description="Values that are good. Left out: all that are not a failure."
    )
    failure: Range | None = Field(default=None, description="Values that are bad. Left out: all that are no success.")
    required_successes: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Good values that it takes to pass, of which the last value must be one.",
        json_schema_extra={"format": "int32"},
    )
    failure_limit: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="Bad values that are put up with; the next one rolls the canary back.",
        json_schema_extra={"format": "int32"},
    )
    inconclusive_limit: int = Field(
        default=10,
        ge=0,
        le=1000,
        description=(
            "How often in a row a value may be neither, not be there, or not be had, until the rollout pauses at the"
            " next time."
        ),
        json_schema_extra={"format": "int32"},
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.success) || has(self.failure)", "a metric needs success, failure or both"),
        )
    )
