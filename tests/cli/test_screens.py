"""What people read, word for word: golden files of whole screens of 80 columns.

`UPDATE_GOLDEN=1 pytest tests/cli/test_screens.py` writes them anew; read what has changed.
"""

import os
from pathlib import Path

import pytest
from rich.console import Group
from rich.text import Text

from tests.cli.samples import NEW, NOW, OLD, condition, kept, on_trial, pod, printed, seen, service
from triton_operator.cli import history
from triton_operator.cli.drawn import drawn as drawn_tree
from triton_operator.cli.explain import explain
from triton_operator.cli.explained import drawn as drawn_explanation
from triton_operator.cli.service import Service
from triton_operator.cli.tree import tree

GOLDEN = Path(__file__).parent / "golden"

LACKING = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": LACKING}],
}
SCALED = service(
    condition("ScalingActive", "True", "Load", "replicas follow what is measured"),
    spec={"autoscaling": {"minReplicas": 1, "maxReplicas": 8, "objective": {"latencyMilliseconds": 200}}},
    autoscaling={
        "desired": 5,
        "current": 5,
        "because": "38 requests/s planned (31 now, 4 trend, 3 headroom) at 8.4 per replica within 200 ms (p95) need 5",
        "capacityPerReplica": "8.4",
        "leadTimeSeconds": 75,
        "metricsAgeSeconds": 3,
        "hold": {"until": "2026-12-01T12:12:00Z", "reason": "more were needed within the last 150 s"},
        "limitedBy": "nodes",
    },
)
OBSERVED = service(
    condition("ScalingActive", "False", "Observing", "autoscaling.mode is Observe: 5 replicas are recommended"),
    spec={"autoscaling": {"mode": "Observe", "maxReplicas": 8, "objective": {"latencyMilliseconds": 200}}},
    autoscaling={"desired": 5, "current": 2, "because": "38 requests/s planned need 5"},
)
SAID = f"revision {NEW} was rejected, and {OLD} serves on: 52 of 1,300 requests failed, 1 of 5,000 on stable"
ROLLED_BACK = service(
    condition("Ready", "False", "CanaryFailed", SAID),
    condition("Stalled", "True", "CanaryFailed", SAID),
    condition("CanaryFailed", "True", "CanaryFailed", SAID),
    phase="Degraded",
    rejected={
        "name": NEW,
        "version": 2,
        "by": "Operator",
        "reason": "CanaryFailed",
        "message": "52 of 1,300 requests failed, 1 of 5,000 on stable",
        "time": "2026-12-01T12:06:00Z",
    },
)
WAITS = f"0 of 1 pods of revision {NEW} are ready; InsufficientGPU: {LACKING}"
FIRST = service(
    condition("Ready", "Unknown", "Loading", WAITS),
    condition("Available", "False", "NoReadyPods", "no pod in service is ready"),
    phase="Loading",
    stable=None,
    canary={"name": NEW, "version": 1, "replicas": 1, "ready": 0, "weight": 0},
    lastFailure={
        "reason": "InsufficientGPU",
        "message": LACKING,
        "pod": f"{NEW}-x",
        "revision": NEW,
        "time": "2026-12-01T12:07:00Z",
    },
)
PODS = [pod(f"{OLD}-5d-{number}", OLD) for number in range(12)]
UNSEEN = service(generation=3)

TREES = {
    "tree-serving": seen(service(), *PODS[:2]),
    "tree-canary": seen(on_trial(paused="CanaryPauseStep"), *PODS[:4], pod(f"{NEW}-7f-a", NEW)),
    "tree-many-pods": seen(service(), *PODS),
    "tree-first": seen(FIRST, pod(f"{NEW}-x", NEW, ready=False, **UNSCHEDULABLE)),
    "tree-rolled-back": seen(ROLLED_BACK, *PODS[:2]),
    "tree-scaled": seen(SCALED),
    "tree-resolving": seen(
        service(
            condition("Ready", "Unknown", "Resolving", "s3://models/digits is looked up for its version and files"),
            phase="Pending",
            stable=None,
        ),
        pod("digits-resolve-abc", "", ready=False),
    ),
}
EXPLAINED = {
    "explain-serving": service(),
    "explain-paused": on_trial(paused="CanaryPauseStep"),
    "explain-inconclusive": on_trial(paused="Inconclusive"),
    "explain-progressing": on_trial(),
    "explain-scaled": SCALED,
    "explain-observed": OBSERVED,
    "explain-rolled-back": ROLLED_BACK,
    "explain-first": FIRST,
    "explain-unseen": UNSEEN,
}


def assert_golden(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_drawn(name: str) -> None:
    assert_golden(name, printed(drawn_tree([tree(TREES[name], now=NOW)], everywhere=False)))


@pytest.mark.parametrize("name", EXPLAINED)
def test_an_explanation_is_drawn(name: str) -> None:
    assert_golden(name, printed(drawn_explanation(explain(EXPLAINED[name], now=NOW), columns=80)))


def test_a_history_is_drawn() -> None:
    held = (
        '{"spec":"s","revision":"r","goal":"g","by":"person","reason":"Undone","message":"a person went back",'
        '"time":"2026-12-01T12:00:00Z"}'
    )
    revisions = [
        kept(NEW, 3, version=2, rejected=held, image="tritonserver:2", env=[{"name": "A", "value": "1"}]),
        kept(OLD, 2, args=["--b"]),
        kept("digits-old", 1),
    ]

    assert_golden("history", printed(history.drawn(history.history(service(), revisions, now=NOW))))


def test_nothing_is_broken_where_there_is_no_terminal() -> None:
    lines = printed(drawn_explanation(explain(SCALED, now=NOW), columns=None), columns=10_000).splitlines()

    assert any("38 requests/s planned" in line and line.endswith("need 5.") for line in lines)
    assert printed(Group(Text("x"))) == "x\n"


def test_what_a_newer_operator_says_is_passed_on() -> None:
    of: Service = on_trial(
        condition("CanaryPaused", "True", "Unheard", "something new"),
        rollout={"verdict": "MAYBE", "step": 1, "steps": 2},
        phase="Pondering",
    )

    text = printed(drawn_explanation(explain(of, now=NOW), columns=80))

    assert "Verdict MAYBE" in text
    assert "Pondering" in text
    assert "Unheard" in text
