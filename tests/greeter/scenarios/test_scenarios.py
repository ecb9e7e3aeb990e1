"""The scenarios against the simulator: what the simulator did is what the result says."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

import ghostcore
from ghost_greeter.scenarios import SCENARIOS, connections, widget
from ghost_greeter.simulator import EmbeddedSimulator
from ghostcore import ConstantVUs, PerVUIterations, RampingVUs, Result


def run_against(simulator: EmbeddedSimulator, name: str, load: Any, session: str) -> Result:
    env = {"SERVER_URL": simulator.url, "ORG_ID": "org", "SESSION": session}
    return ghostcore.run(SCENARIOS[name], load=load, env=env, seed=3)


def server_figures(simulator: EmbeddedSimulator) -> Any:
    with urllib.request.urlopen(f"{simulator.url}/metrics", timeout=5) as answer:
        return json.load(answer)


def test_the_profiles_are_those_of_the_suite() -> None:
    assert isinstance(connections.load, RampingVUs)
    assert connections.load.describe().startswith("ramp 1m:100, 2m:500, 2m:1000, 3m:1000, 1m:0")
    assert widget.load.describe().startswith("ramp 2m:200, 5m:200, 1m:0")
    assert [(str(metric), text) for metric, text in connections.thresholds] == [
        ("ws_connection_time", "p(95)<2000"),
        ("ws_connection_failures", "count<50"),
        ("ws_connection_success_rate", "rate>0.95"),
        ("ws_messages_received", "count>0"),
    ]
    assert [(str(metric), text) for metric, text in widget.thresholds] == [
        ("ws_connection_time", "p(95)<3000"),
        ("widget_join_time", "p(95)<1000"),
        ("connection_failures", "count<20"),
        ("join_success_rate", "rate>0.90"),
    ]


def test_connections() -> None:
    with EmbeddedSimulator() as simulator:
        result = run_against(simulator, "connections", PerVUIterations(5, 2), "0.1-0.3")
    metrics = result.metrics
    assert result.verdict == "pass", result.reasons
    assert metrics["ws_connection_successes"].count == 10
    assert metrics["ws_connection_time"].count == 10
    assert metrics["ws_connection_failures"].count == 0
    assert metrics["ws_connection_success_rate"].passes == 10
    # The connect packet out; the open packet and the connect answer in; the disconnect packet out.
    assert metrics["ws_messages_sent"].count == 20
    assert metrics["ws_messages_received"].count == 20


def test_the_connection_time_is_not_the_hold_time() -> None:
    with EmbeddedSimulator() as simulator:
        result = run_against(simulator, "connections", PerVUIterations(3, 1), "1")
    assert result.metrics["ws_connection_time"].max < 900
    assert result.metrics["ws_session_duration"].min >= 1000


def test_pings_are_answered_while_a_connection_is_held() -> None:
    with EmbeddedSimulator("--ping-interval", "0.2", "--ping-timeout", "0.2") as simulator:
        result = run_against(simulator, "connections", PerVUIterations(3, 1), "1.5")
    assert result.errors == []
    assert result.metrics["ws_messages_received"].count >= 3 * (2 + 5)


def test_every_visitor_is_served_while_there_are_agents() -> None:
    with EmbeddedSimulator(agents=1) as simulator:
        result = run_against(simulator, "widget", PerVUIterations(20, 1), "0.3")
    metrics = result.metrics
    assert result.verdict == "pass", result.reasons
    assert metrics["agent_assigned_count"].count == 20
    assert metrics["agent_unavailable_count"].count == 0
    assert metrics["agent_assigned_rate"].rate == 1
    assert metrics["join_success_rate"].passes == 20
    assert metrics["widget_join_time"].count == 20
    assert metrics["widget_join_time"].failed == 0


def test_visitors_beyond_the_agents_are_answered_but_not_served() -> None:
    with EmbeddedSimulator(agents=1) as simulator:
        result = run_against(simulator, "widget", PerVUIterations(28, 1), "1.5")
    metrics = result.metrics
    assert metrics["agent_assigned_count"].count == 25
    assert metrics["agent_unavailable_count"].count == 3
    assert metrics["agent_assigned_rate"].rate == pytest.approx(25 / 28)
    assert metrics["join_success_rate"].rate == 1


def test_interactions_are_sent_by_three_in_ten() -> None:
    with EmbeddedSimulator(agents=5) as simulator:
        result = run_against(simulator, "widget", PerVUIterations(25, 4), "0.05")
    # Three messages a visit (connect, join, disconnect), and one more for an interaction.
    interactions = result.metrics["ws_msgs_sent"].count - 3 * 100
    assert 15 <= interactions <= 45
    assert result.metrics["iterations_failed"].count == 0


def test_the_server_is_left_empty() -> None:
    with EmbeddedSimulator(agents=2) as simulator:
        run_against(simulator, "widget", ConstantVUs(10, 1, graceful_stop=0), "60")
        figures = server_figures(simulator)
    assert figures["connections"]["sockets"] == 0
    assert figures["connections"]["visitors"] == 0


@pytest.mark.parametrize("name", ["connections", "widget"])
def test_a_closed_port_fails_and_every_attempt_is_counted_once(name: str) -> None:
    env = {"SERVER_URL": "ws://127.0.0.1:1", "ORG_ID": "org"}
    result = ghostcore.run(SCENARIOS[name], load=ConstantVUs(5, 1.5), env=env, seed=3)
    failures = "ws_connection_failures" if name == "connections" else "connection_failures"
    attempts = result.metrics["ws_sessions"].count
    assert result.exit_code == 99
    assert result.metrics[failures].count == attempts
    assert [(one.kind, one.count) for one in result.errors] == [("connection_refused", attempts)]
    assert result.metrics["ws_connection_time"].failed == attempts
    assert 5 <= attempts <= 5 * 8, "users must back off"
