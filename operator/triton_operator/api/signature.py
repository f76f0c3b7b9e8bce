"""Whether requests that the revision in service takes are still taken by a new one: their inputs and outputs compared.

Not for: asking Triton for them; that is `edges.triton`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANY = -1  # a dimension that takes every size


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        name: its name.
        datatype: as in the V2 protocol, such as FP32.
        shape: sizes of its dimensions, the batch included; -1 takes every size.
        optional: whether a request may leave it out.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        inputs: what it takes.
        outputs: what it gives.
        most_batch: the largest batch, or 0 for a model that knows no batches.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    most_batch: int = 0


@dataclass(frozen=True, slots=True)
class About:
    """What a running Triton says about a version of a model.

    Attributes:
        signature: what it takes and gives.
        kinds: the kinds of its instances, such as KIND_GPU, sorted; none for an ensemble.
        decoupled: whether it may answer a request several times, or not at all.
        batches: whether Triton puts requests of different callers into one batch.
        instances: executions that a pod runs at a time; 0 for an ensemble.
    """

    signature: Signature
    kinds: tuple[str, ...]
    decoupled: bool = False
    batches: bool = False
    instances: int = 1

    def to_json(self) -> dict[str, Any]:
        """Lay it out for the record."""
        return {
            "inputs": [[t.name, t.datatype, list(t.shape), t.optional] for t in self.signature.inputs],
            "outputs": [[t.name, t.datatype, list(t.shape), t.optional] for t in self.signature.outputs],
            "mostBatch": self.signature.most_batch,
            "kinds": list(self.kinds),
            **({"decoupled": True} if self.decoupled else {}),
            **({"batches": True} if self.batches else {}),
            **({"instances": self.instances} if self.instances != 1 else {}),
        }


def about_from_json(value: Mapping[str, Any]) -> About:
    """Read what `About.to_json` laid out.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """

    def tensors(listed: Iterable[Any]) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(str(name), str(datatype), tuple(int(size) for size in shape), bool(optional))
            for name, datatype, shape, optional in listed
        )

    signature = Signature(tensors(value["inputs"]), tensors(value["outputs"]), int(value["mostBatch"]))
    kinds = tuple(str(kind) for kind in value["kinds"])
    return About(
        signature,
        kinds,
        decoupled=bool(value.get("decoupled", False)),
        batches=bool(value.get("batches", False)),
        instances=int(value.get("instances", 1)),
    )


def differences(old: Signature, new: Signature) -> tuple[str, ...]:
    """List what breaks clients of the old signature when the new one serves; none if every request stays valid.

    Args:
        old: what the revision in service takes and gives.
        new: what the new revision takes and gives.

    Returns:
        One phrase for each difference, inputs first, by name.
    """
    found: list[str] = []
    took, gave = _by_name(old.inputs), _by_name(old.outputs)
    takes, gives = _by_name(new.inputs), _by_name(new.outputs)
    for name, tensor in sorted(took.items()):
        if name not in takes:
            found.append(f"input {name} is no longer taken")
            continue
        now = takes[name]
        if now.datatype != tensor.datatype:
            found.append(f"input {name} is {now.datatype}, was {tensor.datatype}")
        if not _takes(now.shape, tensor.shape):
            found.append(f"input {name} takes shape {_told(now.shape)}, took {_told(tensor.shape)}")
        if tensor.optional and not now.optional:
            found.append(f"input {name} is required, was optional")
    for name, tensor in sorted(takes.items()):
        if name not in took and not tensor.optional:
            found.append(f"input {name} is new and required")
    for name, tensor in sorted(gave.items()):
        if name not in gives:
            found.append(f"output {name} is gone")
            continue
        now = gives[name]
        if now.datatype != tensor.datatype:
            found.append(f"output {name} is {now.datatype}, was {tensor.datatype}")
        if not _takes(tensor.shape, now.shape):
            found.append(f"output {name} has shape {_told(now.shape)}, had {_told(tensor.shape)}")
    if new.most_batch < old.most_batch and new.most_batch:
        found.append(f"batches of up to {new.most_batch} are taken, were {old.most_batch}")
    return tuple(found)


def _by_name(tensors: Iterable[Tensor]) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in tensors}


def _takes(wide: Sequence[int], narrow: Sequence[int]) -> bool:
    """Say whether every shape that the one stands for is among those of the other."""
    return len(wide) == len(narrow) and all(w in (ANY, n) for w, n in zip(wide, narrow, strict=True))


def _told(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
