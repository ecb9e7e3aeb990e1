"""Scenarios are coroutines of asyncio: the task that runs one, and whatever it may await.

Each test is a whole run, on both kinds of loop and in asyncio's debug mode.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import re
import types
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import pytest

import ghostcore
from ghostcore import VU, ConstantVUs, SharedIterations, scenario
from ghostcore._tracebacks import suspended_line
from tests.support.manners import Runs, task_of
from tests.support.waiting import turns

pytestmark = pytest.mark.usefixtures("no_leaks")

VARIABLE: contextvars.ContextVar[object] = contextvars.ContextVar("variable", default="unset")


@types.coroutine
def bare(value: object) -> Generator[object, object, object]:
    """What a coroutine without asyncio does: hands a value to whatever steps it."""
    return (yield value)


# ---- the task -----------------------------------------------------------------------------------


def test_the_task_of_a_user_is_one_and_the_same(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()
        assert isinstance(me, asyncio.Task) and asyncio.isfuture(me)
        assert me.get_loop() is asyncio.get_running_loop()
        name = me.get_name()
        assert name == "one"
        held, hashed = weakref.ref(me), hash(me)
        for wait in (vu.sleep(0), vu.sleep(0.001), asyncio.sleep(0), asyncio.sleep(0.001)):
            await wait
            assert task_of() is me and held() is me and hash(me) == hashed
            assert me.get_name() == name and name in repr(me)
            assert me in asyncio.all_tasks()
            assert not me.done() and not me.cancelled() and me.cancelling() == 0
            for ask in (me.result, me.exception):
                with pytest.raises(asyncio.InvalidStateError):
                    ask()
        me.set_name("renamed")
        await vu.sleep(0)
        assert task_of().get_name() == "renamed"

    runs.well(one)


def test_each_user_has_a_task_of_its_own_over_its_iterations(runs: Runs) -> None:
    tasks: dict[int, set[asyncio.Task[Any]]] = {}

    async def one(vu: VU) -> None:
        tasks.setdefault(vu.id, set()).add(task_of())
        await vu.sleep(0.001)
        assert task_of() in tasks[vu.id]

    runs.well(one, users=5, iterations=4)
    assert sorted(tasks) == [1, 2, 3, 4, 5]
    assert len(set().union(*tasks.values())) == 5
    assert all(task.done() and not task.cancelled() for each in tasks.values() for task in each)


def test_what_others_see_of_a_user_that_waits(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        me = task_of()

        async def look() -> str:
            await vu.sleep(0.001)
            assert me in asyncio.all_tasks() and asyncio.current_task() is not me
            assert "one" in repr(me) and "pending" in repr(me)
            assert me.get_stack() != []
            printed = io.StringIO()
            me.print_stack(file=printed)
            assert "one" in printed.getvalue() and "line" in printed.getvalue()
            # From the coroutine of the task one gets to the line that the scenario stands at.
            names = []
            coroutine: Any = me.get_coro()
            while hasattr(coroutine, "cr_await"):
                names.append(coroutine.__name__)
                coroutine = coroutine.cr_await
            assert "one" in names
            return suspended_line(me)

        looking = asyncio.create_task(look())
        await vu.sleep(0.01)
        where = await looking
        assert re.search(r"test_await_manners\.py:\d+", where), where

    runs.well(one)


def test_callbacks_and_results_of_the_task(runs: Runs) -> None:
    ended: list[asyncio.Future[Any]] = []

    async def one(vu: VU) -> None:
        me = task_of()
        me.add_done_callback(lambda _: ended.append(me))
        me.add_done_callback(ended.append)
        assert me.remove_done_callback(ended.append) == 1
        with pytest.raises(RuntimeError):
            me.set_result(None)
        with pytest.raises(RuntimeError):
            me.set_exception(ValueError())
        await vu.sleep(0.001)

    runs.well(one)
    assert len(ended) == 1 and ended[0].done() and ended[0].exception() is None


def test_a_task_may_wait_for_a_user_but_not_for_itself(runs: Runs) -> None:
    tasks: dict[int, asyncio.Task[Any]] = {}

    async def one(vu: VU) -> None:
        tasks[vu.id] = task_of()
        with pytest.raises(RuntimeError, match="await on itself"):
            await task_of()
        if vu.id == 2:
            await vu.sleep(0.01)
            return
        await vu.sleep(0.001)
        done, _ = await asyncio.wait({tasks[2]}, timeout=30)
        assert done == {tasks[2]}
        await asyncio.shield(tasks[2])

    runs.well(one, users=2)


# ---- contexts -----------------------------------------------------------------------------------


def test_context_variables_stay_with_their_user(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        assert VARIABLE.get() == "before the run"
        VARIABLE.set(vu.id)
        for wait in (vu.sleep(0.001 * (vu.id % 3)), asyncio.sleep(0), vu.sleep(0)):
            await wait
            assert VARIABLE.get() == vu.id

        async def child() -> None:
            assert VARIABLE.get() == vu.id
            VARIABLE.set("child")
            await vu.sleep(0.001)
            assert VARIABLE.get() == "child"

        await asyncio.create_task(child())
        seen: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: seen.set_result(VARIABLE.get()))
        assert await seen == vu.id
        await child()  # no task of its own: in this very context
        assert VARIABLE.get() == "child"
        assert contextvars.copy_context()[VARIABLE] == "child"

    token = VARIABLE.set("before the run")
    try:
        runs.well(one, users=20)
        assert VARIABLE.get() == "before the run"
    finally:
        VARIABLE.reset(token)


def test_tokens_are_good_in_the_whole_iteration(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        token = VARIABLE.set(1)
        await vu.sleep(0.001)
        inner = VARIABLE.set(2)
        await asyncio.sleep(0)
        VARIABLE.reset(inner)
        await vu.sleep(0)
        VARIABLE.reset(token)
        assert VARIABLE.get() == "unset"

    runs.well(one, users=3, iterations=3)


# ---- what can be awaited ------------------------------------------------------------------------


def test_whatever_asyncio_lets_one_await(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_later(0.001, future.set_result, "later")
        assert await future == "later"
        assert await future == "later"  # done: without waiting
        failing: asyncio.Future[None] = loop.create_future()
        loop.call_soon(failing.set_exception, ValueError("of the future"))
        with pytest.raises(ValueError, match="of the future"):
            await failing
        assert await asyncio.sleep(0, "slept") == "slept"
        assert await asyncio.sleep(0.001, "slept") == "slept"
        assert await asyncio.create_task(asyncio.sleep(0.001, "task")) == "task"
        assert await asyncio.to_thread(lambda: "thread") == "thread"
        assert await loop.run_in_executor(None, lambda: "executor") == "executor"
        event = asyncio.Event()
        loop.call_later(0.001, event.set)
        assert await event.wait()
        async with asyncio.Lock(), asyncio.Semaphore(1):
            await vu.sleep(0)
        assert await bare(None) is None  # a bare yield: one turn of the loop

        class Odd:
            def __await__(self) -> Generator[Any, None, str]:
                yield from asyncio.sleep(0.001).__await__()
                yield
                yield from vu.sleep(0.001).__await__()
                return "odd"

        assert await Odd() == "odd"
        done = await asyncio.gather(vu.sleep(0.001), asyncio.sleep(0.001, 2), own(vu))
        assert list(done) == [None, 2, "own"]

    async def own(vu: VU) -> str:
        await vu.sleep(0)
        return "own"

    runs.well(one, users=3)


def test_async_generators_and_their_clean_up(runs: Runs) -> None:
    closed: list[int] = []

    async def one(vu: VU) -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                for number in range(10):
                    await vu.sleep(0)
                    yield number
            finally:
                await vu.sleep(0.001)
                closed.append(vu.id)

        assert [number async for number in numbers()] == list(range(10))
        early = numbers()
        async for number in early:
            if number == 3:
                break
        await early.aclose()  # type: ignore[attr-defined]
        assert closed.count(vu.id) == 2

    runs.well(one, users=2)


def test_a_bare_yield_gives_the_loop_its_turn(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        order: list[str] = []
        asyncio.get_running_loop().call_soon(order.append, "callback")
        order.append("before")
        await bare(None)
        order.append("after")
        assert order == ["before", "callback", "after"]

    runs.well(one)


@pytest.mark.parametrize("garbage", [5, "text", object(), [], asyncio.sleep])
def test_what_cannot_be_awaited_is_told_where_it_was_tried(runs: Runs, garbage: object) -> None:
    async def one(vu: VU) -> None:
        with pytest.raises(RuntimeError, match="bad yield"):
            await bare(garbage)
        await vu.sleep(0.001)  # and goes on

    runs.well(one)


def test_futures_that_are_yielded_instead_of_awaited(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
            await bare(future)
        future.cancel()
        with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
            await bare(vu.sleep(5))
        await vu.sleep(0.001)

    runs.well(one)


def test_futures_of_another_loop_are_refused(runs: Runs) -> None:
    other = asyncio.new_event_loop()
    foreign: asyncio.Future[None] = other.create_future()

    async def one(vu: VU) -> None:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await foreign
        await vu.sleep(0.001)

    try:
        runs.well(one)
    finally:
        other.close()


def test_an_operation_awaited_again_and_by_two(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        operation: Any = vu.sleep(0.005)

        async def wait() -> None:
            await operation

        first = asyncio.create_task(wait())
        await turns()
        with pytest.raises(ghostcore.UsageError, match="another task"):
            await operation
        await first
        assert await operation is None  # it is done

    runs.well(one)


# ---- errors -------------------------------------------------------------------------------------


async def stop_iteration(vu: VU) -> None:
    raise StopIteration("enough")


async def stop_after_a_wait(vu: VU) -> None:
    await vu.sleep(0.001)
    raise StopIteration


async def stop_async_iteration(vu: VU) -> None:
    await vu.sleep(0)
    raise StopAsyncIteration("enough")


async def one_of_its_own(vu: VU) -> None:
    class Mine(Exception):
        pass

    await vu.sleep(0.001)
    raise Mine("of my own")


async def out_of_a_child(vu: VU) -> None:
    async def child() -> None:
        await vu.sleep(0)
        raise ValueError("of the child")

    await asyncio.create_task(child())


async def garbage_let_out(vu: VU) -> None:
    class Garbage:
        def __await__(self) -> Generator[object, None, None]:
            yield "garbage"

    await Garbage()


async def recursion(vu: VU) -> None:
    await vu.sleep(0)
    await recursion(vu)


async def exit_of_the_program(vu: VU) -> None:
    await vu.sleep(0.001)
    raise SystemExit(3)


class OfItsOwnKind(BaseException):
    """No Exception: as what test frameworks raise to end a test."""


async def no_exception(vu: VU) -> None:
    await vu.sleep(0.001)
    raise OfItsOwnKind("not for everyone")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (stop_iteration, "coroutine raised StopIteration"),
        (stop_after_a_wait, "coroutine raised StopIteration"),
        (stop_async_iteration, "StopAsyncIteration: enough"),
        (one_of_its_own, "Mine: of my own"),
        (out_of_a_child, "ValueError: of the child"),
        (garbage_let_out, "bad yield"),
        (recursion, "RecursionError"),
        (exit_of_the_program, "SystemExit: 3"),
        (no_exception, "OfItsOwnKind: not for everyone"),
    ],
)
def test_errors_are_counted_with_the_line_they_came_from(
    runs: Runs, body: Callable[[VU], Coroutine[Any, Any, None]], text: str
) -> None:
    result = runs.result(body)
    assert result.exit_code == 107
    assert result.metrics["script_errors"].count == 1
    assert result.metrics["iterations"].count == 1
    [error] = result.errors
    first = body.__code__.co_firstlineno
    sample = error.samples[0].text
    assert text in sample
    found = re.match(r".*test_await_manners\.py:(\d+)", sample)
    assert found and first < int(found[1]) < first + 10, sample


def test_a_traceback_names_the_scenarios_own_lines(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        async def inner() -> None:
            await vu.sleep(0.001)
            raise ValueError("inner")

        try:
            await inner()
        except ValueError as error:
            names = []
            trace = error.__traceback__
            while trace is not None:
                names.append(trace.tb_frame.f_code.co_name)
                trace = trace.tb_next
            assert names == ["one", "inner"]

    runs.well(one)


def test_users_fail_each_for_itself(runs: Runs) -> None:
    async def one(vu: VU) -> None:
        await vu.sleep(0.001)
        if vu.id % 2:
            raise ValueError(f"user {vu.id}")
        await vu.sleep(0.001)

    result = runs.result(one, users=6)
    assert result.metrics["script_errors"].count == 3
    assert result.metrics["iterations"].count == 6
    assert result.metrics["iterations_failed"].count == 3


def test_a_user_who_never_waits_leaves_others_their_turn(runs: Runs) -> None:
    turned: list[int] = []

    @scenario(load=SharedIterations(600, 2))
    async def busy(vu: VU) -> None:
        turned.append(vu.id)

    result = runs.of(busy)
    assert result.metrics["iterations"].count == 600
    assert set(turned) == {1, 2}


def test_users_are_woken_in_the_order_in_which_they_are_due(runs: Runs) -> None:
    order: list[int] = []

    @scenario(load=ConstantVUs(20, 0.2))
    async def one(vu: VU) -> None:
        if vu.iteration == 0:
            await vu.sleep(0.02 + 0.005 * vu.id)
            order.append(vu.id)
        await vu.sleep(0.5)

    runs.of(one)
    assert order == list(range(1, 21))
