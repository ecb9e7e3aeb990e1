"""The switchboard: one-way times, and what is lost, comes twice or reaches the wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ghost_greeter.metrics.agents import LOGINS
from ghost_greeter.switchboard import CallLog, Switchboard, join_switchboard
from tests.support.greeting import Notes


@dataclass
class Desk:
    agent_id: str
    free_since_ns: int = 0
    is_free: bool = True


def board_with(*agents: Desk) -> tuple[Switchboard, Notes]:
    board, notes = Switchboard(), Notes()
    board.attach(notes)  # type: ignore[arg-type]
    board.agents.update((one.agent_id, one) for one in agents)
    return board, notes


def asked(board: Switchboard, visitor: str = "v", agent: str = "a", at_ns: int = 0) -> CallLog:
    log = CallLog(visitor, agent, at_ns)
    board.asked(log)
    return log


def test_what_is_recorded_before_there_is_a_user_is_kept() -> None:
    board, notes = Switchboard(), Notes()
    agent = Desk("a")
    log = asked(board)
    board.rang(agent, "v", 2_000_000)
    board.attach(notes)  # type: ignore[arg-type]
    assert notes.last["call_request_to_incoming_time"] == 2
    board.accepting(agent, "v", 3_000_000)
    board.agents["a"] = agent
    board.accepted(log, "call-1", "a", 3_500_000)
    assert notes.last["call_accept_to_accepted_time"] == 0.5


def test_only_the_first_ring_is_timed() -> None:
    board, notes = board_with(Desk("a"), Desk("b"))
    log = asked(board)
    board.rang(Desk("a"), "v", 1_000_000)
    board.rang(Desk("b"), "v", 9_000_000)
    assert notes.last["call_request_to_incoming_time"] == 1
    assert log.rings == 2
    board.rang(Desk("b"), "somebody else's visitor", 9_000_000)
    board.rang(Desk("b"), None, 9_000_000)
    assert log.rings == 2


def test_a_call_was_queued_if_its_agent_became_free_after_it_was_asked_for() -> None:
    board, notes = board_with(Desk("a"))
    asked(board, "v1", at_ns=100)
    board.rang(Desk("a", free_since_ns=50), "v1", 110)
    assert notes.counts["calls_queued"] == 0
    asked(board, "v2", at_ns=100)
    board.rang(Desk("a", free_since_ns=200), "v2", 210)
    assert notes.counts["calls_queued"] == 1
    asked(board, "v3", at_ns=100)
    board.rang(Desk("a"), "v3", 110)
    board.rang(Desk("b", free_since_ns=200), "v3", 210)
    assert notes.counts["calls_queued"] == 1, (
        "it rang at once, and at another when that one did not answer"
    )


def test_how_far_a_lost_call_came() -> None:
    busy = Desk("busy", is_free=False)
    board, _ = board_with(Desk("a"), busy)
    log = asked(board)
    assert log.came_to() == "never_rang"
    assert asked(board, "w", "busy").came_to() == "queued"
    board.rang(Desk("a"), "v", 5)
    assert log.came_to() == "rang"
    board.accepting(Desk("a"), "v", 6)
    assert log.came_to() == "accepted"
    board.forget(log)
    assert board.log_of("v") is None
    assert board.log_of("w") is not None


def test_an_acceptance_that_was_another_visitors() -> None:
    board, notes = board_with(Desk("a"))
    log, other = asked(board, "v"), asked(board, "w")
    board.accepting(Desk("a"), "w", 5)
    board.accepted(log, "call-1", "a", 6)
    assert notes.counts["call_events_misdelivered{event:call:accepted}"] == 1
    board.accepted(other, "call-2", "elsewhere", 6)
    assert notes.counts["call_events_misdelivered"] == 1, "of an agent of others nothing is known"
    assert board.agent_of("call-2") == "elsewhere"
    board.forget(other)
    assert board.agent_of("call-2") == ""


def test_signals() -> None:
    board, notes = board_with(Desk("a"))
    log = asked(board)
    for number in range(3):
        board.signal_sent(log, "up", number, 1_000_000)
    assert board.signal_arrived(log, "up", 0, 2_500_000)
    assert not board.signal_arrived(log, "up", 0, 2_600_000)
    assert not board.signal_arrived(log, "up", 7, 2_600_000)
    assert not board.signal_arrived(log, "up", "0", 2_600_000)
    assert not board.signal_arrived(log, "down", 1, 2_600_000)
    assert notes.last["webrtc_signal_time"] == 1.5
    assert notes.counts["webrtc_signals_sent"] == 3
    assert notes.counts["webrtc_signals_received"] == 1
    assert notes.counts["webrtc_signals_duplicated"] == 1
    assert notes.counts["webrtc_signals_misdelivered"] == 3
    assert (log.up.lost, log.down.lost) == (2, 0)


def test_visitors_find_that_of_their_run() -> None:
    board = Switchboard()
    user: Any = Notes()
    user.data = {"switchboard": "somebody else's"}
    assert join_switchboard(user) is None
    board.record(LOGINS)
    user.data = board.open()
    assert user.counts["agent_logins"] == 0
    assert join_switchboard(user) is board
    assert user.counts["agent_logins"] == 1, "it records through whoever joins it"
    board.close()
    assert join_switchboard(user) is None
    user.data = None
    assert join_switchboard(user) is None
