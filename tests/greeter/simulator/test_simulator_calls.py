"""The simulator's state machine: calls from request to end, in-memory mode."""

from __future__ import annotations

import re

import pytest

from ghost_greeter.simulator import Timings
from tests.support.stage import EPOCH_S, Stage, Told, card, incoming, names, one, served_by


def served(visitor: str = "v", *agents: str) -> Stage:
    """Agents, and a visitor assigned to the first."""
    stage = Stage()
    stage.agents(*agents or ("a",))
    assert served_by(stage.join(visitor)) == (agents or ("a",))[0]
    return stage


def test_a_call_from_request_to_end() -> None:
    stage = served()
    stage.wait(1.5)
    (rings,) = stage.asks("v", "a")
    request_id = rings.payload["request"]["requestId"]
    assert re.fullmatch(r"call_\d{13}_[0-9a-z]{7}", request_id)
    assert rings == Told(
        "a",
        "call:incoming",
        {
            "request": {
                "requestId": request_id,
                "visitorId": "v",
                "agentId": "a",
                "orgId": "org",
                "pageUrl": "/",
                "requestedAt": EPOCH_S * 1000 + 1500,
            },
            "visitor": {
                "visitorId": "v",
                "pageUrl": "/",
                "connectedAt": EPOCH_S * 1000,
                "location": None,
            },
        },
    )
    assert stage.figures() == (1, 1, 0, 1)
    accepted, started = stage.accepts("a", request_id)
    call_id = accepted.payload["callId"]
    assert re.fullmatch(r"active_\d{13}_[0-9a-z]{7}", call_id)
    assert accepted == Told(
        "v", "call:accepted", {"callId": call_id, "agentId": "a", "reconnectToken": ""}
    )
    assert started == Told(
        "a",
        "call:started",
        {
            "call": {
                "callId": call_id,
                "visitorId": "v",
                "agentId": "a",
                "startedAt": EPOCH_S * 1000 + 1500,
                "endedAt": None,
                "callLogId": None,
            },
            "visitor": {"visitorId": "v", "pageUrl": "/"},
        },
    )
    assert stage.figures() == (1, 1, 1, 0)
    ended = {"callId": call_id, "reason": "visitor_ended"}
    assert stage.does("v", "call:end", {"callId": call_id}) == [
        Told("v", "call:ended", ended),
        Told("a", "call:ended", ended),
    ]
    assert stage.does("v", "call:end", {"callId": call_id}) == []
    # The caller is still with this agent, and may call again without another join.
    again = stage.call("v", "a")
    ended = {"callId": again, "reason": "agent_ended"}
    assert stage.does("a", "call:end", {"callId": again}) == [
        Told("v", "call:ended", ended),
        Told("a", "call:ended", ended),
    ]
    assert stage.wait(100) == []


@pytest.mark.parametrize("payload", [None, "x", 1, []])
def test_payloads_that_are_met_with_silence(payload: object) -> None:
    stage = served()
    stage.asks("v", "a")
    for event in ("request", "cancel", "accept", "reject", "end", "reconnect"):
        assert stage.does("v", f"call:{event}", payload) == []
        assert stage.does("v", f"call:{event}") == []
    assert len(stage.core.requests) == 1


def test_errors() -> None:
    stage = Stage()
    stage.agents("a")
    assert stage.asks("v", "a") == [
        Told("v", "error", {"code": "VISITOR_NOT_FOUND", "message": "Visitor session not found"})
    ]
    not_found = {"code": "CALL_NOT_FOUND", "message": "Call request not found or expired"}
    for payload in ({}, {"requestId": "call_1_x"}, {"requestId": 5}):
        assert stage.does("a", "call:accept", payload) == [Told("a", "error", not_found)]
    assert stage.rejects("a", "call_1_x") == []
    assert stage.does("v", "call:cancel", {"requestId": "call_1_x"}) == []
    stage.join("v")
    stage.away("a")
    assert stage.asks("v", "nobody") == [
        Told("v", "error", {"code": "AGENT_NOT_FOUND", "message": "Agent not found"})
    ]
    assert one(stage.does("v", "call:request", {}), "error").payload["code"] == "AGENT_NOT_FOUND"
    stage.back("a")
    request_id = incoming(stage.asks("v", "a"))
    stage.accepts("a", request_id)
    assert stage.accepts("a", request_id) == [Told("a", "error", not_found)]


def test_an_unknown_or_busy_agent_is_replaced_without_a_word() -> None:
    stage = served("v", "a", "b")
    assert names(stage.asks("v", "nobody")) == [("b", "call:incoming")]
    stage.join("w")
    stage.call("w", "b")
    assert one(stage.asks("v", "b"), "call:incoming").who == "a"
    assert stage.core.outcomes["rerouted"] == 2


def test_who_accepts_is_not_asked_whose_call_it_is() -> None:
    stage = served("v", "a", "b")
    request_id = incoming(stage.asks("v", "a"))
    accepted, started = stage.accepts("b", request_id)
    assert (accepted.who, accepted.payload["agentId"]) == ("v", "a")
    assert (started.who, started.event) == ("b", "call:started")
    assert stage.core.agents["a"].status == "in_call"


def test_the_other_visitors_of_an_agent_that_accepts() -> None:
    stage = served("v", "a")
    stage.join("w")
    request_id = incoming(stage.asks("v", "a"))
    events = stage.accepts("a", request_id)
    assert names(events) == [
        ("v", "call:accepted"),
        ("w", "agent:unavailable"),
        ("a", "call:started"),
    ]
    assert events[1].payload["previousAgentName"] == "Agent a"
    assert events[1].payload["reason"] == "agent_offline"
    stage.does("a", "call:end", {"callId": events[0].payload["callId"]})
    assert names(stage.back("a")) == [("a", "ack"), ("w", "agent:assigned")]
    stage.agents("b")
    events = stage.accepts("a", incoming(stage.asks("v", "a")))
    assert events[1] == Told(
        "w",
        "agent:reassigned",
        {"previousAgentId": "b", "newAgent": card("b"), "reason": "agent_busy"},
    )


def test_reject_rings_elsewhere_or_tells_the_visitor() -> None:
    stage = served("v", "a", "b")
    first = incoming(stage.asks("v", "a"))
    (rings,) = stage.rejects("a", first)
    second = rings.payload["request"]["requestId"]
    assert (rings.who, rings.payload["request"]["agentId"]) == ("b", "b")
    assert second != first
    assert stage.accepts("a", first)[0].payload["code"] == "CALL_NOT_FOUND"
    stage.away("a")
    (alone,) = stage.rejects("b", second)
    assert (alone.who, alone.event) == ("v", "agent:unavailable")
    assert alone.payload["previousAgentName"] == "Agent b"
    assert alone.payload["reason"] == "agent_away"
    assert stage.core.agents["b"].is_free
    assert stage.core.outcomes["rejected"] == 1


def test_nobody_answers() -> None:
    stage = served()
    request_id = incoming(stage.asks("v", "a"))
    assert stage.wait(15.09) == []
    cancelled, marked, alone = stage.wait(0.02)
    assert cancelled == Told("a", "call:cancelled", {"requestId": request_id})
    assert (marked.who, marked.event, marked.payload["reason"]) == (
        "a",
        "agent:marked_away",
        "ring_no_answer",
    )
    assert (alone.payload["previousAgentName"], alone.payload["reason"]) == (
        "Agent a",
        "rna_timeout",
    )
    assert stage.core.agents["a"].status == "away"
    assert served_by(stage.back("a")) == "a"


def test_nobody_answers_and_another_agent_rings() -> None:
    stage = served("v", "a", "b")
    first = incoming(stage.asks("v", "a"))
    events = stage.wait(15.11)
    assert names(events) == [
        ("a", "call:cancelled"),
        ("a", "agent:marked_away"),
        ("b", "call:incoming"),
    ]
    assert incoming(events) != first
    assert names(stage.wait(15.11)) == [
        ("b", "call:cancelled"),
        ("b", "agent:marked_away"),
        ("v", "agent:unavailable"),
    ]
    assert stage.core.outcomes["rung_out"] == 1


def test_a_call_for_a_busy_agent_waits_and_rings_a_second_after_the_end() -> None:
    stage = served()
    call_id = stage.call("v", "a")
    assert names(stage.join("w")) == [("w", "agent:unavailable")]
    stage.wait(1)
    assert stage.asks("w", "a") == []
    stage.wait(5)
    stage.does("v", "call:end", {"callId": call_id})
    assert stage.wait(0.999) == []
    (rings,) = stage.wait(0.001)
    assert (rings.who, rings.payload["request"]["visitorId"]) == ("a", "w")
    assert rings.payload["request"]["requestedAt"] == EPOCH_S * 1000 + 1000
    assert stage.wait(60) == [], "rings for ever: no ring-no-answer"


def test_a_call_for_an_agent_that_is_away_rings_when_it_is_back() -> None:
    stage = served()
    stage.away("a")
    assert stage.asks("v", "a") == []
    assert names(stage.back("a")) == [
        ("a", "ack"),
        ("v", "agent:assigned"),
        ("a", "call:incoming"),
    ]
    assert names(stage.wait(15.2))[-1] == ("v", "agent:unavailable")


def test_queued_calls_ring_one_by_one_and_those_without_visitor_never() -> None:
    stage = served()
    call_id = stage.call("v", "a")
    for visitor in ("gone", "w1", "w2"):
        stage.join(visitor)
        stage.asks(visitor, "a")
    stage.leaves("gone")
    for visitor in ("w1", "w2"):
        stage.does("a", "call:end", {"callId": call_id})
        (rings,) = stage.wait(1)
        assert rings.payload["visitor"]["visitorId"] == visitor
        request_id = rings.payload["request"]["requestId"]
        call_id = stage.accepts("a", request_id)[0].payload["callId"]
    assert stage.core.outcomes["expired"] == 1


def test_a_visitor_in_a_call_is_not_handed_over() -> None:
    stage = served()
    first = stage.call("v", "a")
    stage.join("w")  # nobody is free
    stage.asks("w", "a")
    stage.does("v", "call:end", {"callId": first})
    request_id = incoming(stage.wait(1))
    call_id = one(stage.accepts("a", request_id), "call:accepted").payload["callId"]
    assert stage.core.waiting.keys() == {"v"}
    stage.login("b")
    assert names(stage.back("b")) == [("b", "ack"), ("v", "agent:assigned")]
    stage.does("w", "call:end", {"callId": call_id})
    assert names(stage.back("a")) == [("a", "ack"), ("w", "agent:assigned")]


def test_cancel_needs_the_id() -> None:
    stage = served()
    request_id = incoming(stage.asks("v", "a"))
    assert stage.does("v", "call:cancel", {"requestId": "pending_1"}) == []
    assert stage.does("v", "call:cancel", {"requestId": request_id}) == [
        Told("a", "call:cancelled", {"requestId": request_id})
    ]
    assert stage.accepts("a", request_id)[0].event == "error"
    assert stage.wait(60) == []


def test_a_second_request_during_a_call_ends_it() -> None:
    stage = served()
    call_id = stage.call("v", "a")
    ended, rings = stage.asks("v", "a")
    assert ended == Told("a", "call:ended", {"callId": call_id, "reason": "visitor_ended"})
    assert rings.event == "call:incoming"
    assert names(stage.wait(2)) == []


def test_a_join_during_a_call_is_not_answered() -> None:
    stage = served()
    stage.call("v", "a")
    assert stage.join("v", pageUrl="/x") == []
    assert one(stage.asks("v", "a"), "call:incoming").payload["visitor"]["pageUrl"] == "/x"


def test_the_visitor_drops_while_it_rings() -> None:
    stage = served()
    request_id = incoming(stage.asks("v", "a"))
    assert stage.leaves("v") == [Told("a", "stats:update", {"poolVisitors": 0})]
    (started,) = stage.accepts("a", request_id)
    assert (started.event, started.payload["visitor"]) == (
        "call:started",
        {"visitorId": "v", "pageUrl": "/"},
    )
    assert stage.wait(1000) == []
    call_id = started.payload["call"]["callId"]
    assert names(stage.does("a", "call:end", {"callId": call_id})) == [("a", "call:ended")]


def test_the_visitor_drops_while_it_rings_and_nobody_answers() -> None:
    stage = served()
    stage.asks("v", "a")
    stage.leaves("v")
    assert names(stage.wait(15.2)) == [("a", "call:cancelled"), ("a", "agent:marked_away")]


def test_either_side_drops_in_a_call() -> None:
    stage = served("v", "a", "b")
    stage.call("v", "a")
    assert names(stage.leaves("v")) == [("a", "call:ended"), ("a", "stats:update")]
    stage.join("w")
    call_id = stage.call("w", "b")
    assert stage.leaves("b") == [
        Told("w", "call:ended", {"callId": call_id, "reason": "agent_ended"})
    ]
    moved = stage.wait(10)
    assert names(moved) == [("w", "agent:reassigned")]
    assert moved[0].payload["previousAgentId"] == "b"
    assert stage.core.agents["a"].status == "in_simulation"


def test_an_agent_that_drops_in_a_call_returns_idle() -> None:
    stage = served()
    stage.call("v", "a")
    stage.leaves("a")
    stage.wait(5)
    assert stage.login("a")[0].payload["agentState"]["profile"]["status"] == "idle"


def test_the_agent_drops_while_it_rings() -> None:
    stage = served()
    stage.asks("v", "a")
    assert stage.leaves("a") == []
    assert names(stage.wait(10)) == [("v", "agent:unavailable")]
    (alone,) = stage.wait(5.2)
    assert (alone.payload["previousAgentName"], alone.payload["reason"]) == (
        "Agent a",
        "rna_timeout",
    )


def test_a_rung_out_visitor_stays_in_the_list_and_is_told_twice() -> None:
    """Recorded: assigned anew to an agent that had not answered, it was told everything twice."""
    stage = served()
    stage.asks("v", "a")
    stage.wait(15.2)
    stage.back("a")
    assert stage.core.agents["a"].listed == ("v", "v")
    stage.join("w")
    request_id = incoming(stage.asks("w", "a"))
    assert names(stage.accepts("a", request_id)) == [
        ("w", "call:accepted"),
        ("v", "agent:unavailable"),
        ("v", "agent:unavailable"),
        ("a", "call:started"),
    ]
    stage.leaves("v")
    assert list(stage.core.agents["a"].listed) == ["w"]


def test_away_hands_ringing_calls_to_who_is_free() -> None:
    stage = served("v", "a", "b")
    first = incoming(stage.asks("v", "a"))
    events = stage.away("a")
    assert names(events) == [("a", "ack"), ("v", "agent:reassigned"), ("b", "call:incoming")]
    assert stage.accepts("a", first)[0].event == "error"
    assert names(stage.away("b")) == [("b", "ack"), ("v", "agent:unavailable")]
    assert names(stage.wait(15.2)) == [("b", "call:cancelled"), ("v", "agent:unavailable")]


def test_an_agent_in_a_call_accepts_no_other() -> None:
    stage = served()
    stage.join("w")
    second = incoming(stage.asks("w", "a"))
    first = incoming(stage.asks("v", "a"))
    stage.accepts("a", first)
    assert stage.accepts("a", second) == [
        Told("a", "error", {"code": "INTERNAL_ERROR", "message": "Failed to accept call"})
    ]
    # It rings out all the same, but who is in a call is not marked away.
    assert names(stage.wait(15.2)) == [("a", "call:cancelled"), ("w", "agent:unavailable")]


def test_the_longest_call() -> None:
    stage = Stage(timings=Timings(max_call_s=6).scaled(0.5))
    stage.agents("a")
    stage.join("v")
    call_id = stage.call("v", "a")
    assert stage.wait(2.9) == []
    ended = {
        "callId": call_id,
        "reason": "max_duration",
        "message": "Call automatically ended after 0 minutes",
    }
    assert stage.wait(0.2) == [Told("v", "call:ended", ended), Told("a", "call:ended", ended)]
    stage = served()
    stage.call("v", "a")
    assert stage.wait(7199) == []
    assert "120 minutes" in stage.wait(1)[0].payload["message"]


def test_signals_go_to_their_target() -> None:
    stage = served("v", "a", "b")
    offer = {"type": "offer", "sdp": "x"}
    assert stage.does("a", "webrtc:signal", {"targetId": "v", "signal": offer}) == [
        Told("v", "webrtc:signal", {"targetId": "a", "signal": offer})
    ]
    assert stage.does("v", "webrtc:signal", {"targetId": "b", "signal": None}) == [
        Told("b", "webrtc:signal", {"targetId": "v", "signal": None})
    ]
    for payload in (None, {}, {"targetId": "nobody", "signal": 1}, {"targetId": ["v"]}):
        assert stage.does("v", "webrtc:signal", payload) == []
    assert stage.does("stranger", "webrtc:signal", {"targetId": "v", "signal": 1}) == []


def test_cobrowsing_is_shown_to_the_agent_of_the_call() -> None:
    stage = served()
    move = {"x": 1, "y": 2, "timestamp": 3}
    assert stage.does("v", "cobrowse:mouse", move) == []
    stage.call("v", "a")
    for event in ("snapshot", "mouse", "scroll", "selection"):
        assert stage.does("v", f"cobrowse:{event}", move) == [
            Told("a", f"cobrowse:{event}", {**move, "visitorId": "v"})
        ]
    assert stage.does("a", "cobrowse:mouse", move) == []
    assert stage.does("v", "cobrowse:mouse") == []
