"""How load tests of this server fooled their users before: none of it may happen here again.

Each trap is set for every scenario of the suite. A new scenario joins by being in SCENARIOS; where
a trap needs to know more of it, a table says so, and a name that is missing there fails.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

import ghostcore
from ghost_greeter.cli import main
from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.scenarios.storm import StormPlan, storm_scenario
from ghost_greeter.simulator import Behaviour, Distribution, Setup, Simulator, Timings
from ghost_greeter.simulator.machine.core import Effect, Send
from ghostcore import ConstantArrivalRate, ConstantVUs, Result, Scenario
from ghostcore.report import summary_text
from ghostcore.testing import ServerThread, SocketIOClient

EVERY = pytest.mark.parametrize("name", sorted(SCENARIOS))

USERS = 4

# Options that make a run short, beside those that do so for every scenario.
SHORT = {"reconnect-storm": ("--arrive", "0", "--recover-within", "20")}

# With what its users begin, and how the server keeps them waiting for it for ever.
SILENT = {"drop": 1, "drop_events": ["agent:assigned", "agent:unavailable"]}
DEAF = {"connection_limit": 0, "over_limit": "hang"}
WAITING = {
    "connections": (DEAF, "ws_connection_time"),
    "widget": (SILENT, "widget_join_time"),
    "calls": ({"drop": 1, "drop_events": ["call:accepted"]}, "call_request_time"),
    "reconnect-storm": (SILENT, "widget_join_time"),
}


class Watched(Simulator):
    """A simulator that keeps count of what connects to it."""

    def __init__(self, timings: Timings | None = None) -> None:
        answer = Behaviour(answer=Distribution.parse("20ms"))
        super().__init__(Setup(timings=timings or Timings(), agents=10, behaviour=answer))
        self.entered = 0
        self.most = 0

    def _on_connect(self, node: int, client: SocketIOClient) -> None:
        self.entered += 1
        self.most = max(self.most, len(self.sockets.connections))
        super()._on_connect(node, client)

    def left_behind(self) -> dict[str, int]:
        """What is still there; waited for by :func:`emptied`."""
        core = self.state
        return {
            "connections": len(self.sockets.connections),
            "visitors": core.visitor_count,
            "calls": len(core.calls),
            "requests": len(core.requests),
        }


class Repeating(Watched):
    """Says everything about agents and calls three times, between events that only look alike."""

    def _deliver(self, effects: list[Effect]) -> None:
        said: list[Effect] = []
        for effect in effects:
            said.append(effect)
            if isinstance(effect, Send) and effect.socket_id in self._clients:
                alike = '42["agent:assigned:not",{}]', '42["note",{"t":"42[\\"agent:assigned\\""}]'
                said += [Send(effect.socket_id, packet) for packet in alike]
                if "agent:assigned" in effect.packet:
                    said += [effect, effect]
        super()._deliver(said)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER_URL", "ORG_ID", "AGENT_ID", "METRICS_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def typed(
    name: str,
    url: str,
    out: Path,
    *,
    users: int = USERS,
    duration: str = "1s",
    session: str = "0.3",
) -> tuple[int, Any]:
    """Run a scenario from the command line; returns the exit code and result.json."""
    code = main(["run", name, "-u", str(users), "-d", duration, "--session", session,
                 "--server-url", url, "--seed", "7", "--quiet", "--out", str(out),
                 *SHORT.get(name, ())])  # fmt: skip
    return code, json.loads((out / "result.json").read_text())


def called(name: str, url: str, load: Any, session: str) -> Result:
    """Run a scenario from Python."""
    one: Scenario = SCENARIOS[name]
    if name == "reconnect-storm":
        one = storm_scenario(StormPlan(USERS, arrive_s=0, recover_s=20))
    env = {"SERVER_URL": url, "ORG_ID": "org", "SESSION": session}
    return ghostcore.run(one, load=load, env=env, seed=7)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}"


def emptied(thread: ServerThread[Watched]) -> dict[str, int]:
    """What is left on the server once it had a moment to notice that all have gone."""
    until_s = time.monotonic() + 10
    while True:
        left = thread.call(thread.server.left_behind)
        if not any(left.values()) or time.monotonic() > until_s:
            return left
        time.sleep(0.05)


@EVERY
def test_1_sockets_are_read_while_users_wait(name: str, tmp_path: Path) -> None:
    """The scripts slept inside the socket callback: no frame was read, the namespace never entered,
    and the connection time was the time held."""
    server = Watched(Timings(ping_interval_s=0.2, ping_timeout_s=0.3))
    with ServerThread(server) as thread:
        code, saved = typed(name, thread.url, tmp_path, session="1.2")
    metrics = saved["metrics"]
    assert code == 0, saved["reasons"]
    assert saved["errors"] == [], "a ping that is not answered ends the connection"
    # One more was there before the load, to see whether it is a Socket.IO server at all.
    assert server.entered == metrics["ws_sessions_opened"]["count"] + 1
    assert metrics["ws_connection_time"]["max"] < 1200 <= metrics["iteration_duration"]["min"]
    # Open packet, connect answer and at least three pings in 1.2 s.
    assert metrics["ws_msgs_received"]["count"] >= 5 * metrics["iterations"]["count"]


@EVERY
def test_2_nothing_passes_on_nothing(name: str, tmp_path: Path) -> None:
    """Thresholds without samples passed: a closed port passed a whole scenario."""
    code, saved = typed(name, closed_port(), tmp_path)
    assert code == 99
    assert saved["verdict"] == "fail"
    assert "ws_sessions_opened" not in saved["metrics"]
    for threshold in saved["thresholds"]:
        metric = saved["metrics"][threshold["metric"]]
        samples = metric.get("count", metric.get("passes", 0) + metric.get("fails", 0))
        measured = samples or metric["type"] == "counter"
        assert threshold["verdict"] == "fail" or measured, threshold
    assert any(threshold["verdict"] == "fail" for threshold in saved["thresholds"])


@EVERY
def test_3_a_refused_connection_is_one_failure_and_no_hot_loop(name: str, tmp_path: Path) -> None:
    """Failures were counted twice, refused connections not at all and tried again at once."""
    _, saved = typed(name, closed_port(), tmp_path, duration="1.5s")
    metrics = saved["metrics"]
    attempts = metrics["ws_sessions"]["count"]
    own = [metrics[each]["count"] for each in metrics if each.endswith("connection_failures")]
    assert own == [attempts]
    assert [(one["kind"], one["count"]) for one in saved["errors"]] == [
        ("connection_refused", attempts)
    ]
    assert metrics["ws_connection_time"]["failed"] == attempts
    # 0.1 s doubling, each up to a half shorter: never more than eight in 1.5 s.
    assert USERS <= attempts <= 8 * USERS


@EVERY
def test_4_events_are_known_by_name_and_once(name: str, tmp_path: Path) -> None:
    """Events were matched by substring, and one that came twice asked for a second call."""
    with ServerThread(Repeating()) as thread:
        _, saved = typed(name, thread.url, tmp_path)
        outcomes = dict(thread.server.state.outcomes)
    metrics = saved["metrics"]
    visits = metrics["iterations"]["count"]
    assert saved["errors"] == []
    assert metrics["ws_sessions_opened"]["count"] >= visits >= USERS
    for each in ("agent_assigned_count", "calls_requested", "ws_connection_successes"):
        if each in metrics:
            assert metrics[each]["count"] == visits
    for each in ("join_success_rate", "agent_assigned_rate"):
        if each in metrics:
            assert (metrics[each]["passes"], metrics[each]["fails"]) == (visits, 0)
    assert outcomes.get("requested", 0) == metrics.get("calls_requested", {"count": 0})["count"]
    if "visitor_events_duplicated" in metrics:
        assert metrics["visitor_events_duplicated"]["count"] >= 2 * visits
        assert metrics["visitor_events_misdelivered"]["count"] == 0


@EVERY
def test_5_who_is_not_answered_stays_in_the_percentiles(name: str) -> None:
    """Calls without an answer left no sample: the slowest vanished."""
    faults, metric = WAITING[name]
    server = Watched()
    server.faults.set(faults)
    with ServerThread(server) as thread:
        result = called(name, thread.url, ConstantVUs(USERS, 1, graceful_stop=0), "0.3")
    found: Any = result.metrics[metric]
    assert (found.count, found.cut_off) == (USERS, USERS)
    assert found.bounds(95).lower >= 500
    assert found.bounds(95).upper == float("inf")
    assert result.exit_code != 0


@EVERY
def test_6_starts_that_are_not_made_are_told(name: str) -> None:
    """With too few users an arrival rate dropped starts in silence."""
    load = ConstantArrivalRate(20, "1s", preallocated_vus=2, max_vus=2, graceful_stop=0)
    with ServerThread(Watched()) as thread:
        result = called(name, thread.url, load, "5")
    dropped = result.metrics.count_of("dropped_iterations")
    assert result.outcome.offered == 20
    assert result.outcome.delivered + dropped == 20
    assert dropped == 18
    assert any("18 starts found no free user among 2" in warning for warning in result.warnings)
    assert "offered 20 / delivered 2 (10 %)" in summary_text(result)
    waited: Any = result.metrics["iteration_response_time"]
    assert waited.cut_off >= dropped, "they waited as well"


@EVERY
def test_7_calls_end_and_reach_whom_they_are_for(name: str, tmp_path: Path) -> None:
    """The script ended calls by an id of its own, so that none ended, and took the agent from the
    environment, so that all were rerouted."""
    with ServerThread(Watched()) as thread:
        code, saved = typed(name, thread.url, tmp_path)
        left = emptied(thread)
        outcomes = dict(thread.server.state.outcomes)
    assert code == 0, saved["reasons"]
    assert left == dict.fromkeys(left, 0)
    assert outcomes.get("rerouted", 0) == outcomes.get("refused", 0) == 0
    assert outcomes.get("accepted", 0) == outcomes.get("ended", 0)
    if "calls_accepted" in saved["metrics"]:
        assert outcomes["accepted"] == saved["metrics"]["calls_accepted"]["count"] > 0


@EVERY
def test_8_the_websocket_is_closed_too(name: str, tmp_path: Path) -> None:
    """After leaving the namespace the WebSocket stays open: both must be closed."""
    with ServerThread(Watched()) as thread:
        code, saved = typed(name, thread.url, tmp_path, duration="2s")
        left = emptied(thread)
    assert code == 0, saved["reasons"]
    assert saved["metrics"]["ws_sessions_opened"]["count"] > USERS
    assert thread.server.most <= USERS + 1, "those of visits that are over are still open"
    assert left["connections"] == 0


def test_every_scenario_is_known_to_the_tables() -> None:
    assert WAITING.keys() == SCENARIOS.keys()
    assert SHORT.keys() <= SCENARIOS.keys()
