"""reconnect-storm: what was dropped, who came back when, and what is told of those who did not."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ghostcore
from ghost_greeter.cli import main
from ghost_greeter.cli.storm_answer import storm_lines
from ghost_greeter.scenarios import reconnect_storm
from ghost_greeter.scenarios.storm import StormPlan, backoff_s, storm_scenario
from ghost_greeter.simulator import EmbeddedSimulator
from ghostcore import ConstantVUs, Result, UsageError


def storm(url: str, plan: StormPlan, load: Any = None) -> Result:
    env = {"SERVER_URL": url, "ORG_ID": "org"}
    return ghostcore.run(storm_scenario(plan), load=load, env=env, seed=3)


@given(st.integers(0, 2000), st.floats(0, 1))
def test_the_back_off_is_that_of_the_widget(attempt: int, chance: float) -> None:
    asked = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low + chance * (high - low)

    wait_s = backoff_s(attempt, uniform)
    assert asked == [(0.5, 1.5)]
    assert wait_s == pytest.approx(min(5, 2 ** min(attempt, 99) * (0.5 + chance)))


def test_the_plan_of_the_suite() -> None:
    assert reconnect_storm.load.peak_vus == 200
    assert [(str(metric), text) for metric, text in reconnect_storm.thresholds] == [
        ("storm_recovery_time", "max<60000"),
        ("connection_failures", "count<20"),
        ("join_success_rate", "rate>0.90"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"visitors": 0}, {"share": 0.0}, {"share": 1.1}, {"hold_s": -1.0}, {"arrive_s": math.nan},
        {"recover_s": 0.0}, {"recover_s": math.inf}, {"share": 0.5, "kill": print},
    ],
)  # fmt: skip
def test_plans_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="storm"):
        StormPlan(**wrong)


def test_everybody_comes_back_after_the_back_off() -> None:
    plan = StormPlan(visitors=40, arrive_s=0.2, hold_s=0.3, recover_s=20)
    with EmbeddedSimulator(agents=2) as simulator:
        result = storm(simulator.url, plan)
        status = simulator.status()
    metrics: Any = result.metrics
    assert result.verdict == "pass", result.reasons
    assert metrics["visitors_dropped"].count == 40
    assert metrics["reconnect_attempts"].count == 40
    assert metrics["reconnect_failures"].count == 0
    assert metrics["served_again_rate"].passes == 40
    # Each waits 0.5 to 1.5 s before it tries.
    assert metrics["reconnect_time"].count == 40
    assert metrics["reconnect_time"].min >= 500
    # 99 % of 40 are all of them.
    assert metrics["storm_recovery_time"].count == 1
    assert metrics["storm_recovery_time"].max == pytest.approx(
        metrics["reconnect_time"].max, rel=0.002
    )
    # Nothing of the storm is among the arrivals, nor the other way round.
    assert metrics["ws_connection_time"].count == metrics["widget_join_time"].count == 40
    assert metrics["reconnect_connection_time"].count == metrics["reconnect_join_time"].count == 40
    assert metrics["ws_sessions_opened"].count == 80
    assert result.errors == []
    assert status["connections"] == [0]
    lines = list(storm_lines(plan, result))
    assert lines[0].startswith("storm: 40 visitors dropped; 99 % of them were served again after ")
    assert lines[1] == "40 attempts to reconnect, 0 failed"


def test_the_share_is_exact_and_the_others_stay() -> None:
    plan = StormPlan(visitors=41, arrive_s=0.1, hold_s=0.3, share=0.3, recover_s=20)
    with EmbeddedSimulator(agents=2) as simulator:
        result = storm(simulator.url, plan)
    metrics: Any = result.metrics
    assert result.verdict == "pass", result.reasons
    assert metrics["visitors_dropped"].count == 12
    assert metrics["reconnect_time"].count == 12
    assert metrics["ws_sessions_opened"].count == 41 + 12


def test_a_server_that_never_comes_back() -> None:
    with EmbeddedSimulator() as simulator:
        plan = StormPlan(20, arrive_s=0.1, hold_s=0.2, recover_s=2.5, kill=simulator.crash)
        result = storm(simulator.url, plan)
    metrics: Any = result.metrics
    assert result.exit_code == 99
    assert metrics["visitors_dropped"].count == 20
    assert metrics["reconnect_time"].cut_off == metrics["reconnect_time"].count == 20
    assert metrics["reconnect_time"].bounds(50).lower >= 2500
    assert metrics["storm_recovery_time"].cut_off == metrics["storm_recovery_time"].count == 1
    assert metrics["served_again_rate"].fails == 20
    # Each visitor is one error of the run; its attempts are counted on their own, once each.
    assert [(one.kind, one.count) for one in result.errors] == [("reply_timeout", 20)]
    attempts = metrics["reconnect_attempts"].count
    refused = metrics["reconnect_failures{kind:connection_refused}"].count
    assert 20 <= refused == metrics["reconnect_failures"].count <= attempts <= 60
    lines = list(storm_lines(plan, result))
    assert "NOT served again within 2.5 s: 0 were" in lines[0]
    assert f"{refused} x connection_refused" in lines[1]


def test_kinds_of_refusals_are_told_apart() -> None:
    with EmbeddedSimulator() as simulator:

        def kill() -> None:
            simulator.crash()
            simulator.restart()
            simulator.set_faults(rate_limits={"visitor:join": 0}, connection_limit=4)

        # Long enough for a restart on a busy machine, and for attempts behind it.
        plan = StormPlan(6, arrive_s=0.1, hold_s=0.2, recover_s=6, kill=kill)
        result = storm(simulator.url, plan)
    metrics: Any = result.metrics
    attempts = metrics["reconnect_attempts"].count
    kinds = {
        kind: metrics[f"reconnect_failures{{kind:{kind}}}"].count
        for kind in ("rate_limited", "upgrade_rejected_503", "out_of_time")
    }
    assert result.exit_code == 99
    assert sum(kinds.values()) == metrics["reconnect_failures"].count == attempts, kinds
    assert kinds["rate_limited"] > 0


def test_a_storm_without_visitors_fails() -> None:
    plan = StormPlan(3, arrive_s=0, hold_s=0.2, recover_s=1)
    result = storm("ws://127.0.0.1:1", plan)
    assert result.exit_code == 99
    assert result.metrics["connection_failures"].count == 3
    assert "there was none" in next(storm_lines(plan, result))


def test_those_who_arrive_too_late_are_no_part_of_it() -> None:
    plan = StormPlan(4, arrive_s=0, hold_s=0.3, recover_s=2)
    with EmbeddedSimulator("--fault", "latency=500ms") as simulator:
        result = storm(simulator.url, plan)
    assert result.metrics["visitors_dropped"].count == 0
    assert result.exit_code == 99, "no data"
    assert result.errors == []


def test_one_storm_after_the_other() -> None:
    plan = StormPlan(5, arrive_s=0, hold_s=0.1, recover_s=10)
    with EmbeddedSimulator(agents=1) as simulator:
        result = storm(simulator.url, plan, ConstantVUs(5, 2, graceful_stop=10))
    metrics: Any = result.metrics
    storms = metrics["storm_recovery_time"].count
    assert result.verdict == "pass", result.reasons
    assert 2 <= storms <= 4
    assert metrics["visitors_dropped"].count == 5 * storms
    assert f"10 visitors dropped in {storms} storms; 99 % of" in next(storm_lines(plan, result))


def test_storms_of_two_runs_do_not_mix() -> None:
    one = storm_scenario(StormPlan(4, arrive_s=0, hold_s=0.2, recover_s=10))

    async def both(url: str) -> list[Result]:
        env = {"SERVER_URL": url, "ORG_ID": "org"}
        return await asyncio.gather(*(ghostcore.run_async(one, env=env, seed=n) for n in (1, 2)))

    with EmbeddedSimulator(agents=1) as simulator:
        results = asyncio.run(both(simulator.url))
    for result in results:
        assert result.metrics["visitors_dropped"].count == 4
        assert result.metrics["storm_recovery_time"].count == 1


def test_an_interrupted_storm_keeps_what_it_waited_for() -> None:
    with EmbeddedSimulator() as simulator:
        plan = StormPlan(5, arrive_s=0, hold_s=0.2, recover_s=60, kill=simulator.crash)
        result = storm(simulator.url, plan, ConstantVUs(5, 1, graceful_stop=0))
    metrics: Any = result.metrics
    for name, count in (("reconnect_time", 5), ("storm_recovery_time", 1)):
        assert (metrics[name].count, metrics[name].cut_off) == (count, count)
        assert metrics[name].bounds(50).lower >= 500


def test_the_simulator_is_killed_and_comes_back(tmp_path: Path, capfd: Any) -> None:
    code = main(["run", "reconnect-storm", "-u", "20", "--arrive", "0.2", "--hold", "0.3",
                 "--kill", "--down", "1.6", "--quiet", "--out", str(tmp_path)])  # fmt: skip
    out, _ = capfd.readouterr()
    assert code == 0, out
    assert "then the server is killed and started again" in out
    assert "storm: 20 visitors dropped; 99 % of them were served again after " in out
    assert "x connection_refused" in out
    assert "the simulator was down for " in out
    saved = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert saved["storm_recovery_time"]["max"] > 1600
    # Every first attempt came while it was down.
    assert saved["reconnect_failures"]["count"] >= 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "reconnect-storm", "--kill", "--server-url", "ws://127.0.0.1:1"), "--kill"),
        (("run", "reconnect-storm", "--kill", "--drop-share", "0.5"), "--drop-share"),
        (("run", "reconnect-storm", "--down", "1"), "--kill with it"),
        (("run", "reconnect-storm", "--drop-share", "0"), "share is 0"),
        (("run", "widget", "--hold", "3"), "only reconnect-storm"),
        (("run", "widget", "--kill"), "only reconnect-storm"),
    ],
)
def test_options_that_cannot_be(arguments: tuple[str, ...], said: str, capfd: Any) -> None:
    assert main(arguments) == 104
    out, err = capfd.readouterr()
    assert said in err
    assert not out, "nothing was announced or loaded"
