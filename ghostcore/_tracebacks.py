"""Whose code a frame is: ghostcore's, or that of the script that it runs."""

from __future__ import annotations

import asyncio
import os
import site
import sysconfig
import traceback
from pathlib import Path
from typing import Any

__all__ = ["OWN", "is_of_user", "is_own", "script_line", "suspended_line"]

OWN = str(Path(__file__).resolve().parent) + os.sep
"""Files of ghostcore begin so."""


_PATHS = sysconfig.get_paths()
_FOREIGN = tuple(
    sorted(
        {_PATHS[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
        | {path + os.sep for path in (*site.getsitepackages(), site.getusersitepackages())}
    )
)


def is_own(filename: str) -> bool:
    """Whether it is a file of ghostcore, or of any C layer."""
    return filename.startswith(OWN) or filename.endswith((".pyx", ".pxi"))


def is_of_user(filename: str) -> bool:
    """Neither ghostcore's, nor of the standard library or an installed package, nor made up."""
    return not is_own(filename) and not filename.startswith(("<", *_FOREIGN))


def script_line(error: BaseException) -> str:
    """``file:line`` where an error left the script: its last frame in code of the user's. Of a
    script that is an installed package it is the last frame outside of ghostcore. Where it has no
    such frame (a StopIteration becomes a RuntimeError that begins outside of the coroutine), that
    of its cause."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not is_own(one.filename)]
    of_user = [one for one in frames if is_of_user(one.filename)]
    for last in (of_user or frames)[-1:]:
        return f"{Path(last.filename).name}:{last.lineno}"
    return "" if error.__cause__ is None else script_line(error.__cause__)


def suspended_line(task: asyncio.Task[Any]) -> str:
    """``file:line`` where the script waits in a task that is suspended; "" if it does not."""
    where = ""
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        if not is_own(frame.f_code.co_filename):
            where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        waiting = waiting.cr_await
    return where
