"""What runs once before the load and once after it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

import msgpack

from ghostcore._engine import engine_of
from ghostcore._tracebacks import script_line
from ghostcore._units import format_duration
from ghostcore.errors import InvalidPlan, ScriptAborted, UsageError
from ghostcore.execution.hooks import Hook
from ghostcore.execution.plan import Plan
from ghostcore.load.control import RunControl

__all__ = ["Lifecycle", "passed_on"]

GRACE_S = 2.0
"""How long a function that was cancelled may take to clean up. Then it is left behind."""

_PLAIN = "None, bool, int (64 bits), float, str, bytes, and lists and dicts of these"

End = Literal["done", "late", "stopped"]


class Lifecycle:
    """Runs a plan's set-up and teardown.

    :ivar data: what the set-up returned, as it is passed on.
    :ivar setup_ms: how long the set-up took; None if it was not run.
    :ivar teardown_ms: how long the teardown took; None if it was not run.
    :ivar failures: what went wrong, in sentences.
    :ivar warnings: what a user should know of besides.
    :ivar aborted: the reason that the script gave for ending the run.
    :ivar refused: the set-up found that the run cannot start.
    """

    def __init__(self, plan: Plan, control: RunControl) -> None:
        self._plan = plan
        self._control = control
        self._over = False
        self.data: Any = None
        self.setup_ms: float | None = None
        self.teardown_ms: float | None = None
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.aborted: str | None = None
        self.refused: InvalidPlan | None = None

    async def set_up(self) -> bool:
        """Run the set-up, if there is one.

        A request to stop cancels it. Whatever becomes of it, once it has begun the teardown runs.

        :returns: whether the load may begin.
        """
        hook = self._plan.setup
        if hook is None:
            return True
        if self._control.stop_requested.is_set():
            self._over = True  # nothing to tear down
            return False
        now_ns = engine_of(asyncio.get_running_loop()).now_ns
        began_ns = now_ns()
        task = asyncio.ensure_future(_called(hook, self._plan.env))
        try:
            end = await _bounded(task, hook.timeout_s, self._control.stop_requested.wait())
        finally:
            self.setup_ms = (now_ns() - began_ns) / 1e6
        if not self._succeeded(hook, task, end):
            return False
        try:
            self.data = passed_on(task.result())
        except UsageError as error:
            self.failures.append(f"setup returned what cannot be passed on: {error}")
            return False
        return True

    async def tear_down(self) -> None:
        """Run the teardown, if there is one; once, whatever came before.

        One more request to stop, after those that ended the load, cancels it.
        """
        hook = self._plan.teardown
        if hook is None or self._over:
            return
        self._over = True
        now_ns = engine_of(asyncio.get_running_loop()).now_ns
        began_ns = now_ns()
        task = asyncio.ensure_future(_called(hook, self.data, self._plan.env))
        try:
            end = await _bounded(task, hook.timeout_s, self._control.another())
        finally:
            self.teardown_ms = (now_ns() - began_ns) / 1e6
        self._succeeded(hook, task, end)
        if end == "stopped":
            self.warnings.append("teardown was cut short: what it was to undo may still be there")

    def _succeeded(self, hook: Hook, task: asyncio.Future[Any], end: End) -> bool:
        """Whether the hook ended well; otherwise the reason is added to ``failures``."""
        if not task.done():
            task.add_done_callback(_swallow)
            self.failures.append(
                f"{hook.name} was cancelled, but did not end within {GRACE_S:g} s: it was left "
                "behind"
            )
            return False
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ScriptAborted):
            self.aborted = error.reason
            return False
        if isinstance(error, InvalidPlan) and hook is self._plan.setup:
            self.refused = error
            return False
        if end == "late":
            self.failures.append(
                f"{hook.name} did not end within {format_duration(hook.timeout_s)} "
                f"({hook.name}_timeout)"
            )
        if end == "done" and task.cancelled():
            self.failures.append(f"{hook.name} failed: it cancelled itself")
        if error is not None:
            where = script_line(error)
            text = f"{type(error).__name__}: {error}"
            self.failures.append(f"{hook.name} failed: {f'{where}: ' if where else ''}{text}")
        return end == "done" and error is None and not task.cancelled()


async def _called(hook: Hook, *offered: Any) -> Any:
    """What the function returns. Its wish to end the program is a failure of its own: in a task it
    would end the loop in the middle of the run."""
    try:
        return await hook.call(*offered)
    except SystemExit as error:
        text = f"it wants to end the program (exit code {error.code})"
        raise UsageError(text).with_traceback(error.__traceback__) from None


async def _bounded(
    task: asyncio.Future[Any], timeout_s: float, stop: Coroutine[Any, Any, object]
) -> End:
    """Wait until the task is done; cancel it when its time is up, or `stop` completes."""
    stopping = asyncio.ensure_future(stop)
    try:
        await asyncio.wait({task, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return "done"
        return "stopped" if stopping.done() else "late"
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_S)
        await asyncio.gather(stopping, return_exceptions=True)


def _swallow(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


def passed_on(value: Any) -> Any:
    """A value as another process would get it: through msgpack and back.

    :raises UsageError: it cannot be; the message says what in it.
    """
    try:
        return _through_msgpack(value)
    except _UNFIT as error:
        where, what = _unfit(value, "data", depth=0)
        raise UsageError(
            f"{where} is {type(what).__name__} {what!r:.80}: expected {_PLAIN} ({error})"
        ) from None


_UNFIT = (TypeError, ValueError, OverflowError, RecursionError)


def _through_msgpack(value: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(value), strict_map_key=False)


def _unfit(value: Any, where: str, depth: int) -> tuple[str, Any]:
    """The innermost thing in a value that msgpack does not carry, and where it is."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            parts.append((f"{where}[{key!r:.40}]", item))
            try:
                _through_msgpack({key: None})
            except _UNFIT:
                return f"a key of {where}", key
    elif isinstance(value, list | tuple):
        parts = [(f"{where}[{number}]", item) for number, item in enumerate(value)]
    for place, part in parts:
        try:
            _through_msgpack(part)
        except _UNFIT:
            return _unfit(part, place, depth + 1) if depth < 20 else (place, part)
    return where, value
