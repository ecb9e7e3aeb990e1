"""The generator watches itself: lag of the loop, CPU, memory, open files."""

from __future__ import annotations

import asyncio
import os
import time

from ghostcore._timers import TimerQueue
from ghostcore.monitor.generator import DESCRIPTORS_EVERY, GeneratorMonitor


def test_a_blocked_loop_shows_as_lag() -> None:
    async def main() -> tuple[float, float]:
        timers = TimerQueue(asyncio.get_running_loop())
        monitor = GeneratorMonitor(timers)
        await timers.sleep(0.05)
        monitor.sample()
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
        await timers.sleep(0.02)
        blocked = monitor.sample()
        monitor.close()
        timers.close()
        return blocked.loop_lag_ms, blocked.rss_bytes

    lag_ms, rss_bytes = asyncio.run(main())
    assert lag_ms >= 150
    assert rss_bytes > 1_000_000


def test_a_loop_that_is_stuck_at_the_sample_shows_too() -> None:
    async def main() -> float:
        timers = TimerQueue(asyncio.get_running_loop())
        monitor = GeneratorMonitor(timers)
        time.sleep(0.2)  # noqa: ASYNC251 - no probe has come since
        lag_ms = monitor.sample().loop_lag_ms
        monitor.close()
        timers.close()
        return lag_ms

    assert asyncio.run(main()) >= 150


def test_cpu_time_is_a_share_of_a_core() -> None:
    async def main() -> float:
        timers = TimerQueue(asyncio.get_running_loop())
        monitor = GeneratorMonitor(timers)
        started = time.process_time()
        while time.process_time() - started < 0.1:
            pass
        share = monitor.sample().cpu_share
        monitor.close()
        timers.close()
        return share

    assert 0 < asyncio.run(main()) <= 1.5


def test_open_files_are_counted_now_and_then() -> None:
    async def main() -> list[int]:
        timers = TimerQueue(asyncio.get_running_loop())
        monitor = GeneratorMonitor(timers)
        first = monitor.sample().descriptors
        opened = [os.dup(0) for _ in range(5)]
        rest = [monitor.sample().descriptors for _ in range(DESCRIPTORS_EVERY)]
        for descriptor in opened:
            os.close(descriptor)
        monitor.close()
        timers.close()
        return [first, *rest]

    counts = asyncio.run(main())
    assert counts[:-1] == [counts[0]] * DESCRIPTORS_EVERY
    assert counts[-1] == counts[0] + 5
