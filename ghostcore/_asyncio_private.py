"""The names of asyncio that are not public: no other module of the package uses one of a task's.

Each is looked up once, on import. Where a Python has lost one, a RuntimeWarning names it and says
what the loss costs, and whatever needed the name is done without: see :data:`CAN_STEP` and
:func:`give_up`.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any

__all__ = [
    "CAN_STEP",
    "cancel_asked",
    "cancel_message",
    "current_tasks",
    "enter_task",
    "give_up",
    "leave_task",
    "runs_here",
]


def _found(names: list[str], cost: str) -> list[Any]:
    """What asyncio has by these names, e.g. ``tasks._enter_task``, and None for what it has not.

    :param cost: what goes on without them, for the warning.
    """
    found: list[Any] = []
    missing = []
    for name in names:
        try:
            found.append(attrgetter(name)(asyncio))
        except AttributeError:
            found.append(None)
            missing.append(f"asyncio.{name}")
    if missing:
        warnings.warn(
            f"Python {platform.python_version()} has no {', '.join(missing)}: {cost}",
            RuntimeWarning,
            stacklevel=3,
        )
    return found


_stepping = _found(
    [
        "tasks._enter_task",
        "tasks._leave_task",
        "Task._must_cancel",
        "Task._cancel_message",
        # From 3.14 on, no dict says which task is running.
        *(["tasks._current_tasks"] if sys.version_info < (3, 14) else []),
    ],
    "users run in plain tasks of asyncio, which takes more CPU time",
)

CAN_STEP: bool = None not in _stepping
"""Whether a Stepper can take the place of a task: all names that it needs are there."""

enter_task: Callable[[asyncio.AbstractEventLoop, asyncio.Task[Any]], None] | None = _stepping[0]
"""Makes a task the current one of its loop."""

leave_task: Callable[[asyncio.AbstractEventLoop, asyncio.Task[Any]], None] | None = _stepping[1]
"""Undoes it."""

current_tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = (
    _stepping[4] if sys.version_info < (3, 14) else None
)
"""The task that is running, by loop: what current_task(), a Python function before 3.12, looks
into. None where there is no such dict."""


def cancel_asked(task: asyncio.Task[Any]) -> bool:
    """Whether the task is to be cancelled at its next step."""
    return bool(task._must_cancel)  # type: ignore[attr-defined]


def cancel_message(task: asyncio.Task[Any]) -> object:
    """What was given to the last ``cancel()`` of the task."""
    return task._cancel_message  # type: ignore[attr-defined]


_unregister_task, _log_destroy_pending = _found(
    ["tasks._unregister_task", "Task._log_destroy_pending"],
    "a script that swallows its cancellation keeps the end of a run waiting",
)


def give_up(task: asyncio.Task[Any]) -> None:
    """Have asyncio forget a pending task, for which it has no public way: or the loop would wait
    for it when it is closed, and complain of it when it is freed."""
    if _unregister_task is not None:
        _unregister_task(task)
    if _log_destroy_pending is not None:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is the loop that runs in this thread, without the private _get_running_loop()."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
