"""What an event costs the simulator does not grow with how many are there.

Counted in executed bytecodes, so that a busy machine changes nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.support.stage import Stage, incoming

SMALL, LARGE = 8, 400  # agents, each with 25 visitors
TIMES = 9  # the median of so many: tables that grow are moved now and then


def bytecodes(action: Callable[[], object]) -> int:
    """How many the action executes."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def populated(mode: str, agents: int) -> Stage:
    stage = Stage(mode)
    for number in range(agents):
        stage.agents(f"a{number}")
    for number in range(25 * agents):
        stage.join(f"v{number}")
    assert stage.core.simulation_count == 25 * agents
    stage.wait(61)  # the windows of rate limits go at the first use after their end
    stage.join("one more")
    stage.leaves("one more")
    return stage


def costs(stage: Stage) -> dict[str, float]:
    """The cost of each thing that visitors and agents do, everybody else being there."""
    found: dict[str, list[int]] = {}

    def cost(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        answer: list[object] = []
        counted = bytecodes(lambda: answer.append(function(*arguments)))
        found.setdefault(what, []).append(counted)
        return answer[0]

    for number in range(TIMES):
        visitor = f"v{number}"
        cost("leave", stage.leaves, visitor)
        cost("join", stage.join, visitor)
        stage.leaves(f"v{number + 20}")  # room for the one that comes from an agent in a call
        agent = stage.core.visitors[visitor].agent.agent_id  # type: ignore[union-attr]
        request_id = incoming(cost("ask", stage.asks, visitor, agent))
        cost("accept", stage.accepts, agent, request_id)
        (call,) = stage.core.calls.values()
        cost("signal", stage.does, visitor, "webrtc:signal", {"targetId": agent})
        cost("end", stage.does, visitor, "call:end", {"callId": call.call_id})
        stage.wait(1.1)
        cost("wait in vain", stage.join, "one more")
        cost("give up waiting", stage.leaves, "one more")
        cost("back", stage.back, agent)
        cost("heartbeat", stage.does, agent, "heartbeat", {})
        cost("reject", stage.rejects, agent, incoming(stage.asks(visitor, agent)))
        cost("agent drops off", stage.leaves, agent)
        cost("agent is back", stage.login, agent)
        stage.back(agent)
        cost("nothing", stage.wait, 0.5)
    return {what: statistics.median(counts) for what, counts in found.items()}


@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_no_event_costs_more_where_more_are_there(mode: str) -> None:
    small, large = costs(populated(mode, SMALL)), costs(populated(mode, LARGE))
    assert large.keys() == small.keys()
    grown = {
        what: (small[what], large[what]) for what in small if large[what] > 1.3 * small[what] + 100
    }
    assert grown == {}


def test_a_queue_costs_nothing_but_what_comes_out_of_it() -> None:
    """Calls that wait for one agent: most of their visitors leave, some ring."""

    def cost(queued: int) -> tuple[int, int, int]:
        stage = Stage()
        stage.agents("a")
        for number in range(queued):
            stage.join(f"v{number}")
            stage.asks(f"v{number}", "a")  # rings: the agent is free
        call_id = None
        for request_id in list(stage.core.requests)[:1]:
            stage.accepts("a", request_id)
            (call_id,) = stage.core.calls
        for number in range(queued):
            stage.join(f"w{number}")
            stage.asks(f"w{number}", "a")  # waits: it is in a call
        end = bytecodes(lambda: stage.does("a", "call:end", {"callId": call_id}))
        rings = bytecodes(lambda: stage.wait(1.1))
        away = bytecodes(lambda: stage.away("a"))  # there is nobody else
        return end, rings, away

    few, many = cost(5), cost(500)
    assert all(large <= small + 100 for small, large in zip(few[:2], many[:2], strict=True))
    assert many[2] - few[2] < 100 * 30, "the agent's 25 visitors are told; the queue is left alone"
