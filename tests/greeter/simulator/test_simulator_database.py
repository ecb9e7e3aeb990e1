"""The simulator's state machine with a database: tokens, paused and blocked organisations."""

from __future__ import annotations

import re

from ghost_greeter.simulator import Database
from tests.support.stage import Stage, Told, card, incoming, names, one

PAUSED = "We're temporarily unavailable. Please check back soon!"


def in_call(database: Database | None = None) -> tuple[Stage, str, str]:
    """A visitor and an agent in a call: its id and its token."""
    stage = Stage(database=database or Database())
    stage.agents("a")
    stage.join("v")
    request_id = incoming(stage.asks("v", "a"))
    stage.wait(0.5)
    events = stage.accepts("a", request_id)
    accepted = one(events, "call:accepted").payload
    assert re.fullmatch(r"[0-9a-f]{64}", accepted["reconnectToken"])
    assert isinstance(one(events, "call:started").payload["call"]["callLogId"], str)
    return stage, accepted["callId"], accepted["reconnectToken"]


def returns(stage: Stage, who: str, token: object, role: str = "visitor") -> list[Told]:
    return stage.does(who, "call:reconnect", {"reconnectToken": token, "role": role})


def failed(events: list[Told]) -> tuple[str, str]:
    failure = one(events, "call:reconnect_failed").payload
    return failure["reason"], failure["callId"]


def test_a_call_accepted_at_once_has_no_token() -> None:
    stage = Stage(database=Database())
    stage.agents("a")
    stage.join("v")
    request_id = incoming(stage.asks("v", "a"))
    stage.wait(0.001)
    assert stage.accepts("a", request_id)[0].payload["reconnectToken"] == ""


def test_the_visitor_returns_on_a_new_socket() -> None:
    stage, call_id, token = in_call()
    assert names(stage.leaves("v")) == [("a", "call:ended"), ("a", "stats:update")]
    to_visitor, to_agent = returns(stage, "new", token)
    again = to_visitor.payload["callId"]
    fresh = to_visitor.payload["reconnectToken"]
    assert again.startswith("call_")
    assert again != call_id
    assert fresh != token
    common = {"callId": again, "reconnectToken": fresh}
    assert to_visitor == Told(
        "new", "call:reconnected", {**common, "peerId": "a", "agent": card("a")}
    )
    assert to_agent == Told("a", "call:reconnected", {**common, "peerId": "v"})
    assert stage.does("a", "webrtc:signal", {"targetId": "v", "signal": 1})[0].who == "new"
    assert failed(returns(stage, "new", token)) == ("error", "")
    # The time of the longest call is not set again.
    assert stage.wait(8000) == []
    assert names(stage.does("a", "call:end", {"callId": again})) == [
        ("new", "call:ended"),
        ("a", "call:ended"),
    ]
    assert failed(returns(stage, "new", fresh)) == ("error", "")


def test_the_visitor_returns_before_its_old_socket_is_given_up() -> None:
    stage, _, token = in_call()
    assert names(returns(stage, "new", token)) == [
        ("new", "call:reconnected"),
        ("a", "call:reconnected"),
    ]
    assert stage.leaves("v") == []
    assert len(stage.core.calls) == 1


def test_the_agent_returns_too_or_too_late() -> None:
    for late in (False, True):
        stage, call_id, token = in_call()
        stage.leaves("a")
        stage.leaves("v")
        (waiting,) = returns(stage, "new", token)
        assert waiting.event == "call:reconnecting"
        assert waiting.payload["callId"] == call_id
        assert waiting.payload["timeoutSeconds"] == 30
        stage.wait(5)
        stage.login("a", "a2")
        if late:
            (gone,) = [told for told in stage.wait(26) if told.event.startswith("call:")]
            assert (gone.who, gone.payload["reason"]) == ("new", "timeout")
            assert failed(returns(stage, "a2", token, "agent")) == ("error", "")
        else:
            assert names(returns(stage, "a2", token, "agent")) == [
                ("new", "call:reconnected"),
                ("a2", "call:reconnected"),
            ]


def test_the_agent_returns_to_a_visitor_that_has_gone() -> None:
    stage, _, token = in_call()
    stage.leaves("v")
    assert names(returns(stage, "a", token, "agent")) == [("a", "call:reconnecting")]
    assert names(returns(stage, "new", token)) == [
        ("new", "call:reconnected"),
        ("a", "call:reconnected"),
    ]


def test_the_other_side_is_in_another_call() -> None:
    stage, _, token = in_call()
    stage.leaves("v")
    stage.join("w")
    stage.call("w", "a")
    assert failed(returns(stage, "new", token))[0] == "other_party_disconnected"


def test_tokens_that_are_good_for_nothing() -> None:
    stage, _, token = in_call()
    assert failed(returns(stage, "new", "f" * 64)) == ("error", "")
    assert failed(returns(stage, "stranger", token, "agent")) == ("error", "")
    for nothing in (None, 1, [token]):
        assert returns(stage, "new", nothing) == []
    stage.leaves("v")
    stage.wait(31)
    assert failed(returns(stage, "new", token)) == ("error", "")
    assert not stage.machine.core.calls
    without = Stage()
    assert returns(without, "new", token) == [
        Told(
            "new",
            "call:reconnect_failed",
            {"callId": "", "reason": "error", "message": "No active call found"},
        )
    ]


def test_a_paused_organisation() -> None:
    stage = Stage(agents=1, database=Database(paused_orgs=frozenset({"tired"})))
    assert stage.join("v", orgId="tired") == [Told("v", "org:paused", {"message": PAUSED})]
    assert stage.core.visitor_count == 0
    assert stage.asks("v", "sim-agent-1")[0].payload["code"] == "VISITOR_NOT_FOUND"
    assert names(stage.join("v", orgId="awake")) == [("v", "agent:assigned")]
    assert stage.core.outcomes["paused"] == 1


def test_an_organisation_that_blocks_the_country() -> None:
    stage = Stage(agents=1, database=Database(blocked_orgs=frozenset({"closed"})))
    assert stage.join("v", orgId="closed") == [Told("v", "kick")]
    assert names(stage.join("w", orgId=["odd"])) == [("w", "agent:assigned")]


def test_agents_need_a_token() -> None:
    stage = Stage(database=Database(agent_tokens={"t1": "a", "all": "*"}))
    for token, agent, message in (
        ("wrong", "a", "Invalid or expired token"),
        ("t1", "b", "Agent ID mismatch"),
    ):
        assert stage.login(agent, token=token) == [
            Told(agent, "error", {"code": "AUTH_INVALID_TOKEN", "message": message})
        ]
    assert stage.core.agent_count == 0
    assert stage.login("a", token="t1")[0].event == "login:success"
    assert stage.login("b", token="all")[0].event == "login:success"


def test_the_organisations_own_ring_time_is_that_of_the_first_ring() -> None:
    stage = Stage(database=Database(ring_s=5))
    stage.agents("a", "b")
    stage.join("v")
    first = incoming(stage.asks("v", "a"))
    assert stage.wait(5) == []
    assert names(stage.wait(0.11))[-1] == ("b", "call:incoming")
    assert names(stage.wait(5.11))[-1] == ("v", "agent:unavailable")
    stage.back("a")
    stage.back("b")
    second = incoming(stage.asks("v", "a"))
    assert first != second
    assert names(stage.rejects("a", second)) == [("b", "call:incoming")]
    stage.away("a")
    assert stage.wait(15) == []  # rung again after a rejection: the server's own time
    assert names(stage.wait(0.11))[-1] == ("v", "agent:unavailable")


def test_the_databases_longest_call() -> None:
    stage, call_id, _ = in_call(Database(max_call_s=6))
    assert stage.wait(5.9) == []
    ended = stage.wait(0.2)
    assert [told.payload["reason"] for told in ended] == ["max_duration"] * 2
    assert ended[0].payload["callId"] == call_id
    assert "0 minutes" in ended[0].payload["message"]
