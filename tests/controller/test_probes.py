from dataclasses import replace

import aiohttp
import pytest
from prometheus_client import generate_latest

from triton_operator.api import names
from triton_operator.controller.metrics import Metrics
from triton_operator.controller.probes import Pulse, ills, obstacles, serve

LEADER = Pulse(
    leading=True,
    workers=4,
    workers_alive=4,
    oldest_seconds=1.0,
    resync_seconds=100.0,
    resync_limit_seconds=1860.0,
    heard_seconds=2.0,
)
STANDBY = replace(LEADER, leading=False, workers=0, workers_alive=0, oldest_seconds=0.0, resync_seconds=None)


@pytest.mark.parametrize(
    ("pulse", "ill", "unready"),
    [
        pytest.param(LEADER, False, False, id="leader"),
        pytest.param(STANDBY, False, False, id="standby"),
        pytest.param(replace(LEADER, workers_alive=3), True, True, id="a worker has ended"),
        pytest.param(replace(LEADER, oldest_seconds=601.0), True, True, id="a key waits too long"),
        pytest.param(replace(LEADER, resync_seconds=1861.0), True, True, id="the last resync is too old"),
        pytest.param(replace(LEADER, resync_seconds=None), False, True, id="leader before its first look"),
        pytest.param(replace(STANDBY, heard_seconds=None), False, True, id="standby that never heard of the Lease"),
        pytest.param(replace(STANDBY, heard_seconds=61.0), False, True, id="standby without an API server"),
    ],
)
def test_a_restart_is_asked_for_only_when_it_can_help(pulse: Pulse, ill: bool, unready: bool) -> None:
    assert (bool(ills(pulse)), bool(obstacles(pulse))) == (ill, unready)


ON_TRIAL = {
    "canary": {"weight": 20},
    "rollout": {
        "step": 2,
        "canary": {"requests": 100, "failed": 3},
        "stable": {"requests": 900, "failed": 4, "timed": 800, "slow": 7},
        "towardsFail": 30,
        "towardsPass": 0,
    },
    "conditions": [{"type": "CanaryPaused", "status": "True", "reason": "CanaryPauseStep"}],
}


def test_a_canary_is_shown_as_long_as_it_is_on_trial() -> None:
    metrics = Metrics()

    def shown() -> set[str]:
        text = generate_latest(metrics.registry).decode()
        return {line for line in text.splitlines() if line.startswith("triton_operator_canary_")}

    of = 'name="vision",namespace="models"'
    metrics.told(("models", "other"), {})
    assert not shown()
    metrics.told(("models", "vision"), ON_TRIAL)
    assert shown() >= {
        f"triton_operator_canary_step{{{of}}} 2.0",
        f"triton_operator_canary_paused{{{of}}} 1.0",
        f'triton_operator_canary_evidence_percent{{{of},verdict="FAIL"}} 30.0',
        f'triton_operator_canary_judged_requests{{kind="failed",{of},side="canary"}} 3.0',
        f'triton_operator_canary_judged_requests{{kind="slow",{of},side="stable"}} 7.0',
    }
    metrics.told(("models", "vision"), {})
    assert not shown()


async def test_the_probes_answer_over_http() -> None:
    pulse = replace(STANDBY, heard_seconds=None)
    metrics = Metrics()
    metrics.called(verb="patch", code="200")
    metrics.applied(names.DEPLOYMENT, changed=True)
    metrics.reconciled("done", seconds=0.1)
    metrics.leads()
    metrics.told(("models", "vision"), ON_TRIAL)
    async with (
        serve(lambda: pulse, metrics.registry, port=0, host="127.0.0.1") as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert "Lease" in await answer.text()
        async with session.get("/metrics") as answer:
            shown = (await answer.text()).splitlines()
    assert 'triton_operator_api_calls_total{code="200",verb="patch"} 1.0' in shown
    assert 'triton_operator_applies_total{kind="Deployment",result="changed"} 1.0' in shown
    assert 'triton_operator_reconcile_duration_seconds_count{result="done"} 1.0' in shown
    assert "triton_operator_leader 1.0" in shown
    assert 'triton_operator_canary_weight_percent{name="vision",namespace="models"} 20.0' in shown
    assert all(line.startswith(("#", "triton_operator_")) for line in shown)
