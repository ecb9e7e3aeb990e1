"""The calls scenario: the simulator makes a known number of each outcome, and the result has it."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

import ghostcore
from ghost_greeter.agents.agent_settings import Answer
from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.scenarios.calls import calls, calls_load
from ghost_greeter.simulator import Distribution, EmbeddedSimulator, Simulator
from ghostcore import ConstantArrivalRate, PerVUIterations, Result
from tests.support.greeting import ACCEPT, IGNORE, REJECT, call, call_options, outcomes, pool_at


def events(result: Result, name: str, **tags: str) -> int:
    """A counter, or its samples with one tag; 0 if there are none."""
    selector = name + "".join(f"{{{tag}:{text}}}" for tag, text in tags.items())
    return result.metrics[selector].count if selector in result.metrics else 0


def test_the_profile_is_that_of_the_suite() -> None:
    load = calls.load
    assert isinstance(load, ConstantArrivalRate)
    assert (load.rate, load.duration) == (10, "2m")
    # 10/s x (15 s to connect, 10 to join, 3 of waiting, 35 for the outcome, 10 of call, 5 to end).
    assert load.peak_vus == 781
    assert calls_load(20, "1m", 40).peak_vus == 801
    assert [(str(metric), text) for metric, text in calls.thresholds] == [
        ("call_request_time", "p(95)<5000"),
        ("calls_requested", "count>0"),
        ("connection_failures", "count<10"),
    ]


def test_accepted() -> None:
    with EmbeddedSimulator() as simulator:
        result = call(simulator, 12, pool_at(simulator.url, 12, ACCEPT))
        served = simulator.status()["outcomes"]
    metrics = result.metrics
    assert result.verdict == "pass", result.reasons
    assert outcomes(result) == {"calls_accepted": 12}
    assert served == {"requested": 12, "rang": 12, "accepted": 12, "ended": 12}
    assert metrics["calls_ended"].count == 12
    assert metrics["calls_rerouted"].count == metrics["calls_ended_early"].count == 0
    assert metrics["agent_calls_accepted"].count == 12
    assert metrics["agent_assigned_count"].count == 12
    assert metrics["call_success_rate"].rate == 1
    assert metrics["connection_failures"].count == 0
    # Both ends are on one clock: a call is on its way, rings, and its answer is on its way.
    times = ("call_request_time", "call_accept_time", "call_request_to_incoming_time")
    for name in (*times, "call_accept_to_accepted_time"):
        assert metrics[name].count == 12, name
    assert metrics["call_accept_time"].min >= 5, "an agent lets it ring for 5 ms at least"
    assert metrics["call_request_to_incoming_time"].max < metrics["call_request_time"].max
    assert metrics["webrtc_signal_time"].count == metrics["webrtc_signals_received"].count == 72
    assert metrics["webrtc_signals_sent"].count == 72, "three each way in each call"
    assert metrics["webrtc_signal_round_trip_time"].count == 36
    for name in ("lost", "duplicated", "misdelivered"):
        assert metrics[f"webrtc_signals_{name}"].count == 0
        assert metrics[f"call_events_{name}"].count == 0
    # The agents' own connections are not the visitors'.
    assert metrics["ws_sessions"].count == 12
    assert metrics["iterations"].count == 12
    assert metrics["agents_online"].max == 12


def test_rejected() -> None:
    with EmbeddedSimulator() as simulator:
        result = call(simulator, 7, pool_at(simulator.url, 1, REJECT))
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_rejected": 7}
    assert served["rejected"] == 7
    assert result.metrics["agent_calls_rejected"].count == 7
    assert result.metrics["call_request_time"].count == 7
    assert result.metrics["call_accept_time"].count == 0
    assert result.metrics["call_success_rate"].fails == 7
    assert result.errors == []


def test_rung_out() -> None:
    with EmbeddedSimulator("--time-scale", "0.02") as simulator:
        result = call(simulator, 5, pool_at(simulator.url, 1, IGNORE))
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_timed_out": 5}
    assert served["rung_out"] == 5
    assert result.metrics["agent_calls_ignored"].count == 5
    assert result.metrics["agent_calls_cancelled"].count == 5
    assert result.metrics["call_request_time"].min >= 300, "15 s, fifty times as fast"


def test_passed_on_until_somebody_accepts() -> None:
    with EmbeddedSimulator() as simulator:
        pool = pool_at(simulator.url, 3)
        answers: Iterator[Answer] = iter(["reject", "reject", "accept"])
        pool.next_answer = lambda: next(answers)  # type: ignore[method-assign]
        result = call(simulator, 1, pool)
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_accepted": 1}
    assert served["rerouted"] == result.metrics["agent_calls_rejected"].count == 2
    assert result.metrics["call_request_to_incoming_time"].count == 1, "to the first that rings"


def test_queued() -> None:
    """One visitor is in a call of a second with the only agent while three others ask for it."""
    late = dataclasses.replace(calls, name="late", load=PerVUIterations(3, 1, start_time=0.4))
    first = dataclasses.replace(calls, load=PerVUIterations(1, 1))
    with EmbeddedSimulator("--time-scale", "0.1") as simulator:
        pool = pool_at(simulator.url, 1)
        options = call_options(simulator.url, 0, pool, session="1", AGENT_ID="load-agent-1")
        del options["load"]
        result = ghostcore.run(first, late, **options)
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_accepted": 4}
    assert served["queued"] == result.metrics["calls_queued"].count == 3
    assert result.metrics["agent_unavailable_count"].count == 3
    assert result.metrics["call_request_to_incoming_time"].p(50) > 500, "the wait in the queue"


def test_lost_in_the_queue() -> None:
    late = dataclasses.replace(calls, name="late", load=PerVUIterations(3, 1, start_time=0.4))
    first = dataclasses.replace(calls, load=PerVUIterations(1, 1))
    with EmbeddedSimulator() as simulator:
        pool = pool_at(simulator.url, 1)
        given = {"AGENT_ID": "load-agent-1", "CALL_DEADLINE": "0.5"}
        options = call_options(simulator.url, 0, pool, session="2", **given)
        del options["load"]
        result = ghostcore.run(first, late, **options)
    assert outcomes(result) == {"calls_accepted": 1, "calls_lost": 3}
    assert events(result, "calls_lost", came_to="queued") == 3


@pytest.mark.parametrize(
    ("dropped", "came_to"),
    [
        (["call:accepted"], "accepted"),
        (["call:incoming"], "never_rang"),
        (["call:incoming", "call:accepted"], "never_rang"),
    ],
)
def test_lost(dropped: Sequence[str], came_to: str) -> None:
    with EmbeddedSimulator() as simulator:
        simulator.set_faults(drop=1, drop_events=dropped)
        pool = pool_at(simulator.url, 6)
        result = call(simulator, 6, pool, CALL_DEADLINE="0.4")
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_lost": 6}
    assert served["dropped"] == 6
    assert events(result, "calls_lost", came_to=came_to) == 6
    times = result.metrics["call_request_time"]
    assert (times.count, times.cut_off) == (6, 6), "no lost call vanishes"
    assert times.bounds(50).lower >= 400, "each counts as at least its deadline"
    assert result.metrics["call_success_rate"].fails == 6
    assert [(one.kind, one.count) for one in result.errors] == [("reply_timeout", 6)]


def test_a_call_that_nobody_answers_in_time_is_lost_while_it_rings() -> None:
    with EmbeddedSimulator() as simulator:
        result = call(simulator, 3, pool_at(simulator.url, 1, IGNORE), CALL_DEADLINE="0.3")
    assert outcomes(result) == {"calls_lost": 3}
    assert events(result, "calls_lost", came_to="rang") == 3


def test_rate_limited() -> None:
    with EmbeddedSimulator() as simulator:
        simulator.set_faults(rate_limits={"call:request": 0})
        result = call(simulator, 6, pool_at(simulator.url, 6))
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_rate_limited": 6}
    assert served["rate_limited"] == 6
    assert result.metrics["call_request_time"].failed == 6, "a fast refusal is no fast answer"
    assert result.metrics["ws_errors{kind:error_reply}"].count == 6
    assert result.exit_code == 99


def test_no_agent() -> None:
    with EmbeddedSimulator() as simulator:
        result = call(simulator, 6)
        served = simulator.status()["outcomes"]
    assert outcomes(result) == {"calls_no_agent": 6}
    assert served["refused"] == 6
    assert result.metrics["agent_unavailable_count"].count == 6
    assert result.metrics["agent_assigned_rate"].fails == 6


def test_a_join_without_an_answer_asks_for_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package's attribute of that name is the scenario.
    monkeypatch.setattr(sys.modules["ghost_greeter.scenarios.presence"], "JOIN_TIMEOUT_S", 0.3)
    with EmbeddedSimulator() as simulator:
        simulator.set_faults(drop=1, drop_events=["agent:unavailable"])
        result = call(simulator, 2)
    assert result.metrics["join_success_rate"].fails == 2
    assert result.metrics["widget_join_time"].cut_off == 2
    assert outcomes(result) == {}


def test_a_paused_organisation() -> None:
    with EmbeddedSimulator("--paused-org", "org") as simulator:
        result = call(simulator, 6, pool_at(simulator.url, 1))
        served = simulator.status()["outcomes"]
    assert served == {"paused": 6}
    assert result.metrics["org_paused_count"].count == 6
    assert outcomes(result) == {}
    assert result.exit_code == 99, "no call was asked for: that cannot pass"


def test_a_server_that_is_down() -> None:
    options = call_options("ws://127.0.0.1:1", load=ConstantArrivalRate(20, 1))
    result = ghostcore.run(SCENARIOS["calls"], **options)
    assert result.exit_code == 99
    assert result.metrics["connection_failures"].count == 20
    assert [(one.kind, one.count) for one in result.errors] == [("connection_refused", 20)]
    assert result.metrics["ws_connection_time"].failed == 20
    assert outcomes(result) == {}


def test_a_server_that_goes_down_while_calls_ring() -> None:
    with EmbeddedSimulator() as simulator:
        pool = pool_at(simulator.url, 2, IGNORE)
        killer = threading.Timer(1.0, simulator.crash)
        killer.start()
        try:
            # Those who come again find nobody: the run outlives the agents' connections.
            result = call(simulator, 5, pool, load=PerVUIterations(5, 3))
        finally:
            killer.join()
    assert outcomes(result) == {"calls_disconnected": 5}
    assert result.metrics["agent_disconnects"].count == 2
    assert result.metrics["call_request_time"].failed == 5


def test_agents_on_one_replica_and_visitors_on_another() -> None:
    with EmbeddedSimulator("--replicas", "2", "--time-scale", "0.05") as simulator:
        here, there = simulator.urls
        pool = pool_at(here, 4)
        options = call_options(there, 4, pool, CALL_DEADLINE="0.5")
        apart = ghostcore.run(SCENARIOS["calls"], **options)
        together = ghostcore.run(
            SCENARIOS["calls"], **call_options(here, 4, pool_at(here, 4), CALL_DEADLINE="5")
        )
    assert outcomes(apart) == {"calls_lost": 4}
    assert events(apart, "calls_lost", came_to="never_rang") == 4
    assert apart.metrics["agent_assigned_count"].count == 4, "assigned, but not to be reached"
    assert events(apart, "agent_calls_incoming") == 0
    assert outcomes(together) == {"calls_accepted": 4}


def test_a_mixed_run_agrees_with_the_server() -> None:
    with EmbeddedSimulator("--time-scale", "0.02") as simulator:
        pool = pool_at(simulator.url, 4, (60, 30, 10))
        load = ConstantArrivalRate(40, 2, max_vus=200)
        result = call(simulator, 0, pool, load=load, session="0.05", CALL_DEADLINE="8")
        served = simulator.status()["outcomes"]
    found = outcomes(result)
    assert (
        result.metrics["calls_requested"].count
        == 80
        == served["requested"] + found.get("calls_no_agent", 0)
    )
    for ours, theirs in (
        ("calls_accepted", "accepted"),
        ("calls_rejected", "rejected"),
        ("calls_timed_out", "rung_out"),
    ):
        assert found.get(ours, 0) == served.get(theirs, 0), (ours, found, served)
    assert found.get("calls_lost", 0) == 0


# ---- what comes twice, or to the wrong one ------------------------------------------------------


def run_twisted(
    event: str,
    twist: Any,
    visitors: int = 4,
    agents: int = 4,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Calls against a simulator in which packets of one event are sent otherwise.

    :param twist: gets the sockets that a packet was to be sent to, and says where it goes instead.
    """

    async def main() -> Result:
        async with Simulator() as simulator:
            core = simulator.state
            send = core.send

            def twisted(socket_id: str | None, packet: str) -> None:
                if not packet.startswith(f'42["{event}"'):
                    send(socket_id, packet)
                    return
                for one in twist(core, socket_id):
                    send(one, packet)

            core.send = twisted  # type: ignore[method-assign]
            pool = pool_at(simulator.url, agents, **(settings or {}))
            given = call_options(simulator.url, visitors, pool, **options)
            return await ghostcore.run_async(SCENARIOS["calls"], **given)

    return asyncio.run(main())


def twice(core: Any, socket_id: str | None) -> list[str | None]:
    return [socket_id, socket_id]


def to_another_agent(core: Any, socket_id: str | None) -> list[str | None]:
    if socket_id not in core.agent_of_socket:
        return [socket_id]
    others = [one for one in core.agent_of_socket if one != socket_id]
    return others[:1]


@pytest.mark.parametrize("event", ["call:incoming", "call:started", "call:accepted", "call:ended"])
def test_events_that_come_twice_count_once(event: str) -> None:
    result = run_twisted(event, twice)
    assert outcomes(result) == {"calls_accepted": 4}
    assert result.metrics["calls_ended"].count == 4
    assert events(result, "call_events_duplicated", event=event) == 4
    assert result.metrics["call_events_duplicated"].count == 4
    assert result.metrics["call_events_misdelivered"].count == 0


def test_signals_that_come_twice() -> None:
    result = run_twisted("webrtc:signal", twice)
    assert result.metrics["webrtc_signals_sent"].count == 24
    assert result.metrics["webrtc_signals_received"].count == 24
    assert result.metrics["webrtc_signals_duplicated"].count == 24
    assert result.metrics["webrtc_signals_lost"].count == 0


def test_signals_to_the_wrong_agent() -> None:
    result = run_twisted("webrtc:signal", to_another_agent)
    assert result.metrics["webrtc_signals_misdelivered"].count == 12
    assert result.metrics["webrtc_signals_lost"].count == 12
    assert result.metrics["webrtc_signals_received"].count == 0


def test_calls_that_ring_at_the_wrong_agent() -> None:
    result = run_twisted("call:incoming", to_another_agent, CALL_DEADLINE="0.4")
    assert outcomes(result) == {"calls_lost": 4}
    assert events(result, "calls_lost", came_to="never_rang") == 4
    assert events(result, "call_events_misdelivered", event="call:incoming") == 4


def test_an_acceptance_to_the_wrong_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghost_greeter.scenarios.caller.ENDED_TIMEOUT_S", 0.3)

    def swapped(core: Any, socket_id: str | None) -> list[str | None]:
        return [one for one in core.visitor_of_socket if one != socket_id][:1]

    # Both have asked before either is accepted.
    settings = {"answer": Distribution.parse("150ms")}
    result = run_twisted("call:accepted", swapped, visitors=2, agents=2, settings=settings)
    assert outcomes(result) == {"calls_accepted": 2}
    assert events(result, "call_events_misdelivered", event="call:accepted") == 2
    assert result.metrics["call_accept_to_accepted_time"].count == 0


def test_signals_that_are_lost() -> None:
    with EmbeddedSimulator() as simulator:
        simulator.set_faults(drop=1, drop_events=["webrtc:signal"])
        result = call(simulator, 4, pool_at(simulator.url, 4))
    assert outcomes(result) == {"calls_accepted": 4}
    assert result.metrics["webrtc_signals_sent"].count == 12
    assert result.metrics["webrtc_signals_lost"].count == 12
    assert result.metrics["webrtc_signals_received"].count == 0


def test_ends_that_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghost_greeter.scenarios.caller.ENDED_TIMEOUT_S", 0.3)
    result = run_twisted("call:ended", lambda core, socket_id: [])
    assert outcomes(result) == {"calls_accepted": 4}
    assert events(result, "call_events_lost", event="call:ended") == 4
    assert result.metrics["calls_ended"].count == 0


# ---- behaviour ----------------------------------------------------------------------------------


def two_ring_at_one(answers: Sequence[str], **options: Any) -> Result:
    """Both ring before the agent answers the first; the second visitor is told that it is busy."""
    with EmbeddedSimulator("--time-scale", "0.1") as simulator:
        pool = pool_at(simulator.url, 1, answer=Distribution.parse("400ms"))
        pool.next_answer = iter(answers).__next__  # type: ignore[method-assign,assignment]
        result = call(simulator, 2, pool, session="0.5", **options)
        served = simulator.status()["outcomes"]
    assert served["accepted"] == 1
    assert result.metrics["calls_queued"].count == 0, "both rang at once"
    return result


def test_an_agent_in_a_call_declines_what_else_rings() -> None:
    result = two_ring_at_one(["accept", "accept"])
    assert outcomes(result) == {"calls_accepted": 1, "calls_rejected": 1}
    assert result.metrics["agent_calls_declined"].count == 1
    assert result.metrics["agent_calls_rejected"].count == 0


def test_a_visitor_that_is_told_that_its_agent_is_busy_still_has_a_call() -> None:
    """The notice is of the assignment; the request lives on."""
    result = two_ring_at_one(["accept", "ignore"])
    assert outcomes(result) == {"calls_accepted": 1, "calls_timed_out": 1}
    assert result.metrics["call_request_time"].max > 1500, "the whole ring, ten times as fast"


def test_a_visitor_that_is_told_so_and_hears_no_more_has_a_cancelled_call() -> None:
    result = two_ring_at_one(["accept", "ignore"], CALL_DEADLINE="1")
    assert outcomes(result) == {"calls_accepted": 1, "calls_cancelled": 1}
    assert result.metrics["call_request_time"].cut_off == 1


def test_agents_elsewhere_leave_round_trips() -> None:
    """The agents answer from another run's pool: one-way times cannot be known."""

    async def main() -> Result:
        async with Simulator() as simulator:
            pool = pool_at(simulator.url, 3)
            await pool.setup()
            try:
                given = call_options(simulator.url, 3)
                return await ghostcore.run_async(SCENARIOS["calls"], **given)
            finally:
                await pool.teardown()

    result = asyncio.run(main())
    assert outcomes(result) == {"calls_accepted": 3}
    assert result.metrics["call_request_to_incoming_time"].count == 0
    assert result.metrics["webrtc_signal_time"].count == 0
    assert result.metrics["webrtc_signals_lost"].count == 0
    assert result.metrics["webrtc_signal_round_trip_time"].count == 9


def test_the_end_of_the_run_cuts_calls_short() -> None:
    with EmbeddedSimulator() as simulator:
        pool = pool_at(simulator.url, 1, IGNORE)
        load = ghostcore.ConstantVUs(3, 1.0, graceful_stop=0)
        result = call(simulator, 0, pool, load=load)
    assert outcomes(result) == {"calls_cut_short": 3}
    assert result.metrics["call_request_time"].cut_off == 3
