"""The simulator's state machine: agents and assignment."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ghost_greeter.simulator.machine.packets import WIDGET_SETTINGS
from ghost_greeter.simulator.setup.clock import iso
from tests.support.stage import EPOCH_S, Stage, Told, card, names, one, served_by

WIDGET = {"widgetSettings": WIDGET_SETTINGS}


def unavailable(visitor: str, **more: str) -> Told:
    payload = {"visitorId": visitor, **WIDGET, "poolId": None, **more}
    return Told(visitor, "agent:unavailable", payload)


def test_nobody_is_there() -> None:
    stage = Stage()
    assert stage.join("v0") == [unavailable("v0")]
    assert stage.figures() == (1, 0, 0, 0)


def test_login_is_away_and_back_serves_those_who_wait() -> None:
    stage = Stage()
    stage.now_s = 0.5
    stage.join("v0")
    stage.now_s = 1.25
    login, stats = stage.login("a1")
    state = login.payload["agentState"]
    assert (login.event, state["profile"]["status"]) == ("login:success", "away")
    assert state["connectedAt"] == EPOCH_S * 1000 + 1250
    assert stats == ("a1", "stats:update", {"poolVisitors": 0})
    assert stage.back("a1") == [
        Told("a1", "ack", {"success": True, "status": "idle"}),
        Told(
            "v0",
            "agent:assigned",
            {
                "agent": card("a1"),
                "visitorId": "v0",
                **WIDGET,
                "visitorConnectedAt": EPOCH_S * 1000 + 500,
            },
        ),
    ]
    assert stage.leaves("v0") == [("a1", "stats:update", {"poolVisitors": 0})]
    assert stage.core.visitor_count == 0


def test_an_agent_takes_25_and_the_rest_waits() -> None:
    stage = Stage()
    stage.agents("a1")
    events = Counter(told.event for number in range(28) for told in stage.join(f"v{number}"))
    assert events == {"agent:assigned": 25, "stats:update": 25, "agent:unavailable": 3}
    assert stage.figures() == (28, 25, 0, 0)
    # A place that becomes free is not handed on; an agent that comes back is.
    assert names(stage.leaves("v3")) == [("a1", "stats:update")]
    assert names(stage.back("a1")) == [("a1", "ack"), ("v25", "agent:assigned")]


def test_idle_agents_first_in_turn_then_the_least_loaded() -> None:
    stage = Stage()
    stage.agents("a", "b", "c")
    assert [served_by(stage.join(f"v{n}")) for n in range(6)] == ["a", "b", "c", "a", "b", "c"]
    stage.leaves("v1")
    assert served_by(stage.join("v6")) == "b"
    for number in (0, 3, 1, 4, 6):
        if number != 1:
            stage.leaves(f"v{number}")
    # a and b are free, c serves two: a was given its last visitor before b was.
    assert [served_by(stage.join(f"w{n}")) for n in range(3)] == ["a", "b", "a"]


def test_built_in_agents_share_evenly() -> None:
    stage = Stage(agents=40)
    shares = Counter(served_by(stage.join(f"v{number}")) for number in range(1000))
    assert set(shares.values()) == {25}
    assert len(shares) == 40
    assert names(stage.join("one more")) == [("one more", "agent:unavailable")]
    rng = random.Random(3)
    for number in rng.sample(range(1000), 600):
        assert stage.leaves(f"v{number}") == []  # nobody outside is told
    for number in range(600):
        assert names(stage.join(f"w{number}")) == [(f"w{number}", "agent:assigned")]
    assert stage.core.simulation_count == 1000
    assert (stage.core.agent_count, stage.core.online_agent_count) == (40, 40)


def test_joining_again_keeps_organisation_and_time() -> None:
    stage = Stage()
    stage.join("v")
    stage.wait(5)
    assert names(stage.join("v", orgId="other", pageUrl="/x")) == [("v", "agent:unavailable")]
    assert stage.core.visitor_count == 1
    stage.agents("a")
    assert names(stage.join("v")) == [("v", "agent:assigned"), ("a", "stats:update")]
    assert one(stage.join("v"), "stats:update").payload == {"poolVisitors": 1}
    # Another id on the same socket is another visitor in the place of the first.
    assert Told("a", "stats:update", {"poolVisitors": 1}) in stage.join("w", "v")
    assert stage.figures() == (1, 1, 0, 0)
    # The same visitor on another socket moves there; the end of the old one means nothing.
    stage.join("w", "new")
    assert stage.leaves("v") == []
    assert stage.leaves("new") == [("a", "stats:update", {"poolVisitors": 0})]


@pytest.mark.parametrize("payload", [None, "text", 7, [], True, {"visitorId": ["x"]}])
def test_bad_joins_are_met_with_silence(payload: object) -> None:
    stage = Stage(agents=1)
    assert stage.does("s", "visitor:join", payload) == []
    assert stage.does("s", "visitor:join") == []
    assert stage.core.visitor_count == 0


def test_joins_that_the_server_lets_pass() -> None:
    stage = Stage(agents=1)
    (made_up,) = stage.does("s1", "visitor:join", {})
    kind, stamp, tail = made_up.payload["visitorId"].split("_")
    assert (kind, stamp, len(tail)) == ("visitor", "1795363955000", 7)
    (numeric,) = stage.does("s2", "visitor:join", {"visitorId": 12, "referrer": "x"})
    assert numeric.payload["visitorId"] == 12


@pytest.mark.parametrize(
    "payload", [None, {}, {"agentId": "a"}, {"agentId": "a", "profile": None}, {"profile": {}}]
)
def test_bad_logins_are_met_with_silence(payload: object) -> None:
    stage = Stage()
    assert stage.does("s", "agent:login", payload) == []
    assert stage.core.agent_count == 0


def test_commands_of_somebody_who_is_not_logged_in() -> None:
    stage = Stage()
    refused = {"success": False, "status": "offline", "error": "Agent not found"}
    assert stage.back("s") == stage.away("s") == [Told("s", "ack", refused)]
    assert stage.does("s", "agent:back") == []
    assert stage.does("s", "agent:status", {"status": "idle"}) == []
    assert stage.does("s", "heartbeat") == []
    assert stage.leaves("s") == []


def test_away_moves_visitors_to_others_or_lets_them_wait() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v")
    assert stage.away("a") == [
        Told("a", "ack", {"success": True, "status": "away"}),
        unavailable("v", previousAgentName="Agent a", reason="agent_away"),
    ]
    stage.agents("b", "c")
    # "previous" is the new agent already: so says the real server.
    assert stage.away("b")[1:] == [
        Told(
            "v",
            "agent:reassigned",
            {"previousAgentId": "c", "newAgent": card("c"), "reason": "agent_away"},
        )
    ]
    assert names(stage.away("b")) == [("b", "ack")]


def test_back_with_a_payload_sets_the_status_and_fails() -> None:
    stage = Stage()
    stage.join("v0")
    stage.login("a")
    assert stage.does("a", "agent:back", {"why": "not"}, ack=1) == []
    assert served_by(stage.join("v1")) == "a"


def test_status_sets_the_status_and_hands_nobody_over() -> None:
    stage = Stage()
    stage.join("v0")
    stage.login("a")
    for nonsense in (None, {}, {"status": 1}, {"status": "asleep"}, "idle"):
        stage.does("a", "agent:status", nonsense)
    assert names(stage.join("v1")) == [("v1", "agent:unavailable")]
    assert stage.does("a", "agent:status", {"status": "idle"}) == []
    assert stage.core.simulation_count == 0
    assert served_by(stage.join("v2")) == "a"


def test_an_agent_that_stays_away_loses_its_visitors_after_the_grace() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v0")
    stage.agents("b")
    assert stage.leaves("a") == []
    assert (stage.core.agent_count, stage.core.online_agent_count) == (2, 1)
    assert served_by(stage.join("v1")) == "b"
    assert stage.wait(9.999) == []
    assert stage.wait(0.001) == [
        Told(
            "v0",
            "agent:reassigned",
            {"previousAgentId": "a", "newAgent": card("b"), "reason": "agent_offline"},
        )
    ]
    assert stage.core.agent_count == 1
    stage.leaves("b")
    assert stage.wait(10) == [unavailable("v1"), unavailable("v0")]


def test_an_agent_that_returns_in_its_grace_has_its_status_again() -> None:
    stage = Stage()
    stage.agents("a", "b")
    stage.join("v0")
    stage.leaves("a")
    stage.leaves("b")
    assert names(stage.join("v1")) == [("v1", "agent:unavailable")]
    stage.wait(9)
    login, stats, assigned = stage.login("b", "b2")
    assert login.payload["agentState"]["profile"]["status"] == "idle"
    assert stats.payload == {"poolVisitors": 0}
    assert (assigned.who, assigned.payload["agent"]["id"]) == ("v1", "b")
    login, stats = stage.login("a", "a2")
    assert login.payload["agentState"]["currentSimulations"] == ["v0"]
    assert stats.payload == {"poolVisitors": 1}
    assert stage.wait(50) == []
    assert stage.leaves("v1") == [("b2", "stats:update", {"poolVisitors": 0})]
    assert stage.leaves("v0") == [("a2", "stats:update", {"poolVisitors": 0})]


def test_an_agent_whose_visitors_left_in_its_grace_returns_idle() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v")
    stage.leaves("a")
    assert stage.leaves("v") == []
    assert stage.login("a")[0].payload["agentState"]["profile"]["status"] == "idle"


def test_a_second_socket_takes_the_agent_over() -> None:
    stage = Stage()
    stage.agents("a")
    stage.login("a", "second")
    assert stage.back("a")[0].payload["success"] is False
    assert stage.leaves("a") == []
    assert stage.wait(30) == []
    assert stage.back("second")[0].payload["success"] is True
    assert stage.join("v")[1].who == "second"


def test_a_socket_that_logs_another_agent_in_drops_the_first() -> None:
    stage = Stage()
    stage.agents("a")
    stage.join("v")
    stage.login("b", "a")
    assert stage.core.agents["a"].status == "offline"
    assert names(stage.wait(10)) == [("v", "agent:unavailable")]


def test_an_idle_agent_without_a_heartbeat_is_marked_away() -> None:
    stage = Stage()
    stage.agents("quiet", "alive", "serving")
    stage.back("serving")
    stage.core.agents["serving"].status = "in_simulation"
    for at_s in (25, 50, 75, 100):
        stage.wait_until(at_s)
        stage.does("alive", "heartbeat", {"timestamp": 1})
    assert stage.wait_until(179.9) == []  # looked at after 60 s and 120 s
    marked = stage.wait_until(180)
    assert names(marked) == [("quiet", "agent:marked_away")]
    assert marked[0].payload["reason"] == "idle"
    assert served_by(stage.join("v")) == "alive"
    stage.leaves("v")
    assert names(stage.wait_until(240)) == [("alive", "agent:marked_away")]
    assert names(stage.wait_until(1000)) == []


def test_iso_is_javascripts() -> None:
    assert iso(1_795_363_955_395) == "2026-11-22T16:12:35.395Z"
    assert iso(1_795_363_955_007) == "2026-11-22T16:12:35.007Z"
