"""An InferenceService as people look at it: its spec and what its status says, read with patience.

Not for: validation; what the cluster holds was taken by its API server, perhaps by a newer one than this program knows.
"""

from dataclasses import dataclass
from typing import Any

from triton_operator.api.status import READY, STALLED

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """One InferenceService.

    Attributes:
        body: the object.
    """

    body: Json

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def spec(self) -> Json:
        """What is asked for."""
        return self.body.get("spec") or {}

    @property
    def status(self) -> Json:
        """What the operator says."""
        return self.body.get("status") or {}

    @property
    def generation(self) -> int:
        """Generation of the spec."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def is_looked_at(self) -> bool:
        """Whether the status is of this generation of the spec."""
        return bool(self.status.get("observedGeneration", -1) == self.generation)

    @property
    def phase(self) -> str:
        """One word for people."""
        return str(self.status.get("phase") or "Pending")

    @property
    def reason(self) -> str:
        """Why it is ready, or is not, in one word."""
        return str((self.condition(READY) or {}).get("reason", ""))

    @property
    def message(self) -> str:
        """Why it is ready, or is not, in a sentence."""
        return str((self.condition(READY) or {}).get("message", ""))

    @property
    def strategy(self) -> str:
        """How a new revision takes over."""
        return str(self.part("rollout", of=self.spec).get("strategy", "RollingUpdate"))

    @property
    def is_canary(self) -> bool:
        """Whether the revision on its way in is on trial, or will be."""
        return bool(self.part("rollout")) or (self.strategy == "Canary" and bool(self.part("stable")))

    def condition(self, type_: str) -> Json | None:
        """Find a condition; None if there is none."""
        return next((c for c in self.status.get("conditions") or () if c.get("type") == type_), None)

    def holds(self, type_: str) -> bool:
        """Say whether a condition is True."""
        return (self.condition(type_) or {}).get("status") == "True"

    @property
    def is_ready(self) -> bool:
        """Whether this generation is fully realised."""
        return self.is_looked_at and self.holds(READY)

    @property
    def is_stalled(self) -> bool:
        """Whether this generation cannot go on without a change."""
        return self.is_looked_at and self.holds(STALLED)

    def part(self, name: str, *, of: Json | None = None) -> Json:
        """Give a part of the status, or of something else; {} if there is none."""
        found = (self.status if of is None else of).get(name)
        return found if isinstance(found, dict) else {}

    def revision(self, role: str) -> str:
        """Name the revision that is stable, canary, warm or rejected; "" if there is none."""
        return str(self.part(role).get("name", ""))
