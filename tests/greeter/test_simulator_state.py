from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from ghost_greeter.simulator.clock import Clock, iso
from ghost_greeter.simulator.model import WIDGET_SETTINGS, Emit
from ghost_greeter.simulator.state import GreeterState


class FakeClock(Clock):
    def __init__(self) -> None:
        self.at_s = 0.0
        super().__init__()
        self._epoch_offset_s = 1_795_363_955.0

    def now_s(self) -> float:
        return self.at_s


class Stage:
    """A state with a clock in the test's hand."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.state = GreeterState(self.clock, random_source=random.Random(1), **options)

    def join(self, visitor: str, socket: str | None = None) -> list[Emit]:
        payload = {"orgId": "org", "pageUrl": "/", "visitorId": visitor}
        return self.state.visitor_join(socket or f"s-{visitor}", payload)

    def login(self, agent: str, socket: str | None = None) -> list[Emit]:
        profile = {"displayName": f"Agent {agent}", "avatarUrl": None}
        payload = {"agentId": agent, "token": "t", "profile": profile}
        return self.state.agent_login(socket or f"s-{agent}", payload)

    def agents(self, *names: str) -> None:
        for name in names:
            self.login(name)
            self.state.agent_back(f"s-{name}")


def card(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "displayName": f"Agent {name}",
        "avatarUrl": None,
        "waveVideoUrl": None,
        "introVideoUrl": "",
        "connectVideoUrl": None,
        "loopVideoUrl": "",
    }


def served_by(emits: list[Emit]) -> str:
    (emit,) = [emit for emit in emits if emit.event == "agent:assigned"]
    return str(emit.payload["agent"]["id"])


def test_nobody_is_there() -> None:
    stage = Stage()
    (emit,) = stage.join("v0")
    assert emit == Emit(
        "s-v0",
        "agent:unavailable",
        {"visitorId": "v0", "widgetSettings": WIDGET_SETTINGS, "poolId": None},
    )
    assert (stage.state.visitor_count, stage.state.simulation_count) == (1, 0)


def test_login_is_away_and_back_serves_those_who_wait() -> None:
    stage = Stage()
    stage.clock.at_s = 0.5
    stage.join("v0")
    stage.clock.at_s = 1.25
    login, stats = stage.login("a1")
    assert login.event == "login:success"
    state = login.payload["agentState"]
    assert (state["profile"]["status"], state["connectedAt"]) == ("away", 1_795_363_956_250)
    assert stats == Emit("s-a1", "stats:update", {"poolVisitors": 0})
    ack, emits = stage.state.agent_back("s-a1")
    assert ack == {"success": True, "status": "idle"}
    assert emits == [
        Emit(
            "s-v0",
            "agent:assigned",
            {
                "agent": card("a1"),
                "visitorId": "v0",
                "widgetSettings": WIDGET_SETTINGS,
                "visitorConnectedAt": 1_795_363_955_500,
            },
        )
    ]
    assert stage.state.left("s-v0") == [Emit("s-a1", "stats:update", {"poolVisitors": 0})]
    assert stage.state.visitor_count == 0


def test_an_agent_takes_25_and_the_rest_waits() -> None:
    stage = Stage()
    stage.agents("a1")
    events = Counter(emit.event for number in range(28) for emit in stage.join(f"v{number}"))
    assert events == {"agent:assigned": 25, "stats:update": 25, "agent:unavailable": 3}
    assert (stage.state.visitor_count, stage.state.simulation_count) == (28, 25)
    # A place that becomes free is not handed on; an agent that comes back is.
    assert [emit.event for emit in stage.state.left("s-v3")] == ["stats:update"]
    _, emits = stage.state.agent_back("s-a1")
    assert [emit.payload["visitorId"] for emit in emits] == ["v25"]


def test_idle_agents_first_in_turn_then_the_least_loaded() -> None:
    stage = Stage()
    stage.agents("a", "b", "c")
    assert [served_by(stage.join(f"v{n}")) for n in range(6)] == ["a", "b", "c", "a", "b", "c"]
    stage.state.left("s-v1")
    assert served_by(stage.join("v6")) == "b"
    for number in (0, 3, 1, 4, 6):
        stage.state.left(f"s-v{number}")
    # a and b are free, c serves two: a was given its last visitor before b was.
    assert [served_by(stage.join(f"w{n}")) for n in range(3)] == ["a", "b", "a"]


def test_many_built_in_agents_share_evenly() -> None:
    stage = Stage(agents=40)
    shares = Counter(served_by(stage.join(f"v{number}")) for number in range(1000))
    assert set(shares.values()) == {25}
    assert len(shares) == 40
    assert [emit.event for emit in stage.join("one more")] == ["agent:unavailable"]
    rng = random.Random(3)
    for number in rng.sample(range(1000), 600):
        assert stage.state.left(f"s-v{number}") == []  # a built-in agent has no socket
    for number in range(600):
        assert stage.join(f"w{number}")[0].event == "agent:assigned"
    assert stage.state.simulation_count == 1000
    assert (stage.state.agent_count, stage.state.online_agent_count) == (40, 40)


def test_joining_again_keeps_organisation_and_time() -> None:
    stage = Stage()
    stage.join("v")
    stage.clock.at_s = 5
    again = stage.state.visitor_join("s-v", {"orgId": "other", "pageUrl": "/x", "visitorId": "v"})
    assert [emit.event for emit in again] == ["agent:unavailable"]
    assert stage.state.visitor_count == 1
    stage.agents("a")
    _, emits = stage.state.agent_back("s-a")
    assert emits == []  # it was served when the agent came
    assert [emit.event for emit in stage.join("v")] == ["agent:assigned", "stats:update"]
    assert stage.join("v")[1].payload == {"poolVisitors": 1}
    # Another id on the same socket is another visitor in the place of the first.
    assert stage.join("w", "s-v")[1].payload == {"poolVisitors": 1}
    assert stage.state.visitor_count == 1
    # The same visitor on another socket moves there; the end of the old one means nothing.
    stage.join("w", "s-new")
    assert stage.state.left("s-v") == []
    assert stage.state.left("s-new") == [Emit("s-a", "stats:update", {"poolVisitors": 0})]


@pytest.mark.parametrize("payload", [None, "text", 7, [], True, {"visitorId": ["x"]}])
def test_bad_joins_are_met_with_silence(payload: object) -> None:
    stage = Stage(agents=1)
    assert stage.state.visitor_join("s", payload) == []
    assert stage.state.visitor_count == 0


def test_joins_that_the_server_lets_pass() -> None:
    stage = Stage(agents=1)
    (made_up,) = stage.state.visitor_join("s1", {})
    kind, stamp, tail = made_up.payload["visitorId"].split("_")
    assert (kind, stamp, len(tail)) == ("visitor", "1795363955000", 7)
    (numeric,) = stage.state.visitor_join("s2", {"visitorId": 12, "referrer": "x"})
    assert numeric.payload["visitorId"] == 12


@pytest.mark.parametrize(
    "payload", [None, {}, {"agentId": "a"}, {"agentId": "a", "profile": None}, {"profile": {}}]
)
def test_bad_logins_are_met_with_silence(payload: object) -> None:
    stage = Stage()
    assert stage.state.agent_login("s", payload) == []
    assert stage.state.agent_count == 0


def test_commands_of_somebody_who_is_not_logged_in() -> None:
    stage = Stage()
    refused = {"success": False, "status": "offline", "error": "Agent not found"}
    assert stage.state.agent_back("s") == (refused, [])
    assert stage.state.agent_away("s") == (refused, [])
    stage.state.agent_status("s", {"status": "idle"})
    stage.state.heartbeat("s")
    assert stage.state.left("s") == []


def test_away_moves_visitors_to_others_or_lets_them_wait() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v")
    ack, emits = stage.state.agent_away("s-a")
    assert ack == {"success": True, "status": "away"}
    assert emits == [
        Emit(
            "s-v",
            "agent:unavailable",
            {
                "visitorId": "v",
                "widgetSettings": WIDGET_SETTINGS,
                "poolId": None,
                "previousAgentName": "Agent a",
                "reason": "agent_away",
            },
        )
    ]
    stage.agents("b")
    stage.agents("c")
    _, emits = stage.state.agent_away("s-b")
    # "previous" is the new agent already: so says the real server.
    assert emits == [
        Emit(
            "s-v",
            "agent:reassigned",
            {"previousAgentId": "c", "newAgent": card("c"), "reason": "agent_away"},
        )
    ]
    assert stage.state.agent_away("s-b") == ({"success": True, "status": "away"}, [])


def test_status_sets_the_status_and_hands_nobody_over() -> None:
    stage = Stage()
    stage.join("v0")
    stage.login("a")
    for nonsense in (None, {}, {"status": 1}, {"status": "asleep"}, "idle"):
        stage.state.agent_status("s-a", nonsense)
    assert [emit.event for emit in stage.join("v1")] == ["agent:unavailable"]
    stage.state.agent_status("s-a", {"status": "idle"})
    assert stage.state.simulation_count == 0
    assert served_by(stage.join("v2")) == "a"


def test_an_agent_that_stays_away_loses_its_visitors_after_the_grace() -> None:
    stage = Stage(grace_s=10)
    stage.agents("a")
    stage.join("v0")
    stage.agents("b")
    stage.clock.at_s = 100
    assert stage.state.next_due_s is None
    assert stage.state.left("s-a") == []
    assert (stage.state.agent_count, stage.state.online_agent_count) == (2, 1)
    assert stage.state.next_due_s == 110
    assert served_by(stage.join("v1")) == "b"
    stage.clock.at_s = 109.999
    assert stage.state.advance() == []
    stage.clock.at_s = 110
    assert stage.state.advance() == [
        Emit(
            "s-v0",
            "agent:reassigned",
            {"previousAgentId": "a", "newAgent": card("b"), "reason": "agent_offline"},
        )
    ]
    assert (stage.state.agent_count, stage.state.next_due_s) == (1, None)
    stage.state.left("s-b")
    stage.clock.at_s = 130
    plain = {"widgetSettings": WIDGET_SETTINGS, "poolId": None}
    assert stage.state.advance() == [
        Emit("s-v1", "agent:unavailable", {"visitorId": "v1", **plain}),
        Emit("s-v0", "agent:unavailable", {"visitorId": "v0", **plain}),
    ]


def test_an_agent_that_returns_in_its_grace_has_its_status_again() -> None:
    stage = Stage(grace_s=10)
    stage.agents("a", "b")
    stage.join("v0")
    stage.state.left("s-a")
    stage.state.left("s-b")
    assert [emit.event for emit in stage.join("v1")] == ["agent:unavailable"]
    stage.clock.at_s = 9
    login, stats, assigned = stage.login("b", "s-b2")
    assert login.payload["agentState"]["profile"]["status"] == "idle"
    assert stats.payload == {"poolVisitors": 0}
    assert (assigned.socket_id, assigned.payload["agent"]["id"]) == ("s-v1", "b")
    login, stats = stage.login("a", "s-a2")
    assert login.payload["agentState"]["currentSimulations"] == ["v0"]
    assert stats.payload == {"poolVisitors": 1}
    stage.clock.at_s = 60
    assert stage.state.advance() == []
    assert stage.state.left("s-v1") == [Emit("s-b2", "stats:update", {"poolVisitors": 0})]
    assert stage.state.left("s-v0") == [Emit("s-a2", "stats:update", {"poolVisitors": 0})]


def test_an_agent_whose_visitors_left_in_its_grace_returns_idle() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v")
    stage.state.left("s-a")
    assert stage.state.left("s-v") == []
    assert stage.login("a")[0].payload["agentState"]["profile"]["status"] == "idle"


def test_a_second_socket_takes_the_agent_over() -> None:
    stage = Stage()
    stage.agents("a")
    stage.login("a", "s-second")
    assert stage.state.agent_back("s-a")[0]["success"] is False
    assert stage.state.left("s-a") == []
    assert stage.state.next_due_s is None
    assert stage.state.agent_back("s-second")[0]["success"] is True
    assert stage.join("v")[1].socket_id == "s-second"


def test_iso_is_javascripts() -> None:
    assert iso(1_795_363_955_395) == "2026-11-22T16:12:35.395Z"
    assert iso(1_795_363_955_007) == "2026-11-22T16:12:35.007Z"
