from __future__ import annotations

import asyncio

import pytest

from ghostcore.load.control import RunControl, first_of
from ghostcore.testing.fakeclock import run_fake


def test_the_first_stop_asks_and_the_second_interrupts() -> None:
    control = RunControl()
    assert (control.stop_requested.is_set(), control.interrupt_requested.is_set()) == (False, False)
    control.stop("Ctrl-C")
    assert (control.stop_requested.is_set(), control.interrupt_requested.is_set()) == (True, False)
    control.stop("Ctrl-C again")
    assert (control.stop_requested.is_set(), control.interrupt_requested.is_set()) == (True, True)
    assert control.reason == "Ctrl-C"


def test_interrupt_does_both() -> None:
    control = RunControl()
    control.interrupt("aborted")
    assert (control.stop_requested.is_set(), control.interrupt_requested.is_set()) == (True, True)
    assert control.reason == "aborted"


def test_whoever_waits_is_woken() -> None:
    async def main() -> float:
        control = RunControl()
        loop = asyncio.get_running_loop()
        loop.call_later(3, control.stop, "enough")
        loop.call_later(5, control.stop, "enough")
        await control.stop_requested.wait()
        assert loop.time() == 3
        await control.interrupt_requested.wait()
        return loop.time()

    assert run_fake(main) == 5


def test_first_of_cancels_the_others_and_waits_for_them() -> None:
    gone: list[float] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            gone.append(asyncio.get_running_loop().time())

    async def main() -> float:
        future = asyncio.get_running_loop().create_future()
        await first_of(slow(), asyncio.sleep(3), future)
        assert future.cancelled()
        return asyncio.get_running_loop().time()

    assert run_fake(main) == 5
    assert gone == [5]


def test_first_of_passes_an_error_on() -> None:
    async def broken() -> None:
        await asyncio.sleep(1)
        raise OSError("broken")

    async def main() -> float:
        with pytest.raises(OSError, match="broken"):
            await first_of(asyncio.sleep(10), broken())
        return asyncio.get_running_loop().time()

    assert run_fake(main) == 1


def test_first_of_takes_a_cancellation_to_all() -> None:
    cancelled: list[int] = []

    async def sleeper(number: int) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def main() -> None:
        task = asyncio.create_task(first_of(sleeper(1), sleeper(2)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_fake(main)
    assert sorted(cancelled) == [1, 2]
