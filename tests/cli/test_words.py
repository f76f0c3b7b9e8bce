import re
from pathlib import Path

import pytest

from tests.cli.samples import NEW, OLD, condition, kept, on_trial, service
from triton_operator.cli import progress
from triton_operator.cli.advice import advice
from triton_operator.cli.errors import Exit, Trouble, told
from triton_operator.cli.history import changes
from triton_operator.cli.options import hoisted, seconds_of
from triton_operator.cli.remedies import REMEDIES
from triton_operator.cli.screen import as_data, paragraph
from triton_operator.cli.service import Service
from triton_operator.cli.words import duration, number, share
from triton_operator.edges.errors import ApiError, api_error

DOCS = Path(__file__).parents[2] / "docs"
STALLED = (
    condition("Ready", "False", "LoadTimeout", "too slow"),
    condition("Stalled", "True", "LoadTimeout", "too slow"),
)


@pytest.mark.parametrize(
    ("of", "code"),
    [
        pytest.param(service(), Exit.DONE, id="ready"),
        pytest.param(service(*STALLED), Exit.FAILED, id="stalled"),
        pytest.param(on_trial(), Exit.UNFINISHED, id="on trial"),
        pytest.param(on_trial(paused="CanaryPauseStep"), Exit.PERSON, id="a person is waited for"),
        pytest.param(service(generation=3), Exit.UNFINISHED, id="ready, and of a former spec"),
        pytest.param(service(*STALLED, generation=3), Exit.UNFINISHED, id="stalled, and of a former spec"),
        pytest.param(Service({"metadata": {"name": "new", "generation": 1}}), Exit.UNFINISHED, id="never looked at"),
    ],
)
def test_how_far_a_service_is_is_an_exit_code(of: Service, code: Exit) -> None:
    assert progress.outcome(of) == code


@pytest.mark.parametrize(
    ("status", "reason", "message", "words"),
    [
        (0, "Unreachable", "refused", "no cluster: the cluster of context prod does not answer at https://api"),
        (401, "Unauthorized", "Unauthorized", "not logged in: the cluster of context prod"),
        (403, "Forbidden", 'User "jane" cannot list pods', 'no permission: User "jane" cannot list pods'),
        (404, "NotFound", "404 page not found\n", "no CRD: the cluster of context prod has no inferenceservices"),
        (404, "NotFound", "the server could not find the requested resource", "no CRD: "),
        (404, "NotFound", 'pods "x" not found', 'pods "x" not found'),
        (409, "Conflict", "the object has been modified", "it has changed meanwhile, try again"),
        (500, "InternalError", "two\nlines", "two lines"),
    ],
)
def test_an_error_is_told_in_one_clear_line(status: int, reason: str, message: str, words: str) -> None:
    error: ApiError = api_error(status=status, reason=reason, message=message)

    line = told(error, context="prod", server="https://api")

    assert line.startswith(words)
    assert "\n" not in line


def test_there_is_a_remedy_for_each_reason_of_the_documentation() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+)[^|]*\|[^|]*\|[^|]+\|$", (DOCS / "status.md").read_text(), re.MULTILINE)
    reasons = {reason for row in rows for reason in re.findall(r"`(\w+)`", row)}
    told_otherwise = {"CanaryProgressing", "CanaryPaused", "TrafficVerified"}  # by the commands of the moment

    assert len(reasons) > 40
    assert reasons - REMEDIES.keys() <= told_otherwise


def test_advice_names_the_commands_of_the_moment_once() -> None:
    commands = [each.command for each in advice(on_trial(paused="AnalysisFailed"))]

    assert commands == ["kubectl triton abort digits -n demo", "kubectl triton promote digits -n demo"]


def test_the_spinner_line_and_the_essence_leave_numbers_of_requests_out() -> None:
    grown = on_trial(rollout={"step": 2, "canary": {"requests": 9}})

    assert progress._essence(on_trial()) == progress._essence(grown)


def test_changes_between_revisions_are_named() -> None:
    before, after = (
        kept(OLD, 1)["data"],
        kept(NEW, 2, version=2, image="other", env=[{"name": "A", "value": "1"}])["data"],
    )

    assert changes(before, after) == ("version 1 to 2", "image", "env A")
    assert changes(before, before) == ()
    refreshed = before | {"resolved": {"models": []}}
    assert changes(before, refreshed) == ("files of the source",)


@pytest.mark.parametrize(
    ("words", "became"),
    [
        (["get", "x"], ["get", "x"]),
        (["-n", "demo", "get", "x"], ["get", "-n", "demo", "x"]),
        (["--context=prod", "--namespace", "demo", "get"], ["get", "--context=prod", "--namespace", "demo"]),
        (["--help"], ["--help"]),
        ([], []),
        (["-n"], ["-n"]),
    ],
)
def test_options_before_the_command_are_taken_as_behind_it(words: list[str], became: list[str]) -> None:
    assert hoisted(words) == became


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("0.5s", 0.5)])
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5x", "m", "1..2s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Trouble) as refused:
        seconds_of(text)

    assert refused.value.code == Exit.USAGE


def test_numbers_are_written_for_people() -> None:
    assert [duration(t) for t in (0, 119, 120, 125, 3600, 10_800, 12_000, 180_000)] == [
        "0s", "119s", "2m", "2m5s", "60m", "3h", "3h20m", "2d",
    ]  # fmt: skip
    assert [share(0, 0), share(0, 9), share(1, 4800), share(1, 2)] == ["–", "0 %", "0.021 %", "50 %"]
    assert number(1234567) == "1,234,567"


def test_a_paragraph_keeps_names_whole_and_ends_with_one_stop() -> None:
    name = "a-name-that-is-longer-than-the-line"

    assert paragraph(f"see {name}..", columns=20) == f"  see\n  {name}."
    assert "40 %" in paragraph("x" * 13 + " 40 % of it", columns=20)


def test_data_have_names_of_kubernetes_style() -> None:
    assert as_data(progress.progress(service()))["outcome"] == "done"
    assert as_data({"a": (1, Exit.DONE)}) == {"a": [1, 0]}
