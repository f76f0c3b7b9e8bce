"""Whether requests that the revision in service takes are still taken by a new one: their inputs and outputs compared.

Not for: asking Triton for them; that is `edges.preflight`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANY = -1  # a dimension that takes every size


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        datatype: as in the V2 protocol, such as FP32.
        shape: sizes of its dimensions, the batch included; -1 takes every size.
        optional: whether a request may leave it out.
    """

    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        inputs: by name.
        outputs: by name.
        most_batch: the largest batch, or 0 for a model that knows no batches.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    most_batch: int = 0

    def to_json(self) -> dict[str, Any]:
        """Lay it out for the record."""
        return {
            "inputs": {name: [t.datatype, list(t.shape), t.optional] for name, t in sorted(self.inputs.items())},
            "outputs": {name: [t.datatype, list(t.shape), t.optional] for name, t in sorted(self.outputs.items())},
            "mostBatch": self.most_batch,
        }


def signature_from_json(value: Mapping[str, Any] | None) -> Signature | None:
    """Read what `to_json` laid out.

    Raises:
        KeyError, TypeError, ValueError: it is not a signature.
    """
    if not value:
        return None

    def tensors(found: Mapping[str, Any]) -> dict[str, Tensor]:
        return {
            str(name): Tensor(str(datatype), tuple(int(size) for size in shape), bool(optional))
            for name, (datatype, shape, optional) in found.items()
        }

    return Signature(tensors(value["inputs"]), tensors(value["outputs"]), int(value["mostBatch"]))


def differences(old: Signature, new: Signature) -> tuple[str, ...]:
    """List what breaks clients of the old signature when the new one serves; none if every request stays valid.

    Args:
        old: what the revision in service takes and gives.
        new: what the new revision takes and gives.

    Returns:
        One phrase for each difference, inputs first, by name.
    """
    found: list[str] = []
    for name, tensor in sorted(old.inputs.items()):
        if name not in new.inputs:
            found.append(f"input {name} is no longer taken")
            continue
        now = new.inputs[name]
        if now.datatype != tensor.datatype:
            found.append(f"input {name} is {now.datatype}, was {tensor.datatype}")
        if not _takes(now.shape, tensor.shape):
            found.append(f"input {name} takes shape {_told(now.shape)}, took {_told(tensor.shape)}")
        if tensor.optional and not now.optional:
            found.append(f"input {name} is required, was optional")
    for name, tensor in sorted(new.inputs.items()):
        if name not in old.inputs and not tensor.optional:
            found.append(f"input {name} is new and required")
    for name, tensor in sorted(old.outputs.items()):
        if name not in new.outputs:
            found.append(f"output {name} is gone")
            continue
        now = new.outputs[name]
        if now.datatype != tensor.datatype:
            found.append(f"output {name} is {now.datatype}, was {tensor.datatype}")
        if not _takes(tensor.shape, now.shape):
            found.append(f"output {name} has shape {_told(now.shape)}, had {_told(tensor.shape)}")
    if old.most_batch and new.most_batch and new.most_batch < old.most_batch:
        found.append(f"batches of up to {new.most_batch} are taken, were {old.most_batch}")
    return tuple(found)


def _takes(wide: Sequence[int], narrow: Sequence[int]) -> bool:
    """Say whether every shape that the one stands for is among those of the other."""
    return len(wide) == len(narrow) and all(w in (ANY, n) for w, n in zip(wide, narrow, strict=True))


def _told(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
