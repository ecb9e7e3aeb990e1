"""The generator watches itself: lag of the loop, stalls, CPU, collections, memory, open files."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable, Coroutine

import pytest

from ghostcore._engine import Engine
from ghostcore.metrics import Counter, SeriesKey, Snapshot
from ghostcore.metrics.recorders import CounterState
from ghostcore.monitor.generator import GeneratorMonitor, local_failures_of_window
from ghostcore.monitor.sample import GeneratorSample
from ghostcore.testing.fakeclock import run_fake

Body = Callable[[Engine, GeneratorMonitor], Coroutine[None, None, None]]


async def watched(body: Body) -> GeneratorSample:
    """What the monitor saw while the body ran."""
    engine = Engine(asyncio.get_running_loop())
    start_ns = engine.now_ns()
    monitor = GeneratorMonitor(engine, start_ns, [__file__])
    try:
        await body(engine, monitor)
        return monitor.sample(Snapshot(0, engine.now_ns() - start_ns))
    finally:
        monitor.close()
        engine.close()


def test_a_blocked_loop_shows_as_lag_and_as_a_stall_with_its_line() -> None:
    async def body(engine: Engine, _: GeneratorMonitor) -> None:
        await engine.timers.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is to be seen
        await engine.timers.sleep(0.02)

    found = asyncio.run(watched(body))
    assert found.loop_lag_ms >= 250
    assert found.rss_bytes > 1_000_000
    (stall,) = found.stalls
    assert 250 <= stall.duration_ms <= found.window_s * 1000
    assert 0 <= stall.at_s <= found.at_s - 0.25
    assert "time.sleep(0.3)" in stall.where
    assert stall.where.startswith("test_generator.py:")
    assert "loop_lag" in [doubt.rule for doubt in found.doubts]


def test_a_loop_that_is_stuck_at_the_sample_shows_too() -> None:
    async def body(_engine: Engine, _: GeneratorMonitor) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - no probe has come since, nor has the stall an end

    found = asyncio.run(watched(body))
    assert found.loop_lag_ms >= 250
    assert len(found.stalls) == 1


def test_cpu_time_is_a_share_of_a_core() -> None:
    async def body(_engine: Engine, _: GeneratorMonitor) -> None:
        started = time.thread_time()
        while time.thread_time() - started < 0.1:
            pass

    found = asyncio.run(watched(body))
    assert 0 < found.loop_cpu_share <= 1.01
    assert found.loop_cpu_share <= found.cpu_share + 0.01
    assert found.loop_cpu_share * found.window_s == pytest.approx(0.1, abs=0.05)


def test_a_collection_that_takes_long_is_seen() -> None:
    async def body(_engine: Engine, _: GeneratorMonitor) -> None:
        cycles = [[] for _ in range(300_000)]  # type: list[list[object]]
        for one in cycles:
            one.append(one)
        del cycles[:], one
        gc.collect()

    found = asyncio.run(watched(body))
    assert found.gc_pause_ms > 1


def test_nothing_is_left_behind() -> None:
    before = list(gc.callbacks)

    async def body(_engine: Engine, _: GeneratorMonitor) -> None:
        assert len(gc.callbacks) == len(before) + 1

    asyncio.run(watched(body))
    assert gc.callbacks == before


def test_on_a_clock_of_its_own_only_what_that_clock_tells() -> None:
    async def body(engine: Engine, _: GeneratorMonitor) -> None:
        await engine.timers.sleep(3600)
        time.sleep(0.15)  # noqa: ASYNC251 - takes no time on the loop's clock

    found = run_fake(lambda: watched(body))
    assert (found.at_s, found.window_s) == (3600, 3600)
    assert found.loop_lag_ms == 0
    assert found.stalls == ()
    assert math.isnan(found.cpu_share)
    assert math.isnan(found.waiting_share)
    assert found.doubts == ()


def test_doubts_are_handed_on_to_the_next_second() -> None:
    samples: list[GeneratorSample] = []

    async def body(engine: Engine, monitor: GeneratorMonitor) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is to be seen
        samples.append(monitor.sample(Snapshot(0, 300_000_000)))
        await engine.timers.sleep(0.12)

    found = asyncio.run(watched(body))
    assert "loop_lag" in [doubt.rule for doubt in samples[0].doubts]
    assert found.stalls == (), "it was told once"
    assert found.doubts, "what piled up is worked off here"


def test_failures_of_this_machine_are_told_from_those_of_the_server() -> None:
    def errors(**tags: str) -> SeriesKey:
        return SeriesKey.of("ws_errors", {"scenario": "one", **tags})

    window = Snapshot(
        0,
        1,
        {
            errors(): CounterState(0, 9),
            errors(kind="connection_refused"): CounterState(7, 7),
            errors(kind="no_source_port"): CounterState(2, 2),
            errors(kind="no_descriptors"): CounterState(1, 1),
            SeriesKey.of("other", {"kind": "no_descriptors"}): CounterState(5, 5),
        },
        {"ws_errors": Counter("ws_errors"), "other": Counter("other")},
    )
    assert local_failures_of_window(window) == 3
