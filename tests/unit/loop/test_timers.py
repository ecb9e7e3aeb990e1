"""The timer queue, and operations that are awaited: on both kinds of loop and a fake clock."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any

import pytest
import uvloop

from ghostcore.errors import EngineError, UsageError
from ghostcore.loop.timers import Sleep, Stepper, TimerQueue, live_waiters
from ghostcore.testing.fakeclock import run_fake
from tests.support.waiting import turns

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG_S = 3600.0
MS = 1_000_000
SECOND = 1_000_000_000


@pytest.fixture(params=["uvloop", "asyncio", "uvloop stepped", "asyncio stepped"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs ``main(queue)`` to its end on each kind of loop, and closes the queue. Stepped: every
    task has a Stepper for its coroutine."""
    kind, _, stepped = request.param.partition(" ")

    def execute(main: Any) -> Any:
        async def body() -> Any:
            loop = asyncio.get_running_loop()
            if stepped:
                loop.set_task_factory(stepping)
            queue = TimerQueue(loop)
            try:
                return await asyncio.ensure_future(main(queue))
            finally:
                queue.close()

        coroutine: Coroutine[Any, Any, Any] = body()
        return uvloop.run(coroutine) if kind == "uvloop" else asyncio.run(coroutine)

    return execute


def stepping(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(Stepper(loop, coroutine), loop=loop, **options)


@pytest.fixture(autouse=True)
def count_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts of other tests that cannot be stopped leave operations behind."""
    monkeypatch.setitem(before, "waiters", live_waiters())


before = {"waiters": 0}


def pending() -> int:
    return live_waiters() - before["waiters"]


async def finish(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


# ---- the queue ----------------------------------------------------------------------------------


def test_never_early_and_in_order(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        draw = random.Random(5)
        fired: list[tuple[int, int]] = []
        start_ns = queue.now_ns()

        def note(due_ns: int) -> None:
            fired.append((due_ns, queue.now_ns()))

        dues = [start_ns + draw.randrange(60 * MS) for _ in range(3000)]
        for due_ns in dues:
            queue.call_at(due_ns, partial(note, due_ns))
        assert len(queue) == 3000
        await queue.sleep_until(start_ns + 60 * MS)
        await turns()
        assert [due_ns for due_ns, _ in fired] == sorted(dues)
        assert all(now_ns >= due_ns for due_ns, now_ns in fired)
        assert len(queue) == 0
        assert queue.fired == 3001
        assert queue.late_ns_max >= max(now_ns - due_ns for due_ns, now_ns in fired) - 100 * MS

    run(main)


def test_sleep_is_never_short(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        for seconds in (0.0, 1e-9, 0.0001, 0.00149, 0.002, 0.0101):
            before_ns = queue.now_ns()
            await queue.sleep(seconds)
            assert queue.now_ns() - before_ns >= seconds * 1e9
        await queue.sleep_until(0)  # long past: one turn of the loop
        await queue.sleep_until(-5)

    run(main)


def test_thousands_of_sleepers(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def sleeper(number: int) -> bool:
            seconds = (number % 50) / 1000
            before_ns = queue.now_ns()
            await queue.sleep(seconds)
            return queue.now_ns() - before_ns >= seconds * 1e9

        slept = await asyncio.gather(*(sleeper(number) for number in range(5000)))
        assert slept == [True] * 5000
        assert len(queue) == 0

    run(main)


def test_cancelled_timers_do_not_fire_and_leave_the_others_in_order(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        draw = random.Random(6)
        fired: list[int] = []
        base_ns = queue.now_ns() + 20 * MS
        timers = {}
        for number in range(2000):
            due_ns = base_ns + draw.randrange(20 * MS)
            timers[number] = (due_ns, queue.call_at(due_ns, partial(fired.append, number)))
        gone = set(draw.sample(range(2000), 1200))
        for number in gone:
            queue.cancel(timers[number][1])
            queue.cancel(timers[number][1])  # harmless
        assert len(queue) == 800
        await queue.sleep_until(base_ns + 25 * MS)
        left = [number for number in timers if number not in gone]
        assert sorted(fired) == left
        dues = [timers[number][0] for number in fired]
        assert dues == sorted(dues)

    run(main)


def test_a_timer_may_cancel_and_set_others(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        fired: list[str] = []
        now_ns = queue.now_ns()
        never = queue.call_at(now_ns + 2, lambda: fired.append("never"))

        def first() -> None:
            fired.append("first")
            queue.cancel(never)
            queue.call_at(now_ns, lambda: fired.append("nested"))  # past: but not in this pass
            queue.call_at(queue.now_ns() + 5 * MS, lambda: fired.append("later"))

        queue.call_at(now_ns + 1, first)
        await queue.sleep(0.02)
        assert fired == ["first", "nested", "later"]

    run(main)


def test_a_timer_that_sets_itself_for_the_past_leaves_the_loop_its_turn(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            if not stopped:
                queue.call_at(0, again)

        stopped = False
        queue.call_at(0, again)
        for _ in range(50):
            await asyncio.sleep(0)
        stopped = True
        await queue.sleep(0.001)
        assert count > 0 and len(queue) == 0

    run(main)


def test_a_failing_timer_is_reported_and_the_rest_go_on(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        loop = asyncio.get_running_loop()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        fired: list[int] = []
        now_ns = queue.now_ns()
        queue.call_at(now_ns, lambda: 1 / 0)
        queue.call_at(now_ns + 1, lambda: fired.append(1))
        await queue.sleep(0.002)
        assert fired == [1]
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]

    run(main)


def test_closed_queues(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        other = TimerQueue(asyncio.get_running_loop())
        fired: list[int] = []
        other.call_at(other.now_ns(), lambda: fired.append(1))
        other.close()
        other.close()
        assert other.closed and len(other) == 0
        await asyncio.sleep(0.01)
        assert fired == []
        with pytest.raises(EngineError, match="closed"):
            other.call_at(0, lambda: None)
        with pytest.raises(EngineError, match="closed"):
            await other.sleep(0)

    run(main)


@pytest.mark.parametrize("seconds", [-0.001, float("nan"), float("inf"), 1e10])
def test_sleeps_that_cannot_be(run: Any, seconds: float) -> None:
    async def main(queue: TimerQueue) -> None:
        with pytest.raises(UsageError, match="sleep: seconds"):
            queue.sleep(seconds)

    run(main)


def test_the_clock_of_the_loop_is_used_where_it_has_one() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        queue = TimerQueue(loop)
        woken: list[int] = []

        async def sleeper(due_ns: int) -> None:
            await queue.sleep_until(due_ns)
            woken.append(queue.now_ns())

        start_ns = queue.now_ns()
        dues = [LONG * SECOND + extra for LONG in (3600, 1, 60) for extra in (0, 1, 7)]
        await asyncio.gather(*(sleeper(start_ns + due_ns) for due_ns in dues))
        assert [now_ns - start_ns for now_ns in woken] == sorted(dues)
        soon = asyncio.ensure_future(finish(queue.sleep(50)))
        await queue.sleep(10)
        sooner = queue.now_ns()
        await queue.sleep(1)  # set while a later one is armed
        assert queue.now_ns() - sooner == SECOND
        await soon
        assert queue.late_ns_max == 0
        queue.close()
        return woken

    assert run_fake(main) == run_fake(main)


# ---- operations: what asyncio does with them ----------------------------------------------------


def test_cancelling_a_task_takes_the_timer_away(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        task = asyncio.ensure_future(finish(queue.sleep(LONG_S)))
        await turns()
        assert (len(queue), pending()) == (1, 1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert (len(queue), pending()) == (0, 0)
        # Before its first step:
        task = asyncio.ensure_future(finish(queue.sleep(LONG_S)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (len(queue), pending()) == (0, 0)

    run(main)


def test_timeouts(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await queue.sleep(LONG_S)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.sleep(LONG_S), 0.005)
        await asyncio.wait_for(queue.sleep(0.001), LONG_S)
        async with asyncio.timeout(LONG_S):
            await queue.sleep(0.001)
        assert (len(queue), pending()) == (0, 0)

    run(main)


def test_gather_wait_and_shield(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        both = await asyncio.gather(queue.sleep(0.002), queue.sleep(0.001))
        assert list(both) == [None, None]
        gathered = asyncio.gather(queue.sleep(LONG_S), queue.sleep(LONG_S))
        await turns()
        gathered.cancel("both")
        with pytest.raises(asyncio.CancelledError):
            await gathered
        results = asyncio.gather(queue.sleep(LONG_S), queue.sleep(0), return_exceptions=True)
        await queue.sleep(0.001)
        results.cancel()
        with pytest.raises(asyncio.CancelledError):
            await results

        long = asyncio.ensure_future(queue.sleep(LONG_S))
        short = asyncio.ensure_future(queue.sleep(0.001))
        done, waiting = await asyncio.wait({long, short}, return_when=asyncio.FIRST_COMPLETED)
        assert (done, waiting) == ({short}, {long})
        assert isinstance(long, Sleep) and not long.done() and short.result() is None
        assert long.cancel() and long.cancelled() and not long.cancel()
        with pytest.raises(asyncio.CancelledError):
            long.result()
        with pytest.raises(asyncio.CancelledError):
            long.exception()

        inner = queue.sleep(0.005)
        outer = asyncio.shield(inner)
        await turns()
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await turns()
        assert not inner.cancelled()
        await queue.sleep(0.01)
        assert inner.done() and inner.exception() is None
        assert (len(queue), pending()) == (0, 0)

    run(main)


def test_task_groups(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def fail() -> None:
            await queue.sleep(0.001)
            raise ValueError("one of them")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(finish(queue.sleep(LONG_S)))
                group.create_task(fail())
                await queue.sleep(LONG_S)
        assert caught.value.subgroup(ValueError) is not None
        assert (len(queue), pending()) == (0, 0)

    run(main)


def test_the_woken_task_is_current_and_in_its_context(run: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=-1)

    async def main(queue: TimerQueue) -> None:
        async def user(number: int) -> None:
            variable.set(number)
            task = asyncio.current_task()
            for _ in range(5):
                await queue.sleep(0.0005 * (number % 3))
                assert asyncio.current_task() is task
                assert variable.get() == number
                variable.set(number)

        await asyncio.gather(*(user(number) for number in range(30)))
        assert variable.get() == -1

    run(main)


def test_one_task_at_a_time(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        operation = queue.sleep(0.005)
        first = asyncio.ensure_future(finish_directly(operation))
        await turns()
        with pytest.raises(UsageError, match="another task"):
            await operation
        await first
        await operation  # it is done: whoever asks gets its result

    run(main)


async def finish_directly(operation: Any) -> None:
    await operation


def test_states_of_an_operation(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        operation = queue.sleep(0.001)
        assert operation.get_loop() is asyncio.get_running_loop()
        assert not operation.done() and not operation.cancelled()
        for ask in (operation.result, operation.exception):
            with pytest.raises(asyncio.InvalidStateError):
                ask()
        called: list[Any] = []
        operation.add_done_callback(called.append)
        operation.add_done_callback(lambda done: called.append("second"))
        assert operation.remove_done_callback(called.append) == 1
        operation.add_done_callback(called.append)
        await queue.sleep(0.005)
        await turns()
        assert called == ["second", operation]
        operation.add_done_callback(called.append)  # late: still called, through the loop
        await turns()
        assert called == ["second", operation, operation]
        assert not operation.cancel()
        # Cancelled before anybody asked:
        unused = queue.sleep(LONG_S)
        assert unused.cancel() and unused.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await unused
        assert pending() == 0

    run(main)


def test_an_exception_in_the_woken_task_stays_in_it(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def fail(error: BaseException) -> None:
            await queue.sleep(0.001)
            raise error

        class Odd(BaseException):
            pass

        task = asyncio.ensure_future(fail(ValueError("mine")))
        others = [asyncio.ensure_future(finish(queue.sleep(0.001))) for _ in range(3)]
        await asyncio.gather(*others)
        with pytest.raises(ValueError, match="mine"):
            await task
        with pytest.raises(Odd):
            await asyncio.ensure_future(fail(Odd()))

    run(main)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_woken_task_stops_the_loop(run: Any, error: type[BaseException]) -> None:
    async def main(queue: TimerQueue) -> None:
        async def interrupt() -> None:
            await queue.sleep(0.001)
            raise error

        task = asyncio.ensure_future(interrupt())
        try:
            await queue.sleep(LONG_S)
        finally:
            with pytest.raises(error):
                task.result()

    with pytest.raises(error):
        run(main)


def test_an_interrupt_in_a_timer_leaves_the_rest_awake(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        queue.call_at(queue.now_ns() + MS, interrupt)
        try:
            await queue.sleep(LONG_S)
        finally:
            other = asyncio.ensure_future(finish(queue.sleep(0.001)))
            await other

    with pytest.raises(KeyboardInterrupt):
        run(main)
