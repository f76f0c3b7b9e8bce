import subprocess
import sys
from pathlib import Path

import pytest

from triton_operator.cli import program
from triton_operator.cli.completion import FILES, NO_FILES, complete

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: prod
contexts:
  - {name: prod, context: {cluster: c, user: u}}
  - {name: test, context: {cluster: c, user: u}}
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
"""


def words(*given: str) -> list[str]:
    suggestions, directive = complete(given)
    assert directive == NO_FILES
    return [each.partition("\t")[0] for each in suggestions]


def test_commands_are_completed_with_what_they_do() -> None:
    suggestions, _ = complete(["pro"])

    assert [each.partition("\t")[0] for each in suggestions] == ["promote", "promote-full"]
    assert suggestions[0].partition("\t")[2] == program.ACTIONS["promote"]


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        (["-n", "demo", "st"], ["status"]),
        (["status", "--w"], ["--watch"]),
        (["get", "-o", ""], ["text", "json", "yaml"]),
        (["lint", "--server", "a"], ["auto", "always"]),
        (["nonsense", ""], []),
    ],
)
def test_options_and_their_words_are_completed(given: list[str], suggested: list[str]) -> None:
    assert words(*given) == suggested


def test_files_are_left_to_the_shell() -> None:
    assert complete(["lint", "-f", ""]) == ([], FILES)


def test_contexts_are_those_of_the_kubeconfig(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)

    assert words("get", "--kubeconfig", str(file), "--context", "") == ["prod", "test"]


@pytest.mark.parametrize("text", [KUBECONFIG, "{", "", "a: 1"])
def test_whatever_goes_wrong_nothing_is_suggested(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)

    assert words("get", f"--kubeconfig={file}", "") == []


def test_a_help_text_imports_nothing_that_takes_long() -> None:
    code = (
        "import sys; from triton_operator.cli import program; "
        "print(sorted(m for m in ('kubernetes', 'rich.console', 'yaml', 'cel', 'aiohttp') if m in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
