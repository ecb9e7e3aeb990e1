from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from ghostcore.testing import fakeclock
from ghostcore.testing.fakeclock import FakeClockLoop, run_fake


def here() -> FakeClockLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    return loop


def test_sleep_takes_its_time_of_the_fake_clock_only() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        await asyncio.sleep(0.25)
        return here().time()

    assert run_fake(main) == 3600.25


def test_timers_fire_in_order_each_at_its_ns() -> None:
    fired: list[tuple[int, int]] = []
    due = [5, 3, 10**9 + 1, 10**9, 3600 * 10**9 + 7, 3600 * 10**9 + 6, 40 * 86400 * 10**9 + 1]
    # Here 1 ns added in floats reaches beyond the next ns: a resolution of 1 ns would be too early.
    early = 5_588_329_086_265
    assert (early + 1) / 1e9 < early / 1e9 + 1e-9
    due += [early, early + 1]

    async def sleeper(number: int, when_ns: int) -> None:
        await here().sleep_until(when_ns)
        fired.append((here().now_ns(), number))

    async def main() -> None:
        await asyncio.gather(*(sleeper(number, when) for number, when in enumerate(due)))

    run_fake(main)
    assert fired == sorted((when, number) for number, when in enumerate(due))


def test_a_deadline_between_two_ns_is_not_met_early() -> None:
    async def main() -> int:
        loop = here()
        woken = loop.create_future()
        loop.call_at(2.4e-9, woken.set_result, None)
        await woken
        return loop.now_ns()

    assert run_fake(main) == 3


def test_sleep_until_the_past_gives_way_once() -> None:
    order: list[str] = []

    async def main() -> None:
        here().call_soon(order.append, "other")
        await here().sleep_until(-5)
        order.append("sleeper")
        assert here().now_ns() == 0

    run_fake(main)
    assert order == ["other", "sleeper"]


def test_a_cancelled_sleep_leaves_no_timer() -> None:
    async def main() -> int:
        sleeper = asyncio.create_task(here().sleep_until(10**12))
        await asyncio.sleep(1)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
        await asyncio.sleep(1)
        return here().now_ns()

    assert run_fake(main) == 2 * 10**9


def test_timeouts_work() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        return here().time()

    assert run_fake(main) == 5


def test_threads_and_their_results_work() -> None:
    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 42), here().time()

    assert run_fake(main) == (42, 0)


def test_closing_waits_for_a_thread_without_a_jump() -> None:
    ended = []

    def work() -> None:
        time.sleep(0.05)
        ended.append(True)

    async def main() -> FakeClockLoop:
        here().run_in_executor(None, work)
        return here()

    loop = run_fake(main)
    assert (ended, loop.time(), loop.jumps) == ([True], 0, 0)


def test_a_limit_for_its_threads_is_none_of_the_fake_clock() -> None:
    async def main() -> float:
        here().run_in_executor(None, time.sleep, 0.05)
        await here().shutdown_default_executor(1)
        return here().time()

    assert run_fake(main) == 0


def test_signals_work() -> None:
    async def main() -> float:
        came = asyncio.Event()
        here().add_signal_handler(signal.SIGUSR1, came.set)
        here().call_later(5, os.kill, os.getpid(), signal.SIGUSR1)
        watchdog = asyncio.create_task(asyncio.sleep(10))
        await came.wait()
        watchdog.cancel()
        return here().time()

    # The signal comes in before or after the jump to the watchdog, never not at all.
    assert run_fake(main) in (5, 10)


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.sleep(2)
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="fake clock at 2 s: nothing is ready and nothing is sc"):
        run_fake(main)


def test_endless_jumping_is_an_error() -> None:
    cleaned_up = []

    async def main() -> None:
        try:
            while True:
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(1)
            cleaned_up.append(here().time())

    with pytest.raises(RuntimeError, match="fake clock at 100 s: more than 100 jumps"):
        run_fake(main, max_jumps=100)
    assert cleaned_up == [101]


def test_endless_spinning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakeclock, "MAX_SPINS", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="1000 passes of the loop without a moment of time"):
        run_fake(main)


def test_a_sleep_beyond_what_a_float_can_tell_apart_is_an_error() -> None:
    async def main() -> None:
        await asyncio.sleep(1e9)

    with pytest.raises(RuntimeError, match="next deadline is at 1000000000 s, more than 48 days"):
        run_fake(main)


def test_an_error_of_main_comes_out() -> None:
    async def main() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_fake(main)


def test_jumps_are_counted() -> None:
    async def main() -> int:
        for _ in range(7):
            await asyncio.sleep(1)
        return here().jumps

    assert run_fake(main) == 7
