"""Does a burst of calls hold? Connect, join, ask for a call, hold it, hang up, disconnect."""

from __future__ import annotations

import math

from ghost_greeter import events
from ghost_greeter.events import Code
from ghost_greeter.metrics.call import (
    ACCEPT_TIME,
    ACCEPTED,
    BOTH_ENDS,
    CALL,
    CANCELLED,
    CUT_SHORT,
    DISCONNECTED,
    ENDED,
    ENDED_EARLY,
    LOST,
    NO_AGENT,
    RATE_LIMITED,
    REFUSED,
    REJECTED,
    REQUEST_TIME,
    REQUESTED,
    REROUTED,
    SUCCESS_RATE,
    TIMED_OUT,
)
from ghost_greeter.metrics.visit import FAILURES
from ghost_greeter.payloads import error_code
from ghost_greeter.scenarios.caller import ENDED_TIMEOUT_S, Caller, Outcome
from ghost_greeter.scenarios.presence import JOIN_TIMEOUT_S
from ghost_greeter.scenarios.visit import CONNECT_TIMEOUT_S, VISITOR_METRICS, connect, enter
from ghost_greeter.settings import (
    DEFAULT_AGENT_ID,
    DEFAULT_CALL_RATE,
    DEFAULT_DEADLINE_S,
    DEFAULT_TEST_DURATION,
    parse_session,
)
from ghost_greeter.switchboard import Switchboard, join_switchboard
from ghostcore import (
    VU,
    ConstantArrivalRate,
    Counter,
    ErrorReply,
    TargetError,
    Timeout,
    scenario,
)

__all__ = ["HOLD_S", "WAIT_S", "calls", "calls_load", "longest_visit_s"]

OUTCOMES: dict[Outcome, Counter] = {
    "accepted": ACCEPTED,
    "rejected": REJECTED,
    "timed_out": TIMED_OUT,
}
ERRORS = {Code.RATE_LIMITED: RATE_LIMITED, Code.AGENT_NOT_FOUND: NO_AGENT}

WAIT_S = (1.0, 3.0)
HOLD_S = (5.0, 10.0)


def longest_visit_s(hold_s: float = HOLD_S[1], deadline_s: float = DEFAULT_DEADLINE_S) -> float:
    """The longest that a visitor can be there: every deadline used to its end."""
    waits_s = CONNECT_TIMEOUT_S + JOIN_TIMEOUT_S + WAIT_S[1] + deadline_s
    return waits_s + hold_s + ENDED_TIMEOUT_S


def calls_load(
    rate: float = DEFAULT_CALL_RATE,
    duration: float | str = DEFAULT_TEST_DURATION,
    longest_s: float | None = None,
) -> ConstantArrivalRate:
    """So many calls a second; users by Little's law, enough for the longest calls.

    With fewer (200, say) a server that does not answer would be asked less often than planned:
    each of its silences holds a user for the whole deadline.

    :param longest_s: how long a visit can last.
    """
    most = math.ceil(rate * (longest_visit_s() if longest_s is None else longest_s)) + 1
    return ConstantArrivalRate(rate, duration, max_vus=most)


@scenario(
    load=calls_load(),
    thresholds={
        REQUEST_TIME: "p(95)<5000",
        REQUESTED: "count>0",
        FAILURES: "count<10",
    },
    metrics=[*CALL.metrics, *VISITOR_METRICS, *BOTH_ENDS.metrics],
)
async def calls(vu: VU) -> None:
    """Connect within 15 s, join, wait 1 to 3 s, ask for a call, await its outcome for up to 35 s,
    hold an accepted call for 5 to 10 s, end it, disconnect."""
    board = join_switchboard(vu)
    if board is None:
        board = Switchboard()
        board.attach(vu)
    hold_s, pace = _session(vu)
    async with await connect(vu) as session:
        joined = await enter(vu, session)
        if joined.name == events.ORG_PAUSED:
            return  # the widget hides: there is nobody to ask
        default = vu.env.get("AGENT_ID", DEFAULT_AGENT_ID)
        caller = Caller(vu, session, board, joined, default)
        await caller.browse(vu.random.uniform(*WAIT_S) * pace)
        try:
            if await _call(vu, caller):
                await _hold(vu, caller, vu.random.uniform(*hold_s))
        finally:
            caller.leave()


def _session(vu: VU) -> tuple[tuple[float, float], float]:
    """How long calls are held; and by what ``--session`` shortens what comes before them."""
    if "SESSION" not in vu.env:
        return HOLD_S, 1.0
    hold_s = parse_session(vu.env["SESSION"])
    return hold_s, min(1.0, hold_s[1] / HOLD_S[1])


async def _call(vu: VU, caller: Caller) -> bool:
    """Ask for a call and record what becomes of it; whether it was accepted."""
    deadline_s = float(vu.env.get("CALL_DEADLINE", DEFAULT_DEADLINE_S))
    decided = False
    try:
        with vu.timer(REQUEST_TIME):
            caller.ask()
            for metric in CALL.counters:  # 0 of them is something that was measured
                vu.record(metric, 1 if metric is REQUESTED else 0)
            outcome, event = await caller.outcome(deadline_s)
        decided = True
    except TargetError as error:
        decided = True
        vu.record(SUCCESS_RATE, False)
        _record_failure(vu, caller, error)
        raise
    finally:
        if not decided:
            vu.record(CUT_SHORT)
    vu.record(OUTCOMES[outcome])
    vu.record(SUCCESS_RATE, outcome == "accepted")
    if outcome != "accepted":
        return False
    vu.record(ACCEPT_TIME, (event.arrived_ns - caller.log.asked_ns) / 1e6)
    if caller.peer_id != caller.log.agent_id:
        vu.record(REROUTED)
    return True


def _record_failure(vu: VU, caller: Caller, error: TargetError) -> None:
    """A call without a good or a bad outcome: each kind in a metric of its own."""
    if isinstance(error, ErrorReply):
        code = error_code(error)
        metric = ERRORS.get(code)
        if metric is not None:
            vu.record(metric)
        else:
            vu.record(REFUSED, code=code)
    elif not (isinstance(error, Timeout) and error.kind == "reply_timeout"):
        vu.record(DISCONNECTED)
    elif caller.told_unavailable:
        vu.record(CANCELLED)
    else:
        vu.record(LOST, came_to=caller.log.came_to())


async def _hold(vu: VU, caller: Caller, seconds: float) -> None:
    reason = await caller.talk(seconds)
    if reason:
        vu.record(ENDED_EARLY, reason=reason[:40])
    else:
        vu.record(ENDED, await caller.hang_up())
