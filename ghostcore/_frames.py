"""Whose code a frame is: ghostcore's, or that of the script that it runs."""

from __future__ import annotations

import asyncio
import os
import traceback
from pathlib import Path
from typing import Any

__all__ = ["OWN", "is_own", "script_line", "suspended_line"]

OWN = str(Path(__file__).resolve().parent) + os.sep
"""Files of ghostcore begin so."""


def is_own(filename: str) -> bool:
    """Whether it is a file of ghostcore, or of any C layer."""
    return filename.startswith(OWN) or filename.endswith(".pyx")


def script_line(error: BaseException) -> str:
    """``file:line`` where an error left the script: its last frame outside of ghostcore."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not is_own(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def suspended_line(task: asyncio.Task[Any]) -> str:
    """``file:line`` where the script waits in a task that is suspended; "" if it does not."""
    where = ""
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        if not is_own(frame.f_code.co_filename):
            where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        waiting = waiting.cr_await
    return where
