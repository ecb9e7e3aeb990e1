"""Paced senders and echo loops against models of a few lines, on a fake clock."""

from __future__ import annotations

import asyncio
import heapq
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.testing.fakeclock import FakeClockLoop, run_fake
from tests.support.sessions import Measured, busy_until, now_ns, offline

# Intervals are multiples of 10 ns, and things happen 5 ns off them: no two at the same time.
UNIT_NS = 10
OFFSET_NS = 5
BURST = 64

What = Literal["fill", "drain", "busy"]
happenings = st.lists(
    st.tuples(
        st.integers(1, 200),  # units since the last one
        st.sampled_from(["fill", "drain", "busy"]),
        st.integers(1, BURST - 1),  # units, of being busy
    ),
    max_size=12,
)


def paced(
    interval_ns: int, plan: list[tuple[int, What, int]], end_ns: int
) -> tuple[list[int], int, int]:
    """(when each message is sent, how many are missed, the largest lateness)."""
    sent: list[int] = []
    missed = late = due_ns = 0
    full = False

    def work(until_ns: int, not_before_ns: int = 0) -> None:
        nonlocal due_ns, missed, late
        while due_ns <= until_ns:
            if full:
                missed += 1
            else:
                sent.append(max(due_ns, not_before_ns))
                late = max(late, not_before_ns - due_ns)
            due_ns += interval_ns

    for at_ns, what, busy_ns in plan:
        work(at_ns)
        if what == "busy":
            work(at_ns + busy_ns, at_ns + busy_ns)
        else:
            full = what == "fill"
    work(end_ns)
    return sent, missed, late


@given(st.integers(1, 40), happenings, st.integers(1, 200))
@settings(deadline=None)
def test_paced_senders(interval: int, steps: list[tuple[int, What, int]], last: int) -> None:
    plan: list[tuple[int, What, int]] = []
    now = OFFSET_NS
    for gap, what, busy in steps:
        now += gap * UNIT_NS
        plan.append((now, what, busy * UNIT_NS))
        if what == "busy":
            now += busy * UNIT_NS
    end_ns = now + last * UNIT_NS

    async def main() -> tuple[list[int], int, int]:
        async with offline() as (session, link):
            pacer = session.every(f"{interval * UNIT_NS}ns", "x")
            loop = asyncio.get_running_loop()
            assert isinstance(loop, FakeClockLoop)
            for at_ns, what, busy_ns in plan:
                await loop.sleep_until(at_ns)
                if what == "busy":
                    busy_until(at_ns + busy_ns)
                else:
                    getattr(link, what)()
            await loop.sleep_until(end_ns)
            pacer.stop()
            assert pacer.sent == len(link.sent)
            assert session._traffic.take_missed() == pacer.missed
            return [ns for ns, _ in link.sent], pacer.missed, pacer.late_ns_max

    assert run_fake(main) == paced(interval * UNIT_NS, plan, end_ns)


def closed(delays: list[int], in_flight: int) -> list[int]:
    """Round trips of a closed loop whose n-th message is returned after the n-th delay, where
    answers are matched in the order in which they come."""
    sent: list[int] = []
    arrivals: list[int] = []
    trips: list[int] = []

    def send(at_ns: int) -> None:
        if len(sent) < len(delays):
            heapq.heappush(arrivals, at_ns + delays[len(sent)])
            sent.append(at_ns)

    for _ in range(in_flight):
        send(0)
    while arrivals:
        at_ns = heapq.heappop(arrivals)
        trips.append(at_ns - sent[len(trips)])
        send(at_ns)
    return trips


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(1, 20))
@settings(deadline=None)
def test_echo_loops(delays: list[int], in_flight: int) -> None:
    async def main() -> list[tuple[int, int]]:
        observer = Measured()
        async with offline(observer) as (session, link):
            timers = session._engine.timers
            left = iter(delays)

            def peer(message: str | bytes) -> None:
                timers.call_at(now_ns() + next(left), lambda: link.arrive(message))

            link.peer = peer
            loop = session.echo_loop("x", count=len(delays), in_flight=in_flight, metric="rtt")
            assert await loop == len(delays) == len(link.sent)
            state = observer.drain()
            assert state.failed == 0 and not state.cut_off
            return list(state.hist.cells())  # of one ns each: all are far below 2048 ns

    trips = closed(delays, in_flight)
    expected = sorted((trip, trips.count(trip)) for trip in set(trips))
    assert max(trips) < 2048
    assert run_fake(main) == expected
