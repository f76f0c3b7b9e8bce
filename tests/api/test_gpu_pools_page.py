"""docs/gpu-pools.md is true: its examples are taken, its tables are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from triton_operator.api.gpu_settings import GpuProfile, GpuSettings
from triton_operator.api.names import INFERENCE_SERVICE
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.placement import place
from triton_operator.core.providers import PROFILES, profile_of

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gpu-pools.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SERVICES = [block for block in BLOCKS if INFERENCE_SERVICE.kind in block]
VALUES = [yaml.safe_load(block) for block in BLOCKS if block not in SERVICES]


def rows(begin: str) -> list[list[str]]:
    """Read the table whose header begins with a text."""
    lines = PAGE[PAGE.index(begin) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


@pytest.mark.parametrize("block", SERVICES)
def test_an_example_can_be_placed(block: str) -> None:
    provider = re.search(r"gpu\.provider: (\S+)", block)
    settings = GpuSettings.model_validate({"provider": provider[1]} if provider else {})
    spec = InferenceServiceSpec.model_validate(yaml.safe_load(block)["spec"])

    assert place(spec, profile_of(settings)).resource_name


@pytest.mark.parametrize("values", VALUES, ids=lambda values: json.dumps(values["gpu"])[:60])
def test_values_of_an_administrator_are_read_and_name_no_label_that_templates_lack(values: Json) -> None:
    assert set(values) == {"gpu"}

    profile = profile_of(GpuSettings.model_validate(values["gpu"]))

    named = {value for name, value in values["gpu"].get("profile", {}).items() if name.endswith("Label")}
    if profile.scalesFromZero:
        assert named <= set(profile.templateLabels)


def test_the_table_has_every_label_resource_and_taint_of_every_provider() -> None:
    header, _, *body = rows("| | `gpu-operator` |")
    assert [cell.split("`")[1] for cell in header[1:]] == [name for name in PROFILES if name != "custom"]

    for column, cell in enumerate(header[1:], start=1):
        profile = PROFILES[cell.split("`")[1]]  # type: ignore[index]  # compared with the providers above
        written = " ".join(row[column] for row in body)
        labels = [value for name, value in profile.model_dump().items() if name.endswith("Label") and value]
        taints = [f"{t.key}={t.value}" if t.value else t.key for t in (*profile.taints, *profile.spotTaints)]
        slices = [profile.migResourceName.replace("{mig}", "1g.10gb")] if profile.migResourceName else []
        for word in (*labels, *taints, *slices, profile.resourceName):
            assert word in written, f"{cell}: {word}"
        known = {
            "products": "product",
            "minMemory": "memory",
            "sharing": "sharing",
            "nodePool": "nodePool",
            "spot": "spot",
        }
        for row in body:
            field = row[0].strip("`")
            if field in known:
                assert (row[column] == "–") == (not getattr(profile, f"{known[field]}Label")), f"{cell}: {field}"
        assert ("yes" if profile.scalesFromZero else "no") == body[-1][column]


def test_the_table_of_entries_is_that_of_the_settings() -> None:
    custom = GpuProfile().model_dump(mode="json")
    wanted = [
        f"| `{name}` | `{json.dumps(custom[name])}` | {field.description} |"
        for name, field in GpuProfile.model_fields.items()
    ]

    table = PAGE.split("<!-- profile -->\n")[1].split("<!-- end of profile -->")[0].splitlines()
    assert table[2:] == wanted
