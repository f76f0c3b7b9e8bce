"""The few keys of config.pbtxt that are the operator's: name, version_policy and the kind of instances.

A file in which nothing must change is left as it is, byte for byte. Otherwise only the fields concerned are edited in
the text, so that comments and the fields of a newer Triton stay.
Not for: checking a configuration; Triton does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from triton_operator.models.model_config import ConfigSyntaxError, ModelConfig, parse_model_config
from triton_operator.models.request import Kind
from triton_operator.models.textformat import Field, ScanError, Value, scan

_GROUP = type(ModelConfig().instance_group.add())  # inference.ModelInstanceGroup


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


def merge_config(config: bytes | None, *, model: str, version: int, kind: Kind | None) -> bytes | None:
    """Make a config.pbtxt fit for serving one version of a model under a name.

    A name that is there becomes `model`. A `specific` version_policy becomes `version`. Instance groups that
    leave their kind to Triton become `kind`, and a model without groups gets one; an ensemble has none.

    Args:
        config: the file; None where there is none.
        model: name under which the model is served; letters, digits, '_', '.' and '-' only.
        version: the one version that is served.
        kind: what instance groups become that leave their kind open; None leaves them alone.

    Returns:
        The file to use: `config` itself if nothing must change; None if there is none and none is needed.

    Raises:
        ConfigSyntaxError: `config` is not a text of inference.ModelConfig; the message has line and column.
    """
    if config is None:
        return _new_group(kind).encode() if kind else None
    text = config.decode(errors="surrogateescape")  # a comment may be in any encoding
    found = parse_model_config(text)
    wanted = wanted_config(found, model=model, version=version, kind=kind)
    if wanted == found:
        return config
    try:
        edited = _apply(text, list(_edits(text, found=found, wanted=wanted)))
    except ScanError as error:
        raise ConfigSyntaxError(str(error)) from error
    if parse_model_config(edited) != wanted:
        raise ConfigSyntaxError(
            "the name, version_policy or instance_group cannot be changed in place; write each of them once, plainly"
        )
    return edited.encode(errors="surrogateescape")


def wanted_config(found: Any, *, model: str, version: int, kind: Kind | None) -> Any:
    """Say what a configuration must be, as a message.

    Args:
        found: the inference.ModelConfig of the file; not changed.
        model: name under which the model is served.
        version: the one version that is served.
        kind: what instance groups become that leave their kind open; None leaves them alone.

    Returns:
        A new inference.ModelConfig.
    """
    wanted = ModelConfig()
    wanted.CopyFrom(found)
    if wanted.name:
        wanted.name = model
    policy = wanted.version_policy
    if policy.HasField("specific") and list(policy.specific.versions) != [version]:
        policy.specific.versions[:] = [version]
    if kind and wanted.platform != "ensemble" and not wanted.HasField("ensemble_scheduling"):
        if not wanted.instance_group:
            wanted.instance_group.add()
        for group in wanted.instance_group:
            if group.kind == _GROUP.KIND_AUTO:
                group.kind = _GROUP.Kind.Value(kind)
    return wanted


def _edits(text: str, *, found: Any, wanted: Any) -> Iterator[_Edit]:
    fields = scan(text)
    if wanted.name != found.name:
        value = _last(fields, "name").values[-1]
        yield _Edit(value.start, value.end, f'"{wanted.name}"')
    if wanted.version_policy != found.version_policy:
        field = _last(fields, "version_policy")
        (version,) = wanted.version_policy.specific.versions
        yield _Edit(field.start, field.end, f"version_policy {{ specific {{ versions: [ {version} ] }} }}")
    if wanted.instance_group and not found.instance_group:
        line_break = "\n" if text and not text.endswith("\n") else ""
        kind = _name_of(wanted.instance_group[-1].kind)
        yield _Edit(len(text), len(text), line_break + _new_group(kind))
        return
    groups = [value for field in fields if field.name == "instance_group" for value in field.values]
    if len(groups) != len(found.instance_group):
        raise ScanError("instance_group is not written as a list of messages")
    for group, before, after in zip(groups, found.instance_group, wanted.instance_group, strict=True):
        if before.kind != after.kind:
            yield _with_kind(text, group, kind=_name_of(after.kind))


def _name_of(number: int) -> Kind:
    return Kind(_GROUP.Kind.Name(number))


def _new_group(kind: Kind) -> str:
    return f"instance_group [ {{ kind: {kind.value} }} ]\n"


def _with_kind(text: str, group: Value, *, kind: Kind) -> _Edit:
    kinds = [field for field in group.fields() if field.name == "kind"]
    if kinds:
        value = kinds[-1].values[-1]
        return _Edit(value.start, value.end, kind.value)
    behind_bracket = group.start + 1
    space = "" if text[behind_bracket].isspace() else " "
    return _Edit(behind_bracket, behind_bracket, f" kind: {kind.value}{space}")


def _last(fields: tuple[Field, ...], name: str) -> Field:
    for field in reversed(fields):
        if field.name == name and field.values:
            return field
    raise ScanError(f"the field {name} is not found at the top level")


def _apply(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
