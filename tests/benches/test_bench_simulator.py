"""The simulator under a crowd: counted, told, judged. No figure is judged here."""

from __future__ import annotations

from typing import Any

import pytest

from benches import crowd, simulator
from benches.measure import Refused
from tests.support.tables import text_of


@pytest.fixture(scope="module")
def served() -> dict[str, Any]:
    """40 visitors, who come in a second and stay for two; three calls a second."""
    plan = simulator.served_plan(40, 8, pace=40, calls_per_s=2, alone_s=1.5, held_s=2)
    return simulator.measured(simulator.SERVED, plan)


def lines(row: dict[str, Any]) -> dict[str, str]:
    """The lines that are judged, and how."""
    shown = text_of(simulator.tables([row])[0]).splitlines()
    cells = [[cell.strip() for cell in line.split("│")] for line in shown if line.startswith("│")]
    return {cell[1].split(",")[0]: cell[4] for cell in cells if cell[4]}


def test_a_crowd_comes_calls_and_leaves(served: dict[str, Any]) -> None:
    assert "refused" not in served, served["refused"]
    steps = {step["name"]: step for step in served["steps"]}
    assert steps[simulator.CALLS_BEGIN]["visitors"]["most"] < 40
    assert steps[simulator.HELD]["visitors"]["least"] >= 40
    assert steps[simulator.HELD]["server_share"] > 0
    assert steps[crowd.LEAVING]["visitors"]["last"] < 40
    assert served["left"]["visitors"] == served["left"]["onlineAgents"] == 0
    assert served["calls"] > 0
    assert sum(served["outcomes"].values()) == served["calls"]
    assert served["joins"] == served["joins_answered"] == 40 + served["calls"]
    assert served["incoming_ms"]["count"] > 0
    assert served["logged_in_bytes"] > 0
    judged = lines(served)
    for what in ("visitors while all are there (/metrics)", "agents online (/metrics)",
                 "lost sessions", "joins answered", "starts dropped",
                 "visitors at the end (/metrics)"):  # fmt: skip
        assert judged[what] == "yes", what
    assert len(judged) == 10


def test_what_went_wrong_is_told(served: dict[str, Any]) -> None:
    for step in served["steps"]:
        assert step["agents_least"] == 8
    busy = [{**step, "server_share": 0.71, "agents_least": 7} for step in served["steps"]]
    busy[3] |= {"visitors": {"least": 39, "most": 40, "last": 40}}
    late = {"count": 9, "p50": 1.0, "p95": 100.1}
    row = {
        **served, "steps": busy, "errors": {"connection_lost": 1}, "joins": 10_000, "dropped": 1,
        "outcomes": {**served["outcomes"], "no_agent": 1}, "join_ms": late, "incoming_ms": late,
        "left": {**served["left"], "visitors": 1},
    }  # fmt: skip
    assert set(lines(row).values()) == {"NO"}
    assert "connection_lost" in text_of(*simulator.tables([row]))


def test_a_client_that_fails_is_said() -> None:
    plan = simulator.served_plan(40, 8, pace=40, calls_per_s=-1, alone_s=1, held_s=1)
    row = simulator.measured(simulator.SERVED, plan)
    assert "crowd ended by itself with code 1" in row["refused"]
    assert "but is -1" in text_of(*simulator.tables([row]))


def plan_of_two_rates() -> crowd.CrowdPlan:
    return simulator.ceiling_plan(
        30, 4, pace=10, calls_per_s=(2, 5), visits_per_s=(1, 3), alone_s=4, step_s=4
    )


def test_visitors_stay_until_the_last_of_what_is_measured_with_them() -> None:
    plan = plan_of_two_rates()
    assert crowd.CrowdPlan.parse(plan.text()) == plan
    times = {phase.step.name: (phase.from_s, phase.to_s) for phase in plan.phases()}
    assert times[crowd.COMING] == (6, 9)
    assert times["calls, fewer"] == (15, 19)
    assert times["visits, more"] == (39, 43)
    assert plan.long_s == 9
    assert plan.stay_s == 37
    assert plan.length_s == 46
    leaving = simulator.served_plan(30, 4, pace=10, calls_per_s=1, alone_s=3, held_s=5)
    (last,) = [phase for phase in leaving.phases() if phase.step.name == crowd.LEAVING]
    assert last.from_s == leaving.phase(crowd.COMING).from_s + leaving.stay_s
    assert last.to_s == leaving.length_s


def test_callers_and_visits_come_at_the_rates_of_the_steps() -> None:
    plan = plan_of_two_rates()
    staying, calling, long, visiting = crowd.scenarios(plan)
    for one in (staying, calling, long, visiting):
        assert one.load.validate() == []
    assert staying.env == {"SESSION": "37.000"}
    assert calling.env == {"SESSION": "1-2"}
    assert long.env == {"SESSION": "9.000"}
    assert list(calling.load.stages) == [
        (4, 0), (5, 0), (4, 0), (0, 2), (6, 2), (0, 5), (6, 5), (0, 0), (6, 0), (6, 0), (6, 0)
    ]  # fmt: skip
    assert list(long.load.stages)[:3] == [(0, pytest.approx(0.8)), (4, pytest.approx(0.8)), (0, 0)]
    assert list(visiting.load.stages)[-4:] == [(0, 1), (6, 1), (0, 3), (6, 3)]


def found(**shares: float) -> dict[str, Any]:
    """Steps of a run of two rates, with these shares of the simulator's core."""
    names = {"nothing": 0.1, "calls_more": 0.4, "calls_fewer": 0.3, "visits_more": 0.7,
             "visits_fewer": 0.4, **shares}  # fmt: skip
    plan = plan_of_two_rates()
    return {"steps": [
        {"name": step.name, "seconds": 4.0, "calls_per_s": step.calls_per_s,
         "visits_per_s": step.visits_per_s, "client_share": 0.5, "calls_most": 1, "rss_bytes": 1,
         "server_share": names.get(step.name.replace(", ", "_"), 0.2),
         "visitors": {"least": 1, "most": 2, "last": 2}}
        for step in plan.steps
    ]}  # fmt: skip


def test_a_ceiling_is_what_fills_the_rest_of_the_core() -> None:
    ends = simulator.ceilings(found())
    assert ends["idle_share"] == 0.1
    assert ends["calls"]["us_each"]["mean"] == pytest.approx(0.3 / 5 * 1e6)
    assert ends["calls"]["us_each"]["one more"] == pytest.approx(0.1 / 3 * 1e6)
    assert ends["visits"]["per_s"]["mean"] == pytest.approx(0.9 / (0.6 / 3))
    assert ends["visits"]["per_s"]["one more"] == pytest.approx(0.9 / (0.3 / 2))
    row = {"case": simulator.CEILING, "visitors": 30, "agents": 4, **found(), **ends}
    shown = text_of(*simulator.tables([row]))
    assert "15 to 27" in shown
    assert "visits, more" in shown


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ({"visits_more": 0.99}, "visits, more: a side was 99% busy"),
        ({"calls_more": 0.3}, "one more of calls cost 0 us"),
    ],
)
def test_a_core_that_was_full_or_not_ours_gives_no_ceiling(
    shares: dict[str, float], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        simulator.ceilings(found(**shares))
