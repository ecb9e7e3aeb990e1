"""Cancelling and deadlines inside of runs, as asyncio has them.

Each test is a whole run, on both kinds of loop and in asyncio's debug mode.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from ghostcore import VU, ConstantVUs, scenario
from tests.support.manners import Runs, task_of
from tests.support.waiting import turns

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG_S = 3600.0


# ---- cancelling the task of a user --------------------------------------------------------------


def test_a_user_that_cancels_itself_learns_of_it_at_its_next_wait(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        waits: list[Awaitable[None]] = [vu.sleep(LONG_S), asyncio.sleep(LONG_S), asyncio.sleep(0)]
        for number, wait in enumerate(waits):
            assert me.cancel(f"number {number}")
            assert me.cancelling() == 1 and not me.cancelled()
            with pytest.raises(asyncio.CancelledError) as caught:
                await wait
            assert caught.value.args == (f"number {number}",)
            assert me.uncancel() == 0 and me.cancelling() == 0
            await vu.sleep(0.001)

    runs.well(one)


def test_cancelled_by_another_task_with_words(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()

        async def cancel() -> None:
            await vu.sleep(0.001)
            assert me.cancel("by another")
            assert me.cancelling() == 1

        for wait in (vu.sleep(LONG_S), asyncio.sleep(LONG_S), asyncio.Event().wait()):
            cancelling = asyncio.create_task(cancel())
            with pytest.raises(asyncio.CancelledError, match="by another"):
                await wait
            assert me.uncancel() == 0
            await cancelling
        await vu.sleep(0.001)

    runs.well(one, users=2)


def test_cancelled_twice_is_one_error_and_counted_twice(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            me.cancel("first")
            me.cancel("second")

        loop.call_soon(cancel)
        with pytest.raises(asyncio.CancelledError):
            await vu.sleep(LONG_S)
        assert me.cancelling() == 2
        await vu.sleep(0.001)  # the second did not wait for its turn
        assert (me.uncancel(), me.uncancel(), me.uncancel()) == (1, 0, 0)
        # Once more while the first is dealt with:
        with pytest.raises(asyncio.CancelledError, match="again"):
            try:
                me.cancel("once")
                await vu.sleep(LONG_S)
            except asyncio.CancelledError:
                loop.call_soon(me.cancel, "again")
                await vu.sleep(LONG_S)
        assert (me.uncancel(), me.uncancel()) == (1, 0)

    runs.well(one)


def test_one_that_swallows_it_goes_on(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        asyncio.get_running_loop().call_soon(task_of().cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await vu.sleep(LONG_S)
        assert task_of().cancelling() == 1
        await vu.sleep(0.001)
        await asyncio.sleep(0)

    runs.well(one)


def test_a_result_and_a_cancellation_in_one_turn(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me, loop = task_of(), asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()

        def both() -> None:
            future.set_result("result")
            me.cancel("after the result")

        loop.call_soon(both)
        with pytest.raises(asyncio.CancelledError, match="after the result"):
            await future
        assert future.result() == "result" and me.uncancel() == 0

        other: asyncio.Future[str] = loop.create_future()

        def reverse() -> None:
            me.cancel("before the result")
            with contextlib.suppress(asyncio.InvalidStateError):
                other.set_result("late")

        loop.call_soon(reverse)
        with pytest.raises(asyncio.CancelledError, match="before the result"):
            await other
        assert other.cancelled() and me.uncancel() == 0

    runs.well(one)


def test_cancelling_reaches_the_task_that_is_awaited(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me, loop = task_of(), asyncio.get_running_loop()
        told: list[object] = []

        async def child() -> str:
            try:
                await vu.sleep(LONG_S)
            except asyncio.CancelledError as error:
                told.append(error.args)
                raise
            return "never"

        awaited = asyncio.create_task(child())
        await turns()
        loop.call_soon(me.cancel, "down")
        with pytest.raises(asyncio.CancelledError):
            await awaited
        assert told == [("down",)] and awaited.cancelled()
        assert me.uncancel() == 0

        # One that refuses: its result is what is awaited, as asyncio has it.
        async def stubborn() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await vu.sleep(LONG_S)
            return "stayed"

        awaited = asyncio.create_task(stubborn())
        await turns()
        loop.call_soon(me.cancel)
        assert await awaited == "stayed"
        assert me.uncancel() == 0

        # Under a shield it goes on.
        kept = asyncio.create_task(asyncio.sleep(0.005, "kept"))
        loop.call_soon(me.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.shield(kept)
        assert me.uncancel() == 0 and await kept == "kept"

    runs.well(one)


def test_cancelling_inside_an_async_generator(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me, loop = task_of(), asyncio.get_running_loop()
        cleaned: list[str] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                await vu.sleep(LONG_S)
                yield 2
            finally:
                await asyncio.sleep(0)
                cleaned.append("cleaned")

        loop.call_later(0.005, me.cancel, "in the generator")
        with pytest.raises(asyncio.CancelledError, match="in the generator"):
            async for number in numbers():
                assert number == 1
        assert cleaned == ["cleaned"] and me.uncancel() == 0

    runs.well(one)


def test_a_cancellation_that_is_caught_may_end_in_another_error(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        asyncio.get_running_loop().call_soon(task_of().cancel)
        try:
            await vu.sleep(LONG_S)
        except asyncio.CancelledError:
            task_of().uncancel()
            raise ValueError("instead") from None

    result = runs.result(one)
    assert result.metrics["script_errors"].count == 1
    assert "ValueError: instead" in result.errors[0].samples[0].text


async def cancels_itself(vu: VU) -> None:
    task_of().cancel()
    await vu.sleep(LONG_S)


async def cancelled_by_its_child(vu: VU) -> None:
    me = task_of()

    async def child() -> None:
        me.cancel()

    await asyncio.gather(child(), vu.sleep(0.001))


async def raises_it(vu: VU) -> None:
    await vu.sleep(0)
    raise asyncio.CancelledError


@pytest.mark.parametrize("body", [cancels_itself, cancelled_by_its_child, raises_it])
def test_a_cancellation_of_the_scripts_own_is_its_error(
    runs: Runs, body: Callable[[VU], Coroutine[Any, Any, None]]
) -> None:
    result = runs.of(scenario(load=ConstantVUs(2, 0.3, graceful_stop=1))(body))
    assert result.exit_code == 107
    failed = result.metrics["iterations_failed"].count
    assert failed == result.metrics["script_errors"].count == result.metrics["iterations"].count
    assert 2 <= failed < 20  # who fails before it has connected backs off
    assert "a cancellation that the script made itself" in result.errors[0].samples[0].text
    assert result.metrics.count_of("iterations_interrupted") == 0


def test_a_user_is_not_stepped_while_it_runs(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        order: list[str] = []
        operation: Any = vu.sleep(LONG_S)

        async def waiting() -> None:
            try:
                await operation
            finally:
                order.append("woken")

        task = asyncio.create_task(waiting())
        await turns()
        # It ends here and now, but whoever waits for it has its turn when this one has had its.
        operation.cancel()
        order.append("after")
        await turns()
        order.append("later")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert order == ["after", "woken", "later"]

    runs.well(one)


# ---- deadlines ----------------------------------------------------------------------------------


def test_deadlines_leave_no_cancellation_behind(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        for wait in (vu.sleep(LONG_S), asyncio.sleep(LONG_S), asyncio.Event().wait()):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.002) as deadline:
                    assert me.cancelling() == 0
                    await wait
            assert deadline.expired() and me.cancelling() == 0
            await vu.sleep(0)
        async with asyncio.timeout(LONG_S):
            await vu.sleep(0.001)
        assert me.cancelling() == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(vu.sleep(LONG_S), 0.002)
        await asyncio.wait_for(vu.sleep(0.001), LONG_S)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await vu.sleep(LONG_S)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(vu.sleep(LONG_S), 0)
        assert me.cancelling() == 0

    runs.well(one, users=3)


def test_nested_deadlines_end_the_block_that_is_over(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002) as outer:
                async with asyncio.timeout(LONG_S) as inner:
                    await vu.sleep(LONG_S)
        assert outer.expired() and not inner.expired()
        async with asyncio.timeout(LONG_S) as outer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.002) as inner:
                    await vu.sleep(LONG_S)
            await vu.sleep(0.001)
        assert inner.expired() and not outer.expired()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LONG_S) as moved:
                moved.reschedule(asyncio.get_running_loop().time() + 0.002)
                await vu.sleep(LONG_S)
        assert task_of().cancelling() == 0

    runs.well(one)


def test_a_cancellation_from_outside_is_no_timeout(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        asyncio.get_running_loop().call_later(0.002, me.cancel, "outside")
        with pytest.raises(asyncio.CancelledError, match="outside"):
            async with asyncio.timeout(LONG_S) as deadline:
                await vu.sleep(LONG_S)
        assert not deadline.expired() and me.uncancel() == 0

    runs.well(one)


def test_deadlines_at_the_very_moment(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        ends: set[str] = set()
        for number in range(60):
            try:
                async with asyncio.timeout(0.002):
                    await vu.sleep(0.0015 + 0.00002 * number)
                    ends.add("slept")
            except TimeoutError:
                ends.add("late")
            assert me.cancelling() == 0
            await vu.sleep(0)
        assert ends

    runs.well(one, users=10)


# ---- groups -------------------------------------------------------------------------------------


def test_a_failing_sibling_ends_the_group(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me, cancelled = task_of(), []

        async def long() -> None:
            try:
                await vu.sleep(LONG_S)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        async def failing() -> None:
            await vu.sleep(0.001)
            raise ValueError("sibling")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(long())
                group.create_task(failing())
                await vu.sleep(LONG_S)  # the body is cancelled as well
        assert caught.value.subgroup(ValueError) and cancelled == [1]
        assert me.cancelling() == 0
        await vu.sleep(0.001)

    runs.well(one, users=3, iterations=2)


def test_gather_wait_and_first_completed(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        async def failing() -> None:
            await vu.sleep(0.001)
            raise ValueError("one of them")

        with pytest.raises(ValueError, match="one of them"):
            await asyncio.gather(failing(), vu.sleep(0.003))
        assert [
            type(each)
            for each in await asyncio.gather(failing(), vu.sleep(0), return_exceptions=True)
        ] == [ValueError, type(None)]
        done, pending = await asyncio.wait(
            {asyncio.ensure_future(vu.sleep(0.001)), asyncio.ensure_future(vu.sleep(LONG_S))},
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert (len(done), len(pending)) == (1, 1)
        for each in pending:
            each.cancel()
        for ended in asyncio.as_completed([vu.sleep(0.002), vu.sleep(0.001)]):
            await ended
        asyncio.get_running_loop().call_later(0.002, task_of().cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(vu.sleep(LONG_S), asyncio.sleep(LONG_S))
        assert task_of().uncancel() == 0

    runs.well(one)


def test_queues_between_a_user_and_its_task(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(2)

        async def reader() -> None:
            for number in range(50):
                if number % 7 == 0:
                    await vu.sleep(0)
                await queue.put(number)

        reading = asyncio.create_task(reader())
        assert [await queue.get() for _ in range(50)] == list(range(50))
        await reading
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await queue.get()
        queue.put_nowait(50)
        assert await queue.get() == 50

    runs.well(one, users=4)


# ---- the end of a run ---------------------------------------------------------------------------


def test_the_end_of_a_run_cancels_whatever_is_awaited(runs: Runs) -> None:
    ends: dict[int, str] = {}

    @scenario(load=ConstantVUs(6, 0.1, graceful_stop=0))
    async def one(vu: VU) -> None:
        waits: list[Callable[[], Awaitable[object]]] = [
            lambda: vu.sleep(LONG_S),
            lambda: asyncio.sleep(LONG_S),
            lambda: asyncio.Event().wait(),
            lambda: asyncio.create_task(asyncio.sleep(LONG_S)),
            lambda: asyncio.gather(vu.sleep(LONG_S), asyncio.sleep(LONG_S)),
            lambda: asyncio.wait_for(vu.sleep(LONG_S), LONG_S),
        ]
        try:
            await waits[vu.id - 1]()
        except asyncio.CancelledError:
            ends[vu.id] = "cancelled"
            await asyncio.sleep(0)
            await vu.sleep(0.001)
            ends[vu.id] = "cleaned up"
            raise

    result = runs.of(one)
    assert ends == dict.fromkeys(range(1, 7), "cleaned up")
    assert result.metrics["iterations_interrupted"].count == 6
    assert result.metrics.count_of("script_errors") == 0
