"""The simulator's state machine: what is different in Redis mode, and between replicas."""

from __future__ import annotations

import pytest

from ghost_greeter.simulator.setup.setup import Setup
from ghostcore import UsageError
from tests.support.stage import Stage, Told, incoming, names, one, served_by


def served() -> Stage:
    stage = Stage("redis")
    stage.agents("a")
    assert served_by(stage.join("v")) == "a"
    return stage


def test_events_take_a_while_and_keep_their_order() -> None:
    stage = Stage("redis")
    payload = {"agentId": "a", "profile": {"displayName": "A"}}
    stage.at("a", 0)
    for event, args in (("agent:login", [payload]), ("agent:back", []), ("heartbeat", [{}])):
        assert stage.machine.handle(0.0, 0, "a", event, args, 5) == []
    assert stage.wait(0.0009) == []
    assert names(stage.wait(0.02)) == [
        ("a", "login:success"),
        ("a", "stats:update"),
        ("a", "ack"),
    ]


def test_joins_at_the_same_moment_overwrite_one_another() -> None:
    stage = Stage("redis")
    stage.agents("a")
    for number in range(28):
        stage.at(f"v{number}", 0)
        stage.machine.handle(
            stage.now_s, 0, f"v{number}", "visitor:join", [{"visitorId": f"v{number}"}]
        )
    events = stage.wait(0.03)
    assert [event.event for event in events].count("agent:assigned") == 28
    assert stage.core.agents["a"].assigned == 28
    assert stage.core.simulation_count == 1
    (last,) = stage.core.agents["a"].listed
    leaving = sorted((f"v{number}" for number in range(28)), key=lambda who: who != last)
    for who in leaving:  # the one that is listed goes first, and the others write it back
        stage.machine.left(stage.now_s, 0, who)
    stage.wait(0.03)
    assert stage.core.visitor_count == 0
    assert stage.core.simulation_count == 1


def test_a_visitor_that_comes_back_before_its_leave_is_written_is_not_lost() -> None:
    stage = served()
    stage.does("a", "agent:status", {"status": "away"})
    stage.faults.set({"redis_latency": "100ms"})  # three round trips: gone after 0.09 s, written
    stage.machine.left(stage.now_s, 0, "v")  # after 0.3
    stage.wait(0.15)
    assert stage.core.visitor_count == 0
    stage.faults.set({"redis_latency": None})
    assert names(stage.join("v", "again")) == [("again", "agent:unavailable")]
    stage.wait(0.3)
    assert list(stage.core.waiting) == ["v"]
    assert ("again", "agent:assigned") in names(stage.back("a"))


def test_joins_one_after_the_other_are_all_recorded() -> None:
    stage = Stage("redis")
    stage.agents("a")
    for number in range(28):
        stage.join(f"v{number}")
    assert stage.figures() == (28, 25, 0, 0)
    for number in range(28):
        stage.leaves(f"v{number}")
    assert stage.figures() == (0, 0, 0, 0)


def test_a_rejected_visitor_stays_assigned() -> None:
    stage = served()
    (alone,) = stage.rejects("a", incoming(stage.asks("v", "a")))
    assert (alone.event, alone.payload["reason"]) == ("agent:unavailable", "agent_away")
    assert names(stage.back("a")) == [("a", "ack")]
    assert stage.leaves("v") == [Told("a", "stats:update", {"poolVisitors": 0})]


@pytest.mark.parametrize("seed", range(6))
def test_ring_no_answer_is_found_by_a_poll(seed: int) -> None:
    stage = Stage("redis", seed=seed)
    stage.agents("a")
    stage.join("v")
    stage.asks("v", "a")
    asked_s = stage.now_s
    assert stage.wait(15) == []
    while not (events := stage.wait(0.05)):
        assert stage.now_s < asked_s + 20.2
    assert names(events) == [
        ("a", "call:cancelled"),
        ("a", "agent:marked_away"),
        ("v", "agent:unavailable"),
    ]
    assert stage.now_s > asked_s + 15.09


def test_a_call_that_is_accepted_is_found_by_no_poll() -> None:
    stage = served()
    stage.accepts("a", incoming(stage.asks("v", "a")))
    assert stage.wait(100) == []
    assert len(stage.core.calls) == 1


def test_agents_that_drop_off_are_never_unregistered() -> None:
    stage = served()
    stage.agents("b")
    stage.leaves("a")
    assert stage.wait(60) == []
    assert (stage.core.agent_count, stage.core.online_agent_count) == (2, 1)
    # Within the grace it has its status again, after it it begins anew.
    stage.leaves("b")
    stage.wait(9)
    assert one(stage.login("b"), "login:success").payload["agentState"]["profile"]["status"] == (
        "idle"
    )
    status = one(stage.login("a"), "login:success").payload["agentState"]["profile"]["status"]
    assert status == "away"


def test_requests_are_forgotten_after_five_minutes() -> None:
    stage = served()
    stage.does("a", "agent:status", {"status": "away"})
    assert stage.asks("v", "a") == []
    assert stage.wait(299) == []
    assert len(stage.core.requests) == 1
    assert stage.wait(2) == []
    assert stage.core.outcomes["expired"] == 1
    assert names(stage.back("a")) == [("a", "ack")]


def test_there_is_no_longest_call() -> None:
    stage = served()
    stage.accepts("a", incoming(stage.asks("v", "a")))
    stage.does("a", "heartbeat", {})
    assert stage.wait(7300) == []


# -- rate limits ---------------------------------------------------------------------------------


def limited(events: list[Told]) -> bool:
    return any(told.event == "error" and told.payload["code"] == "RATE_LIMITED" for told in events)


def test_limits_of_events() -> None:
    stage = Stage("redis")
    stage.agents("a")
    joins = [stage.join("v") for _ in range(14)]
    assert [limited(events) for events in joins] == [False] * 10 + [True] * 4
    assert joins[-1] == [
        Told("v", "error", {"code": "RATE_LIMITED", "message": "Too many requests. Please wait."})
    ]
    asked = [stage.asks("v", "a") for _ in range(8)]
    assert [limited(events) for events in asked] == [False] * 5 + [True] * 3
    assert asked[-1][0].payload["message"] == "Too many call requests. Please wait."
    # Keyed by visitor: a new socket does not help. Keyed by socket: for a join it does.
    stage.leaves("v")
    assert not limited(stage.join("v", "socket 2"))
    assert limited(stage.does("socket 2", "call:request", {"agentId": "a"}))
    logins = [stage.login("b", "s") for _ in range(13)]
    assert [limited(events) for events in logins] == [False] * 10 + [True] * 3
    assert logins[-1][0].payload["message"] == "Too many login attempts. Please wait."
    changes = [stage.does("s", "agent:status", {"status": "idle"}) for _ in range(34)]
    assert [limited(events) for events in changes] == [False] * 30 + [True] * 4
    assert changes[-1][0].payload["message"] == "Too many status changes. Please wait."
    assert stage.core.outcomes["rate_limited"] == 4 + 3 + 1 + 3 + 4
    for _ in range(130):
        assert names(stage.does("s", "webrtc:signal", {"targetId": "v", "signal": 1})) == [
            ("socket 2", "webrtc:signal")
        ]


def test_a_window_begins_with_its_first_use() -> None:
    stage = Stage("redis")
    for at_s in (5, 40, 64):
        stage.wait_until(at_s)
        for _ in range(5 if at_s == 5 else 3):
            stage.join("v")
    assert limited(stage.join("v"))
    stage.wait_until(65.1)
    assert not limited(stage.join("v"))


def test_calls_before_a_join_are_not_counted() -> None:
    stage = Stage("redis")
    stage.agents("a")
    for _ in range(9):
        assert stage.asks("v", "a")[0].payload["code"] == "VISITOR_NOT_FOUND"
    stage.join("v")
    assert incoming(stage.asks("v", "a"))


def test_memory_mode_has_no_limits() -> None:
    stage = Stage()
    for _ in range(14):
        assert not limited(stage.join("v"))
        assert not limited(stage.login("a"))
    for _ in range(34):
        assert stage.does("a", "agent:status", {"status": "idle"}) == []


# -- replicas ------------------------------------------------------------------------------------


def split() -> Stage:
    """An agent on the first replica, a visitor on the second."""
    stage = Stage("redis", replicas=2)
    stage.at("a", 0)
    stage.at("v", 1)
    return stage


def test_a_visitor_elsewhere_is_not_told_that_an_agent_has_come() -> None:
    stage = split()
    assert names(stage.join("v")) == [("v", "agent:unavailable")]
    stage.login("a")
    assert names(stage.back("a")) == [("a", "ack")]
    assert stage.core.visitors["v"].agent is stage.core.agents["a"]  # booked all the same


def test_a_call_across_replicas_rings_nowhere() -> None:
    stage = split()
    stage.agents("a")
    assert names(stage.join("v")) == [("v", "agent:assigned")]  # the agent gets no stats:update
    stage.at("near", 0)
    assert names(stage.join("near")) == [("near", "agent:assigned"), ("a", "stats:update")]
    assert stage.asks("v", "a") == []
    assert stage.wait(24) == []
    # It stays queued: when the agent's next call ends it rings.
    call_id = stage.call("near", "a")
    stage.does("a", "call:end", {"callId": call_id})
    (rings,) = stage.wait(1.1)
    assert rings.payload["request"]["visitorId"] == "v"
    events = stage.accepts("a", rings.payload["request"]["requestId"])
    assert ("a", "call:started") in names(events)
    assert "v" not in [event.who for event in events]
    assert stage.does("a", "webrtc:signal", {"targetId": "v", "signal": 1}) == []
    assert stage.core.agents["a"].call is not None


def test_the_busy_agents_visitors_elsewhere_hear_nothing() -> None:
    stage = split()
    stage.agents("a")
    stage.join("v")
    stage.join("near")
    stage.call("near", "a")
    assert stage.core.visitors["v"].agent is None
    assert stage.wait(60) == []


def test_whichever_replica_finds_a_ring_that_is_over_reaches_its_own_only() -> None:
    told_visitors = told_agents = 0
    for seed in range(40):
        stage = Stage("redis", replicas=2, seed=seed)
        stage.agents("a")
        stage.join("v")
        stage.asks("v", "a")
        events = [event for _ in range(60) for event in stage.wait(1)]
        assert stage.core.outcomes["rung_out"] == 1
        told_visitors += ("v", "agent:unavailable") in names(events)
        told_agents += ("a", "call:cancelled") in names(events)
    assert told_visitors == told_agents
    assert 10 <= told_visitors <= 30


def test_built_in_agents_are_spread() -> None:
    stage = Stage("redis", replicas=2, agents=2)
    for node in range(2):
        visitor = f"v{node}"
        stage.at(visitor, node)
        assert names(stage.join(visitor)) == [(visitor, "agent:assigned")]
        for number in range(2):
            stage.asks(visitor, f"sim-agent-{number + 1}")
            answered = (visitor, "call:accepted") in names(stage.wait(5))
            assert answered is (number == node)


def test_what_cannot_be() -> None:
    for wrong in (
        {"mode": "postgres"},
        {"replicas": 0},
        {"replicas": 2, "mode": "memory"},
        {"replicas": 65, "mode": "redis"},
    ):
        with pytest.raises(UsageError, match=r"expected|separate servers"):
            Setup(**wrong)
