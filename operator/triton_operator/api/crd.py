"""Print the CustomResourceDefinition from the models: `python -m triton_operator.api.crd FILE`.

Not for: validation while the operator runs; the API server does that from what this prints.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml

from triton_operator.api.names import GROUP, INFERENCE_SERVICE, VERSION
from triton_operator.api.schema import Json, cel, rules, structural_schema
from triton_operator.api.spec import MAX_NAME_LENGTH, InferenceServiceSpec
from triton_operator.api.status import InferenceServiceStatus

_LONGEST_LINE = 500  # as JSON
_NAME_RULE = cel(
    f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    f"metadata.name must have at most {MAX_NAME_LENGTH} characters: lower-case letters, digits and '-', beginning with"
    " a letter and ending with a letter or digit; it becomes the name of a Service",
    field_path=".metadata.name",
)


def _column(name: str, path: str, description: str, *, type_: str = "string", priority: int = 0) -> Json:
    column: Json = {"name": name, "type": type_, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


COLUMNS = (
    _column("Ready", '.status.conditions[?(@.type=="Ready")].status', "This generation is fully realised."),
    _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is, or is not."),
    _column("Version", ".status.stable.version", "Model version that serves.", type_="integer"),
    _column("Canary", ".status.canary.version", "Model version on its way in.", type_="integer"),
    _column("Weight", ".status.canary.weight", "Share of requests it gets, in percent.", type_="integer"),
    _column("Replicas", ".status.readyReplicas", "Pods in service that are ready.", type_="integer"),
    _column("Age", ".metadata.creationTimestamp", "Time since creation.", type_="date"),
    _column("URL", ".status.url", "Where it answers over HTTP.", priority=1),
    _column("GPU", ".spec.gpu.count", "GPUs of one replica.", type_="integer", priority=1),
    _column("Message", '.status.conditions[?(@.type=="Ready")].message', "The reason in words.", priority=1),
)


def custom_resource_definition() -> Json:
    """Build the CustomResourceDefinition of InferenceService.

    Returns:
        The object, as a dict for YAML.
    """
    status = structural_schema(InferenceServiceStatus)
    # kstatus calls an object without any status current; -1 is never the generation.
    status["default"] = {"observedGeneration": -1}
    schema = {
        "type": "object",
        "description": "A model served by NVIDIA Triton Inference Server.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": INFERENCE_SERVICE.kind},
            # The rule speaks first: this bound is the API server's own for every object.
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
            "spec": structural_schema(InferenceServiceSpec),
            "status": status,
        },
    } | rules(_NAME_RULE)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{INFERENCE_SERVICE.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": INFERENCE_SERVICE.kind,
                "listKind": f"{INFERENCE_SERVICE.kind}List",
                "plural": INFERENCE_SERVICE.plural,
                "singular": "inferenceservice",
                "shortNames": ["tisvc"],
                "categories": ["triton"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": list(COLUMNS),
                }
            ],
        },
    }


class _Dense(yaml.SafeDumper):
    """Writes on one line what is short, and indents by one: else a third of the text would be indentation.

    What stands in several places is written out, for readers and for tools without YAML aliases.
    """

    best_indent: int
    indent: int
    sequence_context: bool

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # PyYAML takes no indent below 2. The keys of an item stand behind its dash.
        self.best_indent = 2 if self.sequence_context else 1
        super().increase_indent(flow, indentless)

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_data(self, data: object) -> yaml.Node:
        node: yaml.Node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = len(json.dumps(data)) <= _LONGEST_LINE
        elif (
            isinstance(node, yaml.ScalarNode)
            and isinstance(data, str)
            and data.count("'") > data.count('"') + data.count("\\")
        ):
            # Double quotes escape themselves and backslashes, single ones themselves.
            node.style = None if self.analyze_scalar(data).allow_flow_plain else '"'
        return node


def print_crd() -> str:
    """Print the CustomResourceDefinition as YAML, byte for byte the same each time."""
    text: str = yaml.dump(custom_resource_definition(), Dumper=_Dense, sort_keys=False, width=2**31, allow_unicode=True)
    return f"# Generated from operator/triton_operator/api by `make crds`; do not edit.\n{text}"


def main() -> int:
    """Write the CRD, or with --check say whether the file is as it would be written."""
    parser = argparse.ArgumentParser(description="Print the CustomResourceDefinition of InferenceService.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is stale")
    arguments = parser.parse_args()
    file: Path = arguments.file
    if not arguments.check:
        file.write_text(print_crd(), encoding="utf-8")
    elif file.read_text(encoding="utf-8") != print_crd():
        print(f"{file} is stale: run `make crds`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
