"""The watch of an event loop (ghostcore.loop.watch): lag, stalls, and what is none."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from ghostcore.loop.timers import TimerQueue
from ghostcore.loop.watch import BEAT_NS, STALL_NS, LoopWatch, running_core
from ghostcore.testing.fakeclock import run_fake

MS = 1_000_000

Stalls = list[tuple[int, int, int, str, str]]


def burn(seconds: float) -> None:
    """Keep the interpreter, and let it go every 5 ms, as Python code does."""
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pass


def keep() -> None:
    """Keep the interpreter in C for some 100 ms and more, and never let it go."""
    while True:
        began_s = time.perf_counter()
        sum(range(20_000_000))
        if time.perf_counter() - began_s > 0.15:
            return
        sum(range(60_000_000))
        return


def callback() -> tuple[str, str, object]:
    return "the line", "inside", "the callback"


def stalls_of(
    body: Callable[[TimerQueue], Coroutine[Any, Any, None]],
    locate: Callable[[], tuple[str, str, object]] = callback,
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> Stalls:
    async def main() -> Stalls:
        timers = TimerQueue(asyncio.get_running_loop())
        watch = LoopWatch(timers, locate)
        try:
            await body(timers)
            return watch.take_stalls()
        finally:
            watch.close()
            timers.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("block", [lambda: time.sleep(0.3), lambda: burn(0.3), keep])
def test_a_callback_that_keeps_the_loop_is_a_stall(
    block: Callable[[], None], factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    spans: list[tuple[int, int]] = []

    async def body(timers: TimerQueue) -> None:
        await timers.sleep(0.03)
        began_ns = timers.now_ns()
        block()
        spans.append((began_ns, timers.now_ns()))
        await timers.sleep(0.03)

    found = stalls_of(body, factory=factory)
    assert len(found) == 1
    start_ns, end_ns, machine_ns, where, inside = found[0]
    assert (where, inside) == ("the line", "inside")
    assert spans[0][0] - 21 * MS <= start_ns, "a look before it, at the earliest"
    assert end_ns <= spans[0][1] + 2000 * MS
    assert end_ns - start_ns >= spans[0][1] - spans[0][0] - 21 * MS
    assert machine_ns >= 0


def test_stalls_that_follow_each_other_do_not_overlap() -> None:
    async def body(timers: TimerQueue) -> None:
        for _ in range(3):
            time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
            await timers.sleep(0)
        await timers.sleep(0.05)

    found = stalls_of(body)
    assert len(found) == 3
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))


def of_the_callbacks(stalls: Stalls) -> Stalls:
    """Those that would have been stalls on a machine with a core for this thread: others may take
    it away for as long as they like."""
    return [one for one in stalls if one[1] - one[0] - one[2] >= 100 * MS]


def test_short_callbacks_are_no_stalls() -> None:
    async def body(timers: TimerQueue) -> None:
        for _ in range(20):
            burn(0.02)
            await timers.sleep(0.001)

    assert of_the_callbacks(stalls_of(body)) == []


def test_a_loop_with_nothing_to_do_is_not_stuck() -> None:
    async def body(timers: TimerQueue) -> None:
        await timers.sleep(0.5)

    assert of_the_callbacks(stalls_of(body)) == []


def test_many_operations_in_one_turn_are_lag_and_no_stall() -> None:
    async def body(timers: TimerQueue) -> None:
        async def user() -> None:
            burn(0.002)
            await timers.sleep(0.001)

        await asyncio.gather(*(user() for _ in range(200)))

    assert of_the_callbacks(stalls_of(body)) == []


def test_many_callbacks_in_one_turn_are_blamed_on_none() -> None:
    looks: list[object] = []

    def another() -> tuple[str, str, object]:
        looks.append(object())
        return "the line", "", looks[-1]

    async def body(_: TimerQueue) -> None:
        async def user() -> None:
            burn(0.002)
            await asyncio.sleep(0)  # unseen by the watch: it is no operation of ours

        await asyncio.gather(*(user() for _ in range(200)))

    assert stalls_of(body, another) == []
    assert len(looks) >= 2


def test_a_locator_that_fails_is_told_and_ends_nothing() -> None:
    def broken() -> tuple[str, str, object]:
        raise LookupError("no frame")

    async def body(timers: TimerQueue) -> None:
        for _ in range(2):
            time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
            await timers.sleep(0.02)

    found = stalls_of(body, broken)
    assert len(found) == 2
    assert "no frame" in found[0][4]


def test_the_lag_is_that_of_the_heartbeat() -> None:
    async def main() -> None:
        timers = TimerQueue(asyncio.get_running_loop())
        watch = LoopWatch(timers)
        timers.call_at(50 * MS, lambda: None)
        await timers.sleep_until(105 * MS)
        assert watch.take_lag() == (0, 0), "a fake clock is never late"
        loop = asyncio.get_running_loop()
        loop.clock.advance_to(400 * MS)  # type: ignore[attr-defined]
        p99_ns, greatest_ns = watch.take_lag()
        assert greatest_ns == 290 * MS, "the beat of 110 ms is overdue"
        assert p99_ns == pytest.approx(greatest_ns, rel=0.001)
        await timers.sleep_until(1000 * MS)
        p99_ns, greatest_ns = watch.take_lag()
        assert greatest_ns == 290 * MS, "and it came late"
        assert p99_ns == pytest.approx(290 * MS, rel=0.001), "one of 60 beats"
        watch.close()
        watch.close()
        await timers.sleep_until(2000 * MS)
        assert len(timers) == 0, "no beat after the end"
        timers.close()

    run_fake(main)


def test_the_thread_ends_with_the_watch() -> None:
    before = threading.active_count()

    async def body(timers: TimerQueue) -> None:
        assert threading.active_count() == before + 1
        await timers.sleep(0.01)

    stalls_of(body)
    assert threading.active_count() == before


def test_it_can_be_closed_while_the_loop_is_stuck() -> None:
    async def main() -> None:
        timers = TimerQueue(asyncio.get_running_loop())
        watch = LoopWatch(timers, callback)
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
        watch.close()
        timers.close()

    asyncio.run(main())


def test_waiting_for_a_core_is_known_where_the_system_tells() -> None:
    async def main() -> tuple[int, int]:
        timers = TimerQueue(asyncio.get_running_loop())
        with_thread, without = LoopWatch(timers, callback), LoopWatch(timers)
        waited = with_thread.waited_ns(), without.waited_ns()
        with_thread.close()
        without.close()
        timers.close()
        return waited

    waited, unknown = asyncio.run(main())
    assert waited >= 0
    assert unknown == -1


def test_constants_are_what_the_documents_say() -> None:
    assert (BEAT_NS, STALL_NS) == (10 * MS, 100 * MS)
    assert running_core() >= -1
