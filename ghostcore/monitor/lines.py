"""Which line a thread stands at: asked from another thread, while a callback blocks the loop."""

from __future__ import annotations

import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType

from ghostcore._tracebacks import OWN, is_of_user

__all__ = ["Locator", "files_of", "innermost"]

_SHOWN = 80


def innermost(
    frame: FrameType | None, scripts: frozenset[str], beyond: frozenset[int] = frozenset()
) -> FrameType | None:
    """The frame to blame: the innermost one of a script; where there is none, the innermost of
    anybody's code but ghostcore's, the standard library's and installed packages'.

    :param scripts: files of scenarios, wherever they are installed.
    :param beyond: ids of the frames that called the event loop: none of them, and none outside of
        them, has to do with what the loop runs.
    """
    found: FrameType | None = None
    for one in _stack(frame, beyond):
        filename = one.f_code.co_filename
        if filename in scripts:
            return one
        if found is None and is_of_user(filename):
            found = one
    return found


def files_of(functions: Iterable[Callable[..., object]]) -> frozenset[str]:
    """The files that functions were written in, be they wrapped or partial; not ghostcore's own."""
    found = set()
    for function in functions:
        inner = function
        while isinstance(inner, partial):
            inner = inner.func
        code = getattr(inspect.unwrap(inner), "__code__", None)
        if code is not None and not code.co_filename.startswith(OWN):
            found.add(code.co_filename)
    return frozenset(found)


class Locator:
    """Tells the line at which the thread that made it stands, for ``LoopWatch``.

    To be made in a task of the loop, and closed: it holds the frames outside of the loop.

    :param scripts: files of the scenarios.
    """

    def __init__(self, scripts: Iterable[str] = ()) -> None:
        self._scripts = frozenset(scripts)
        self._thread = threading.get_ident()
        self._callers = _callers_of_loop(sys._getframe(1))
        self._beyond = frozenset(map(id, self._callers))

    def __call__(self) -> tuple[str, str, FrameType | None]:
        """(``file:line: its text``, where that is inside of other code, the outermost frame of the
        callback that runs); the first is empty where no line of the user's is to blame."""
        top = sys._current_frames().get(self._thread)
        if top is None or id(top) in self._beyond:
            return "", "", None
        frame = innermost(top, self._scripts, self._beyond)
        inside, outermost = _place(top), _outermost(top, self._beyond)
        if frame is None:
            return "", inside, outermost
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()[:_SHOWN]
        where = f"{_place(frame)}: {text}" if text else _place(frame)
        return where, "" if frame is top else inside, outermost

    def close(self) -> None:
        """Let go of the frames."""
        self._callers = []


def _outermost(top: FrameType, beyond: frozenset[int]) -> FrameType:
    """The outermost coroutine; the outermost frame if none runs."""
    inside = _stack(top, beyond)
    coroutines = [one for one in inside if one.f_code.co_flags & inspect.CO_COROUTINE]
    return (coroutines or inside)[-1]


def _stack(frame: FrameType | None, beyond: frozenset[int] = frozenset()) -> list[FrameType]:
    """The frames from the innermost outwards."""
    frames = []
    while frame is not None and id(frame) not in beyond:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _callers_of_loop(frame: FrameType) -> list[FrameType]:
    """The frames outside of the task that runs: what is outside of its outermost coroutine."""
    frames = _stack(frame)
    outermost = max(
        (at for at, one in enumerate(frames) if one.f_code.co_flags & inspect.CO_COROUTINE),
        default=-1,
    )
    return frames[outermost + 1 :]


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
