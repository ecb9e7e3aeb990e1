from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.load.control import INTERRUPT_BATCH, RunControl, VuControl, first_of, interrupt_all
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


class Sleepers:
    """A pool of users that do nothing, and in which turn of the loop each was interrupted."""

    def __init__(self, count: int) -> None:
        self.turn = 0
        self.turn_of: list[int] = []
        self.users: Any = [Sleeper(self) for _ in range(count)]

    async def idle(self) -> None:
        pass

    def count_turns(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)


class Sleeper:
    def __init__(self, pool: Sleepers) -> None:
        self._pool = pool
        self.running = True

    def interrupt(self) -> None:
        self.running = False
        self._pool.turn_of.append(self._pool.turn)


def interrupting(pool: Sleepers) -> Any:
    async def sleep_until(due_ns: int) -> None:
        await asyncio.get_running_loop().create_future()

    return interrupt_all(pool.users, pool, sleep_until, lambda: 0)  # type: ignore[arg-type]


def test_the_loop_has_its_turn_between_batches_of_interrupts() -> None:
    pool = Sleepers(2 * INTERRUPT_BATCH + 1)

    async def main() -> None:
        task = asyncio.create_task(interrupting(pool))
        pool.count_turns()
        await task

    asyncio.run(main())
    in_a_turn = [pool.turn_of.count(turn) for turn in sorted(set(pool.turn_of))]
    assert in_a_turn == [INTERRUPT_BATCH, INTERRUPT_BATCH, 1]


def test_interrupting_that_is_cancelled_leaves_nobody_out() -> None:
    pool = Sleepers(3 * INTERRUPT_BATCH)

    async def main() -> None:
        task = asyncio.create_task(interrupting(pool))
        await asyncio.sleep(0)
        assert len(pool.turn_of) == INTERRUPT_BATCH
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(pool.turn_of) == 3 * INTERRUPT_BATCH


# -- users under control --


def begun(**vu_controls: VuControl) -> RunControl:
    """A control whose run has begun, on the loop that runs now."""
    control = RunControl()
    control.begin(vu_controls)
    return control


def test_users_are_moved_and_whoever_waits_is_told() -> None:
    async def main() -> list[int]:
        vu_control = VuControl(2, 10)
        control = begun(one=vu_control)
        wanted = [vu_control.wanted]
        for move in (lambda: control.set_vus(5), control.pause, control.resume):
            vu_control.changed.clear()
            asyncio.get_running_loop().call_later(1, move)
            await vu_control.changed.wait()
            wanted.append(vu_control.wanted)
        return wanted

    assert run_fake(main) == [2, 5, 0, 5]


def test_every_method_may_be_called_from_another_thread() -> None:
    async def main() -> None:
        vu_control = VuControl(0, 10)
        control = begun(one=vu_control)
        await asyncio.to_thread(control.set_vus, 7)
        await asyncio.wait_for(vu_control.changed.wait(), 30)
        assert vu_control.wanted == 7
        await asyncio.to_thread(control.pause)
        assert vu_control.wanted == 0
        await asyncio.to_thread(control.resume)
        assert vu_control.wanted == 7
        stopped = asyncio.create_task(control.stop_requested.wait())
        await asyncio.to_thread(control.stop, "enough")
        await asyncio.wait_for(stopped, 30)
        interrupted = asyncio.create_task(control.interrupt_requested.wait())
        await asyncio.to_thread(control.interrupt, "at once")
        await asyncio.wait_for(interrupted, 30)
        assert control.reason == "enough"

    asyncio.run(main())


def test_what_was_asked_for_before_the_run_holds_when_it_begins() -> None:
    async def main() -> None:
        control = RunControl()
        control.set_vus(5)
        control.pause()
        vu_control = VuControl(2, 10)
        control.begin({"one": vu_control})
        assert (vu_control.vus, vu_control.paused) == (5, True)

    run_fake(main)


def test_the_scenario_is_named_where_there_are_several() -> None:
    async def main() -> None:
        one, two = VuControl(1, 10), VuControl(2, 3)
        control = begun(one=one, two=two)
        control.set_vus(4, "one")
        control.pause("two")
        assert (one.wanted, two.wanted) == (4, 0)
        with pytest.raises(UsageError, match="name one of one, two"):
            control.set_vus(3)
        with pytest.raises(UsageError, match="'six' is not externally controlled; one, two can"):
            control.resume("six")
        with pytest.raises(UsageError, match=r"at most max_vus \(3\), not 4"):
            control.set_vus(4, "two")
        assert (one.wanted, two.wanted) == (4, 0)

    run_fake(main)


@pytest.mark.parametrize("vus", [-1, 2.0, True, "3"])
def test_a_number_of_users_that_cannot_be_is_refused_at_once(vus: Any) -> None:
    with pytest.raises(UsageError, match="whole number, 0 or more"):
        RunControl().set_vus(vus)


def test_moves_without_anything_to_move_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match=r"no scenario of this run has load=External"):
            begun().pause()
        control = RunControl()
        control.set_vus(99)
        with pytest.raises(UsageError, match="at most max_vus"):
            control.begin({"one": VuControl(1, 10)})

    run_fake(main)


def test_a_control_is_for_one_run() -> None:
    async def main() -> None:
        control = begun(one=VuControl(1, 10))
        with pytest.raises(UsageError, match="the handle of one run"):
            control.begin({})
        control.end()
        with pytest.raises(UsageError, match="has ended"):
            control.set_vus(1)
        control.stop("late")  # says nothing: a run may end while somebody decides to stop it

    run_fake(main)


def test_a_loop_that_is_closed_is_not_told() -> None:
    control = RunControl()

    async def main() -> None:
        control.begin({})

    run_fake(main)
    control.stop("late")  # must not raise: nobody is left to tell
    assert not control.stop_requested.is_set()
    assert control.reason == ""
