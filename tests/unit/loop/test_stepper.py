"""Coroutines that are stepped in place of their task: whatever they do, asyncio's own task would
have made the same of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
import types
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from ghostcore.loop.timers import Stepper, TimerQueue, live_waiters
from ghostcore.testing.fakeclock import run_fake

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG_S = 3600.0

Make = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


def stepped(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    loop = asyncio.get_running_loop()
    return loop.create_task(Stepper(loop, coroutine), name="stepped")


def plain(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine, name="stepped")


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Any:
    def execute(main: Callable[[TimerQueue], Coroutine[Any, Any, Any]]) -> Any:
        async def body() -> Any:
            queue = TimerQueue(asyncio.get_running_loop())
            try:
                return await main(queue)
            finally:
                queue.close()

        return uvloop.run(body()) if request.param == "uvloop" else asyncio.run(body())

    return execute


# ---- it does what it is for ---------------------------------------------------------------------


def test_the_task_is_not_woken_from_operation_to_operation(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        waited_for = []

        async def user() -> str:
            for _ in range(3):
                await queue.sleep(0.0001)
                # While a task of asyncio runs it waits for nothing.
                waited_for.append(asyncio.current_task()._fut_waiter)  # type: ignore[union-attr]
            await asyncio.sleep(0)
            waited_for.append(asyncio.current_task()._fut_waiter)  # type: ignore[union-attr]
            return "done"

        task = stepped(user())
        assert await task == "done"
        assert waited_for == [task.get_coro()] * 3 + [None]

    run(main)


def test_who_looks_at_the_task_sees_the_coroutine(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user() -> None:
            await queue.sleep(LONG_S)

        task = stepped(user())
        await asyncio.sleep(0)
        (frame,) = task.get_stack()
        assert (frame.f_code.co_name, frame.f_lineno) == ("user", user.__code__.co_firstlineno + 1)
        coroutine: Any = task.get_coro()
        assert coroutine.cr_code is user.__code__ and coroutine.cr_frame is frame
        assert not coroutine.cr_running and coroutine.cr_origin is None
        assert coroutine.cr_await is not None
        assert coroutine.__name__ == "user" and coroutine.__qualname__ == user.__qualname__
        assert asyncio.iscoroutine(coroutine)
        assert "user() running at" in repr(task) and "'stepped'" in repr(task)
        assert "user" in repr(coroutine)
        task.cancel()
        await asyncio.wait([task])

    run(main)


def test_an_exception_shows_where_it_was_raised(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user() -> None:
            await queue.sleep(0)
            raise ValueError("mine")

        task = stepped(user())
        await asyncio.wait([task])
        error = task.exception()
        assert repr(error) == "ValueError('mine')"
        last = traceback.extract_tb(error.__traceback__)[-1]  # type: ignore[union-attr]
        assert (last.name, last.line) == ("user", 'raise ValueError("mine")')

    run(main)


def test_its_context_is_the_tasks_from_step_to_step(run: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=-1)

    async def main(queue: TimerQueue) -> None:
        async def user(number: int) -> None:
            variable.set(number)
            for turn in range(4):
                await (queue.sleep(0) if turn % 2 else asyncio.sleep(0))
                assert variable.get() == number

        await asyncio.gather(*(stepped(user(number)) for number in range(20)))
        assert variable.get() == -1

    run(main)


def test_the_ended_task_is_freed_without_the_collector(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user(how: str) -> None:
            await queue.sleep(0.0001)
            if how == "raises":
                raise ValueError
            if how == "returns later":
                await asyncio.sleep(0)
            if how == "is cancelled":
                await queue.sleep(LONG_S)

        gc.collect()
        gc.disable()
        try:
            for how in ("returns", "raises", "returns later", "is cancelled"):
                task = stepped(user(how))
                await queue.sleep(0.001)
                task.cancel()
                await asyncio.wait([task])
                task.cancelled() or task.exception()
                gone = weakref.ref(task)
                del task
                await asyncio.sleep(0)
                assert gone() is None, how
        finally:
            gc.enable()

    run(main)


def test_a_coroutine_that_is_thrown_away_leaves_nothing_waiting(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user() -> None:
            await queue.sleep(LONG_S)

        before = live_waiters()
        for coroutine in (user(), Stepper(asyncio.get_running_loop(), user())):
            coroutine.send(None)
            assert (len(queue), live_waiters()) == (1, before + 1)
            coroutine.close()
            assert (len(queue), live_waiters()) == (0, before)

    run(main)


def test_by_hand_it_is_the_coroutine() -> None:
    async def user() -> str:
        assert await Echo("question") == "answer"
        with pytest.raises(ValueError, match="thrown"):
            await Echo("again")
        return "end"

    loop = asyncio.new_event_loop()
    try:
        by_hand = Stepper(loop, user())
        assert by_hand.send(None) == "question"
        assert by_hand.send("answer") == "again"
        with pytest.raises(StopIteration, match="end"):
            by_hand.throw(ValueError("thrown"))
        never_begun = Stepper(loop, user())
        never_begun.close()
    finally:
        loop.close()


class Echo:
    def __init__(self, yielded: object) -> None:
        self._yielded = yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._yielded)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_step_stops_the_loop(run: Any, error: type[BaseException]) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user() -> None:
            await queue.sleep(0)
            raise error

        task = stepped(user())
        try:
            await queue.sleep(0.01)
            raise AssertionError("the loop went on")
        finally:
            await asyncio.wait([task])
            with pytest.raises(error):
                task.result()

    with pytest.raises(error):
        run(main)


# ---- the same as asyncio's task -----------------------------------------------------------------


@types.coroutine
def bare_yield(what: object) -> Generator[object, None, None]:
    yield what


class Odd(BaseException):
    pass


class Script:
    """What one user does, as a list of words, and a log of what came of it."""

    def __init__(self, words: list[str], queue: TimerQueue) -> None:
        self.words = words
        self.queue = queue
        self.log: list[object] = []
        self.shared = queue.sleep(0.004)

    async def main(self) -> str:
        for number, word in enumerate(self.words):
            try:
                self.log.append((number, word, await self.do(word)))
            except (ValueError, TimeoutError, RuntimeError, asyncio.CancelledError) as error:
                self.log.append((number, word, type(error).__name__, error.args))
                if word.endswith("!"):
                    raise
            task = asyncio.current_task()
            assert task is not None
            self.log.append((task.cancelling(), self.queue.now_ns() // 1000))
        return "end"

    async def do(self, word: str) -> object:  # noqa: PLR0911
        queue, task = self.queue, asyncio.current_task()
        assert task is not None
        match word.rstrip("!"):
            case "sleep":
                return await valued(queue.sleep(0.001))
            case "turn":
                return await valued(asyncio.sleep(0))
            case "future":
                future = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(0.0005, set_if_pending, future)
                return await future
            case "failing":
                return await valued(fails(queue))
            case "child":
                return await plain(fails(queue))
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(nap(queue, 0.0007))
                    return await valued(queue.sleep(0.0003))
            case "timeout":
                async with asyncio.timeout(0.0015):
                    return await valued(queue.sleep(0.002))
            case "wait_for":
                return await asyncio.wait_for(queue.sleep(0.002), 0.0015)
            case "shield":
                return await asyncio.shield(self.shared)
            case "generator":
                return [one async for one in numbers(queue)]
            case "yield":
                return await valued(bare_yield(None))
            case "garbage":
                return await valued(bare_yield("no future"))
            case "itself":
                return await task
            case "cancel":
                task.cancel("by itself")
            case "uncancel":
                task.uncancel()
            case "cancel and sleep":
                task.cancel("by itself")
                return await valued(queue.sleep(0.001))
            case "cancel and future":
                task.cancel("by itself")
                return await valued(asyncio.sleep(0.001))
            case "cancel and turn":
                task.cancel("by itself")
                return await valued(asyncio.sleep(0))
            case "cancel and return":
                self.words.clear()
                task.cancel("by itself")
            case "cancel and raise":
                task.cancel("by itself")
                raise Odd
            case "raise":
                raise ValueError("raised")
            case "stop":
                raise StopIteration("not for a coroutine")
        return None


def valued(awaitable: Awaitable[object]) -> Awaitable[object]:
    """The same: what it comes to is compared too, although its type says None."""
    return awaitable


def set_if_pending(future: asyncio.Future[str]) -> None:
    if not future.done():
        future.set_result("set")


async def nap(queue: TimerQueue, seconds: float) -> None:
    await queue.sleep(seconds)


async def fails(queue: TimerQueue) -> None:
    await queue.sleep(0.0005)
    raise ValueError("failed")


async def numbers(queue: TimerQueue) -> AsyncGenerator[int, None]:
    for number in range(2):
        await queue.sleep(0.0002)
        yield number


WORDS = (
    "sleep", "turn", "future", "failing", "child", "group", "timeout", "wait_for", "shield",
    "generator", "yield", "garbage", "itself", "cancel", "uncancel", "cancel and sleep",
    "cancel and future", "cancel and turn", "cancel and return", "cancel and raise", "raise",
    "stop",
)  # fmt: skip

scripts = st.lists(st.sampled_from([*WORDS, "sleep", "sleep", "sleep!", "future!"]), max_size=8)
cancels = st.lists(st.integers(0, 30), max_size=3)


def outcome(make: Make, words: list[str], cancels_at: list[int]) -> list[object]:
    """All that can be seen of one user, which others cancel meanwhile, at tenths of a ms."""

    def cancel(task: asyncio.Task[Any], log: list[object]) -> None:
        log.append(task.cancel("by others"))

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        queue = TimerQueue(loop)
        script = Script(list(words), queue)
        task = make(script.main())
        for at in cancels_at:
            # Mostly between the moments at which the user's own waits end.
            loop.call_later((at * 10 + 3) / 1e5, cancel, task, script.log)
        await asyncio.wait([task], timeout=0.1)
        assert task.done(), "it hangs"
        if task.cancelled():
            script.log.append("cancelled")
        elif task.exception() is not None:
            script.log.append(repr(task.exception()))
        else:
            script.log.append(task.result())
        script.shared.cancel()
        await asyncio.sleep(0)
        queue.close()
        return script.log

    return run_fake(main)


@given(scripts, cancels)
def test_whatever_it_does_its_task_would_have_made_the_same_of_it(
    words: list[str], cancels_at: list[int]
) -> None:
    assert outcome(stepped, words, cancels_at) == outcome(plain, words, cancels_at)


@pytest.mark.parametrize("word", WORDS)
def test_each_of_them_behind_an_operation(word: str) -> None:
    for words in ([word], ["sleep", word, "sleep"], ["sleep", word + "!", "sleep"]):
        assert outcome(stepped, words, []) == outcome(plain, words, [])


def test_two_that_await_one_operation(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        async def user(operation: Awaitable[Any]) -> str:
            await operation
            return "woken"

        operation: Any = queue.sleep(0.001)
        called: list[object] = []
        task = stepped(user(operation))
        await asyncio.sleep(0)
        operation.add_done_callback(called.append)
        assert await task == "woken"
        await asyncio.sleep(0)
        assert called == [operation]

    run(main)


@pytest.mark.parametrize("debug", [False, True])
def test_cancelled_when_an_operation_that_others_await_too_is_over(run: Any, debug: bool) -> None:
    async def main(queue: TimerQueue) -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)

        async def user(operation: Awaitable[Any]) -> None:
            await operation
            went_on.append(asyncio.current_task())
            await queue.sleep(LONG_S)

        went_on: list[object] = []
        for make in (plain, stepped):
            operation: Any = queue.sleep(0.001)
            task = make(user(operation))
            await asyncio.sleep(0)
            operation.add_done_callback(lambda _: None)
            while not operation.done():
                await asyncio.sleep(0)
            task.cancel()  # before it has had its turn
            await asyncio.wait([task], timeout=10)
            assert task.cancelled()
        assert went_on == []

    run(main)


def test_debug_mode_lets_two_await_one_operation(run: Any) -> None:
    async def main(queue: TimerQueue) -> None:
        asyncio.get_running_loop().set_debug(True)

        async def user(operation: Awaitable[Any]) -> str:
            await operation
            return "woken"

        operation: Any = queue.sleep(0.001)
        task = stepped(user(operation))
        await asyncio.sleep(0)
        operation.add_done_callback(lambda _: None)
        assert await asyncio.wait_for(task, 10) == "woken"

    run(main)
