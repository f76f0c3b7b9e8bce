"""What the pages say can be done: links lead somewhere, commands, values and specs are what the programs take.

A page that is spoilt must be found out: each rule is tried on a spoilt text, too.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from triton_operator.api.crd import custom_resource_definition
from triton_operator.api.names import API_VERSION, INFERENCE_SERVICE
from triton_operator.cli.files import Document
from triton_operator.cli.lint import Level, lint
from triton_operator.cli.options import hoisted
from triton_operator.cli.program import app
from triton_operator.cli.remedies import REMEDIES

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SCHEMA: Json = json.loads((ROOT / "charts/triton-operator/values.schema.json").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROGRAM: Any = typer.main.get_command(app)
LEAST: Json = {"model": {"name": "m", "uri": "pvc://models/m"}}

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=indent)```\s*?$", re.M | re.S)
CODE = re.compile(r"(`+)((?:(?!\n\n).)+?)\1", re.S)
LINK = re.compile(r"\]\(\s*<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.M)
HEREDOC = re.compile(r"<<-?'?(?P<end>\w+)'?\n(?P<body>.*?)^(?P=end)$", re.M | re.S)
SHELLS = ("sh", "shell", "bash", "console", "")


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def prose(self) -> str:
        """The text without blocks of code."""
        return FENCE.sub("", self.text)

    def fences(self, *languages: str) -> Iterator[str]:
        for fence in FENCE.finditer(self.text):
            if fence["language"] in languages:
                yield re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.M)

    def spans(self) -> Iterator[str]:
        """Code in the midst of sentences."""
        for span in CODE.finditer(self.prose):
            yield re.sub(r"\s+", " ", span[2]).strip()


def pages() -> list[Page]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in ("logs", "build"))
        found += [Path(folder, name) for name in sorted(files) if name.endswith(".md")]
    return [Page(path, path.read_text(encoding="utf-8")) for path in found]


PAGES = pages()
BY_PAGE = pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])


def page_of(text: str) -> Page:
    return Page(ROOT / "docs" / "spoilt.md", text)


# Links


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("\\", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).strip().replace(" ", "-")
        number = 1
        name = slug
        while name in found:
            name, number = f"{slug}-{number}", number + 1
        found.add(name)
    return found


def broken_links(page: Page) -> list[str]:
    broken = []
    for link in LINK.finditer(CODE.sub("", page.prose)):
        path, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.path.parent / path).resolve() if path else page.path
        if not (target == page.path or target.exists()) or not target.is_relative_to(ROOT):
            broken.append(f"{link['target']}: there is no such file")
        elif anchor and anchor not in anchors(page.text if target == page.path else target.read_text("utf-8")):
            broken.append(f"{link['target']}: there is no such heading")
    return broken


@BY_PAGE
def test_every_link_leads_somewhere(page: Page) -> None:
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    good = page_of("# A, *b* and `c`\n[x](#a-b-and-c) [y](status.md#reasons) [z](https://example.com/#q) `[a](b)`")
    assert broken_links(good) == []
    for target in ("#b", "statu.md", "status.md#reason", "../../etc"):
        assert broken_links(page_of(f"# A\n[x]({target})")) != []


def unreached(start: Path) -> set[Path]:
    """Pages below docs/ that no chain of links leads to."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file() or path.suffix != ".md":
            continue
        seen.add(path)
        for link in LINK.finditer(CODE.sub("", Page(path, path.read_text("utf-8")).prose)):
            target = (path.parent / link["target"].partition("#")[0]).resolve()
            todo += sorted(target.glob("*.md")) if target.is_dir() else [target]
    return {page.path for page in PAGES if page.path.is_relative_to(ROOT / "docs")} - seen


def test_every_page_can_be_reached_from_the_index() -> None:
    assert {path.name for path in unreached(ROOT / "docs" / "README.md")} == set()
    assert unreached(ROOT / "docs" / "soak.md") != set()


# Commands


def lines(page: Page) -> Iterator[str]:
    """Command lines of a page: of blocks, without prompts, output and what is given to standard input; and in prose."""
    for language in SHELLS:
        for text in page.fences(language):
            joined = HEREDOC.sub("\n", text).replace("\\\n", " ").splitlines()
            prompts = [line for line in joined if line.startswith("$ ")]
            yield from (line.removeprefix("$ ").strip() for line in prompts or joined)
    yield from page.spans()


def commands(page: Page, program: str) -> Iterator[list[str]]:
    """The words behind a program, in each command line that begins with it."""
    for line in lines(page):
        for match in re.finditer(rf"(?:^|[;|&(] *|\b[A-Z_]+=\S* ){re.escape(program)} (?P<rest>.*)", line):
            rest = re.split(r"[;|&>)]|\$\(| <", match["rest"])[0]
            yield shlex.split(rest.replace("…", "").replace("...", ""), comments=True)


def wrong_plugin_calls(page: Page) -> list[str]:
    wrong = []
    for words in commands(page, "kubectl triton"):
        name, *rest = hoisted([word.strip("[]") for word in words]) or [""]
        if name in ("-h", "--help"):
            continue
        try:
            PROGRAM.commands[name].make_context(name, rest)
        except typer.Exit:  # its --help
            pass
        except Exception as error:
            wrong.append(f"kubectl triton {' '.join(words)}: {getattr(error, 'message', error)}")
    return wrong


@BY_PAGE
def test_every_call_of_the_plugin_is_one_that_it_takes(page: Page) -> None:
    assert wrong_plugin_calls(page) == []


def test_a_call_that_the_plugin_does_not_take_is_found() -> None:
    good = (
        "```sh\nkubectl triton get digits -n demo -w\nA=b kubectl triton -n demo status digits --timeout 5m | cat\n```"
    )
    assert wrong_plugin_calls(page_of(good)) == []
    assert len(list(commands(page_of(good), "kubectl triton"))) == 2
    for call in ("promot digits", "promote", "get --wide", "undo x --revision y", "lint service.yaml"):
        assert wrong_plugin_calls(page_of(f"```sh\n$ kubectl triton {call}\n```")) != []
        assert wrong_plugin_calls(page_of(f"Say `kubectl triton {call}`.")) != []


def unknown_values(page: Page) -> list[str]:
    """Values of the chart that it does not have, of --set in commands that name no other chart."""
    unknown = []
    for line in lines(page):
        if "--set" not in line or (re.search(r"\bhelm\b", line) and "triton-operator" not in line):
            continue
        for given in re.findall(r"--set(?:-string|-json|-file)?[= ]['\"]?(\S+?=)", line):
            for key in re.findall(r"(?:^|,)([A-Za-z][^=,{]*)=", given):
                if not has_value(SCHEMA, key.replace("\\.", "\0").split(".")):
                    unknown.append(key)
    return unknown


def has_value(schema: Json, keys: list[str]) -> bool:
    if not keys:
        return True
    name, _, index = keys[0].partition("[")
    inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
    if inner is False or (name not in schema.get("properties", {}) and not inner):
        return False
    if index and isinstance(inner, dict):
        inner = inner.get("items", {})
    return inner is True or not isinstance(inner, dict) or not inner or has_value(inner, keys[1:])


@BY_PAGE
def test_every_value_that_is_set_is_one_of_the_chart(page: Page) -> None:
    assert unknown_values(page) == []


def test_a_value_that_the_chart_does_not_have_is_found() -> None:
    good = "`--set image.tag=1 --set 'watch.namespaces={a,b}'` and `helm install x other/chart --set foo=1`"
    assert unknown_values(page_of(good)) == []
    for key in ("imag.tag", "image.tags", "prometheus.uri", "image.tag.x"):
        assert unknown_values(page_of(f"`--set {key}=1`")) == [key]
        assert unknown_values(page_of(f"```sh\nhelm upgrade t charts/triton-operator \\\n --set {key}=1\n```")) == [key]


def unknown_tasks(page: Page) -> list[str]:
    tasks = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.M))
    variables = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.M))
    unknown = []
    for words in commands(page, "make"):
        for word in words:
            name, given, _ = word.partition("=")
            if name not in (variables if given else tasks):
                unknown.append(word)
    return unknown


@BY_PAGE
def test_every_task_that_is_named_is_in_the_makefile(page: Page) -> None:
    assert unknown_tasks(page) == []


def test_a_task_that_the_makefile_does_not_have_is_found() -> None:
    assert unknown_tasks(page_of("`make test`\n```sh\nmake demo   # shows it\nmake e2e STORIES=1\n```")) == []
    assert unknown_tasks(page_of("`make tests`\n```sh\nmake e2e STORY=1\n```")) == ["STORY=1", "tests"]


# Fields

FIELDS: Json = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
SPEC: Json = FIELDS["spec"]
OF_OTHER_KINDS = ("docs/argo-cd.md", "docs/flux.md")  # their fields are those of Applications and Kustomizations, too
FIELD = re.compile(r"[a-z][A-Za-z]*(?:\[\])?(?:\.[a-z][A-Za-z]*(?:\[\])?)+(?=$|[ :=,])")


def unknown_fields(page: Page) -> list[str]:
    """Paths in prose that begin like a field of the resource, or a value of the chart, and are neither."""
    unknown = []
    for span in page.spans():
        if not (match := FIELD.match(span)) or span.startswith("metadata."):
            continue
        keys = match[0].split(".")
        known = [has_field({"properties": FIELDS}, keys), has_field(SPEC, keys), has_value(SCHEMA, keys)]
        inner = [has_field(part, keys) for part in SPEC["properties"].values() if keys[0] in part.get("properties", ())]
        if any(keys[0] in of for of in (FIELDS, SPEC["properties"], SCHEMA["properties"])) or inner:
            unknown += [] if any(known) or any(inner) else [match[0]]
    return unknown


def has_field(schema: Json, keys: list[str]) -> bool:
    if not keys:
        return True
    if "items" in schema:
        return has_field(schema["items"], keys)
    found = schema.get("properties", {}).get(keys[0].removesuffix("[]"), schema.get("additionalProperties"))
    return found is not None and has_field(found, keys[1:])


@BY_PAGE
def test_every_field_that_is_named_is_there(page: Page) -> None:
    assert page.name in OF_OTHER_KINDS or unknown_fields(page) == []


def test_a_field_that_is_not_there_is_found() -> None:
    good = (
        "`spec.gpu.count: 1` `status.rollout` `rollout.steps[].setWeight` `analysis.errors` `gpu.provider` `a.b` `c d`"
    )
    assert unknown_fields(page_of(good)) == []
    for name in ("spec.gpus.count", "spec.gpu.cuont", "status.rolout", "rollout.maxSurge", "prometheus.uri"):
        assert unknown_fields(page_of(f"`{name}`")) == [name]


def unknown_reasons(page: Page) -> list[str]:
    """Reasons in the first column of tables that no line of the operator gives."""
    cells = re.findall(r"^\|([^|]+)\|", page.prose, re.M)
    named = {word for cell in cells for word in re.findall(r"`([A-Z][a-z]+(?:[A-Z]+[a-z]*)+)`", cell)}
    return sorted(named - SAID)


SAID = {
    word
    for file in (ROOT / "operator").rglob("*.py")
    for word in re.findall(r"[\"']([A-Z][A-Za-z]+)[\"']", file.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", ["status.md", "troubleshooting.md", "sources/README.md", "tutorials/air-gap.md"])
def test_every_reason_is_one_that_the_operator_gives(name: str) -> None:
    page = next(page for page in PAGES if page.name == f"docs/{name}")
    assert unknown_reasons(page) == []


def test_every_reason_with_a_remedy_stands_in_the_docs() -> None:
    told = "".join(page.text for page in PAGES if page.name in ("docs/status.md", "docs/autoscaling.md"))
    assert [reason for reason in REMEDIES if f"`{reason}`" not in told] == []


def test_a_reason_that_nobody_gives_is_found() -> None:
    assert unknown_reasons(page_of("| `BadLayout` | `Nothing` |\n| `BadLayuot`, `NoSpace` | x |")) == ["BadLayuot"]


# Specs


def services(page: Page) -> Iterator[Json]:
    """InferenceServices of a page; what is only a part of a spec is added to the least one."""
    texts = [
        *page.fences("yaml"),
        *(doc["body"] for text in page.fences("sh") for doc in HEREDOC.finditer(text) if "apiVersion:" in doc["body"]),
    ]
    for text in texts:
        for body in yaml.safe_load_all(text):
            if isinstance(body, dict) and body.keys() == {"spec"}:
                head = {"apiVersion": API_VERSION, "kind": INFERENCE_SERVICE.kind, "metadata": {"name": "m"}}
                yield head | {"spec": LEAST | body["spec"]}
            elif isinstance(body, dict) and body.get("kind") == INFERENCE_SERVICE.kind:
                yield body


def refused_specs(page: Page) -> list[str]:
    refused = []
    for body in services(page):
        document = Document(page.name, body.get("metadata", {}).get("name", "?"), body)
        refused += [f"{found.field}: {found.message}" for found in lint(document) if found.level is Level.ERROR]
    return refused


@BY_PAGE
def test_every_service_that_is_written_is_taken(page: Page) -> None:
    assert refused_specs(page) == []


def test_a_service_that_is_not_taken_is_found() -> None:
    assert refused_specs(page_of("```yaml\nspec:\n  gpu: {count: 0}\n```")) == []
    for spoilt in ("gpu: {cuont: 0}", "gpu: {count: -1}", "rollout: {steps: [{setWeight: 5}]}", "replicas: '2'"):
        assert refused_specs(page_of(f"```yaml\nspec:\n  {spoilt}\n```")) != []
        head = f"apiVersion: {API_VERSION}\nkind: InferenceService\nmetadata: {{name: m}}\nspec:\n"
        body = f"{head}  model: {{name: m, uri: 'pvc://m'}}\n  {spoilt}\n"
        assert refused_specs(page_of(f"```sh\nkubectl apply -f - <<EOF\n{body}EOF\n```")) != []


def test_there_are_services_in_the_readme_and_in_tutorials() -> None:
    with_one = {page.name for page in PAGES if list(services(page))}
    assert "README.md" in with_one
    assert sum(name.startswith("docs/tutorials/") for name in with_one) >= 2
