from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from triton_operator.api.crd import main, print_crd
from triton_operator.api.schema import cel, plain, rules, structural_schema
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.api.status import InferenceServiceStatus

from .crd_tree import FILE, ROOT, VERSION, Json, nodes, places
from .full_spec import EVERY, MINIMAL

NODES = dict(nodes())
STRUCTURAL = {
    "type", "format", "description", "enum", "default", "required", "properties", "items", "additionalProperties",
    "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations", "x-kubernetes-int-or-string",
}  # fmt: skip


def where(condition: Any) -> list[str]:
    return [path for path, node in NODES.items() if condition(path, node)]


def test_the_committed_crd_is_what_the_models_print() -> None:
    assert FILE.read_text(encoding="utf-8") == print_crd()


def test_the_crd_is_below_100_kilobytes() -> None:
    assert FILE.stat().st_size < 100_000


def test_the_crd_is_readable_without_yaml_aliases() -> None:
    assert "&id0" not in FILE.read_text(encoding="utf-8")


def test_every_field_has_a_description_that_ends_as_a_sentence() -> None:
    def bare(path: str, node: Json) -> bool:
        of_the_server = path in ("apiVersion", "kind") or path.startswith("metadata")
        unnamed = path.endswith(("[]", "{}")) and node.get("type") != "object"  # kubectl explain shows only fields
        return not of_the_server and not unnamed and not node.get("description", "").endswith(".")

    assert where(bare) == []


def test_every_string_is_bounded() -> None:
    def unbounded(path: str, node: Json) -> bool:
        return node.get("type") == "string" and "maxLength" not in node and "enum" not in node

    assert where(unbounded) == ["apiVersion", "kind"]


def test_every_number_is_bounded() -> None:
    def unbounded(path: str, node: Json) -> bool:
        number = node.get("type") in ("integer", "number") or node.get("x-kubernetes-int-or-string")
        return bool(number) and not {"minimum", "maximum"} <= node.keys()

    assert where(unbounded) == []


def test_there_are_no_floating_point_numbers() -> None:
    assert where(lambda path, node: node.get("type") == "number") == []


def test_every_number_or_text_is_bounded_as_text_too() -> None:
    def unbounded(path: str, node: Json) -> bool:
        return (
            bool(node.get("x-kubernetes-int-or-string"))
            and not {"maxLength", "x-kubernetes-validations"} <= node.keys()
        )

    assert where(unbounded) == []


def test_every_list_is_bounded_and_typed() -> None:
    def wrong(path: str, node: Json) -> bool:
        if node.get("type") != "array":
            return False
        kind = node.get("x-kubernetes-list-type")
        keys = set(node.get("x-kubernetes-list-map-keys", ()))
        keyed = kind == "map" and keys and keys <= set(node["items"]["required"])
        return "maxItems" not in node or not (keyed or kind in ("atomic", "set"))

    assert where(wrong) == []


def test_every_map_is_bounded() -> None:
    def unbounded(path: str, node: Json) -> bool:
        return "additionalProperties" in node and "maxProperties" not in node

    assert where(unbounded) == []


def test_every_map_has_a_rule_for_its_keys() -> None:
    def unruled(path: str, node: Json) -> bool:
        keyed = any("self.all(key," in rule["rule"] for rule in node.get("x-kubernetes-validations", ()))
        return "additionalProperties" in node and not keyed

    assert where(unruled) == []


def test_only_what_structural_schemas_allow_is_used() -> None:
    assert {key for node in NODES.values() for key in node} <= STRUCTURAL


def test_every_node_has_one_type() -> None:
    def untyped(path: str, node: Json) -> bool:
        return ("type" in node) == bool(node.get("x-kubernetes-int-or-string"))

    assert where(untyped) == []


def test_every_rule_says_what_is_wrong_in_plain_words() -> None:
    entries = [(path, rule) for path, node in NODES.items() for rule in node.get("x-kubernetes-validations", ())]

    assert len(entries) >= 20
    for path, rule in entries:
        assert "reason" not in rule, path  # FieldValueInvalid, as the API server has it where none is given
        assert 20 < len(rule["message"]) <= 250, path
        assert not set(rule["message"]) & {"\n", "^", "\\"}, path
        words = f" {rule['message']} "
        remedies = (" must ", " takes ", " take ", " needs ", " goes ", " are ", " belongs ", ": ")
        assert any(remedy in words for remedy in remedies), rule["message"]


def test_a_rule_at_an_object_names_the_field_in_its_message_or_path() -> None:
    def nameless(path: str, node: Json) -> bool:
        fields = {name.rsplit(".", 1)[-1].removesuffix("[]") for name in NODES}
        return node.get("type") == "object" and any(
            "fieldPath" not in rule and not any(field in rule["message"] for field in fields if field)
            for rule in node.get("x-kubernetes-validations", ())
        )

    assert where(nameless) == []


@pytest.mark.parametrize(
    ("path", "model", "whole"),
    [
        pytest.param("spec", InferenceServiceSpec, MINIMAL, id="spec"),
        pytest.param("status", InferenceServiceStatus, {}, id="status"),
    ],
)
def test_defaults_of_the_crd_are_those_of_the_model(path: str, model: type[BaseModel], whole: Json) -> None:
    def defaulted(value: Any, node: Json) -> Any:
        if not isinstance(value, dict):
            return value
        filled = dict(value)
        for name, child in node.get("properties", {}).items():
            if name not in filled and "default" in child:
                filled[name] = child["default"]
            if name in filled:
                filled[name] = defaulted(filled[name], child)
        return filled

    by_the_server = defaulted(whole, NODES[path])
    by_the_model = model.model_validate(whole).model_dump(by_alias=True, exclude_none=True, mode="json")

    assert by_the_server == by_the_model


def test_a_status_that_was_never_written_describes_no_generation() -> None:
    assert ROOT["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_replicas_of_the_scale_subresource_are_there_before_anyone_sets_them() -> None:
    assert VERSION["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert NODES["spec.replicas"]["default"] == 1


def test_the_plain_columns_fit_a_terminal() -> None:
    plainly = [c["name"] for c in VERSION["additionalPrinterColumns"] if not c.get("priority")]

    assert plainly == ["Ready", "Reason", "Version", "Canary", "Weight", "Replicas", "Age"]


def test_every_column_shows_a_field_that_exists() -> None:
    for column in VERSION["additionalPrinterColumns"]:
        path = column["jsonPath"].lstrip(".").replace('[?(@.type=="Ready")]', "[]")
        assert path in NODES or path == "metadata.creationTimestamp", column["name"]


def test_the_full_samples_use_every_field() -> None:
    used = {path for full in EVERY for path, _, _ in places(full, NODES["spec"])}

    assert {path for path in NODES if path.startswith("spec")} - used == set()


@pytest.mark.parametrize("full", EVERY)
def test_the_model_reads_a_full_sample_and_writes_it_back_unchanged(full: Json) -> None:
    read = InferenceServiceSpec.model_validate(full)

    assert read.model_dump(by_alias=True, exclude_none=True, mode="json") == full


def test_the_check_names_a_stale_file_and_the_remedy(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text("old", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["crd", str(file), "--check"])

    assert main() == 1
    assert "crd.yaml is stale: run `make crds`" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "old"


def test_the_file_is_written_and_then_fresh(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "crd.yaml"
    monkeypatch.setattr("sys.argv", ["crd", str(file)])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["crd", str(file), "--check"])
    assert main() == 0


class Leaf(BaseModel):
    """A leaf."""

    size: int = Field(ge=0, le=9, description="Its size.")


class Recursive(BaseModel):
    inner: "Recursive | None" = None


class Deep(BaseModel):
    outer: Recursive


class Union(BaseModel):
    either: int | bool


class UnionOfModels(BaseModel):
    either: Leaf | Recursive


class Open(BaseModel):
    anything: dict[str, Any]


class OpenObject(BaseModel):
    anything: object


class KeysWithoutRule(BaseModel):
    named: dict[Annotated[str, Field(pattern="^[a-z]+$")], str]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(Recursive, r"^Recursive\.\$Recursive.*\.inner: recursive models", id="recursive"),
        pytest.param(Deep, r"^Deep\.outer\.\$Recursive\.inner: recursive models", id="recursive further down"),
        pytest.param(Union, r"^Union\.either: a union has no structural form", id="union"),
        pytest.param(UnionOfModels, r"^UnionOfModels\.either: a union has no structural form", id="union of models"),
        pytest.param(Open, r"^Open\.anything: an object without properties would take anything", id="open map"),
        pytest.param(OpenObject, r"^OpenObject\.anything: a field without a type would take anything", id="no type"),
        pytest.param(KeysWithoutRule, r"^KeysWithoutRule\.named: keys with a pattern need a CEL rule", id="keys"),
    ],
)
def test_what_has_no_structural_form_is_refused_with_its_path(model: type[BaseModel], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        structural_schema(model)


def property_of(model: type[BaseModel]) -> Any:
    (node,) = structural_schema(model)["properties"].values()
    return node


class Constant(BaseModel):
    kind: Literal["only"] = Field(description="The one.")


class Optional(BaseModel):
    maybe: Leaf | None = Field(default=None, description="Perhaps.")


class Either(BaseModel):
    amount: Annotated[int, Field(ge=0, le=5)] | Annotated[str, Field(max_length=3, pattern="^[0-9]$")] | None = None


class Plain(BaseModel):
    path: str = Field(
        max_length=9, pattern=r"^[^'\\]+$", json_schema_extra=plain("no quotes") | rules(cel("true", "m"))
    )


class Ruled(BaseModel):
    """Has a rule."""

    model_config = {"json_schema_extra": rules(cel("true", "inner"))}
    size: int = Field(ge=0, le=9, description="Its size.")


class RuledTwice(BaseModel):
    ruled: Ruled = Field(description="Twice.", json_schema_extra=rules(cel("true", "outer")))


def test_a_constant_becomes_an_enumeration_of_one() -> None:
    assert property_of(Constant) == {"type": "string", "enum": ["only"], "description": "The one."}


def test_an_optional_model_is_inlined_without_null() -> None:
    assert property_of(Optional) == {
        "type": "object",
        "description": "Perhaps.",
        "required": ["size"],
        "properties": {"size": {"type": "integer", "minimum": 0, "maximum": 9, "description": "Its size."}},
    }


def test_a_number_or_text_keeps_the_bounds_of_both() -> None:
    assert property_of(Either) == {
        "x-kubernetes-int-or-string": True,
        "minimum": 0,
        "maximum": 5,
        "maxLength": 3,
        "pattern": "^[0-9]$",
    }


def test_a_pattern_said_in_words_becomes_the_first_rule() -> None:
    node = property_of(Plain)

    assert "pattern" not in node
    assert [rule["message"] for rule in node["x-kubernetes-validations"]] == ["no quotes", "m"]
    assert node["x-kubernetes-validations"][0]["rule"] == r"self.matches('^[^\'\\\\]+$')"


def test_a_pattern_that_refuses_the_empty_string_needs_no_least_length() -> None:
    class Named(BaseModel):
        none: Annotated[str, Field(min_length=1, max_length=9, pattern="^[a-z]+$", json_schema_extra=plain("m"))]
        some: Annotated[str, Field(min_length=1, max_length=9, pattern="^[a-z]*$", json_schema_extra=plain("m"))]

    properties = structural_schema(Named)["properties"]
    assert "minLength" not in properties["none"]
    assert properties["some"]["minLength"] == 1


def test_rules_of_a_model_and_of_the_field_that_holds_it_are_both_kept() -> None:
    assert [rule["message"] for rule in property_of(RuledTwice)["x-kubernetes-validations"]] == ["inner", "outer"]
