"""Did a piece of code clean up after itself? Sessions, operations, descriptors and complaints.

::

    def test_reconnects() -> None:
        with assert_no_leaks():
            asyncio.run(scenario())

or, for each test of a module, as a fixture::

    @pytest.fixture(autouse=True)
    def no_leaks() -> Iterator[None]:
        with assert_no_leaks():
            yield
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from ghostcore.loop.timers import live_waiters
from ghostcore.sessions.session import live_sessions

__all__ = ["Leaked", "assert_no_leaks", "open_descriptors"]

_DESCRIPTORS = Path("/proc/self/fd")
_POLL_S = 0.02


class Leaked(AssertionError):
    """Something outlived the block. ``found`` lists what, in sentences."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("left over: " + "; ".join(found))
        self.found = tuple(found)


class _Complaints(logging.Handler):
    """Collects what event loops log: failed callbacks, exceptions that nobody retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({record.exc_info[1]!r})"
        self.heard.append(text)


def open_descriptors() -> dict[int, str]:
    """The files that this process has open: number and what it is, e.g. ``socket:[4711]``.

    :returns: empty on systems without /proc.
    """
    found = {}
    if _DESCRIPTORS.is_dir():
        for path in _DESCRIPTORS.iterdir():
            try:
                found[int(path.name)] = str(path.readlink())
            except OSError:
                continue  # the one that the listing itself had open
    return found


@contextmanager
def assert_no_leaks(*, settle_s: float = 5.0) -> Iterator[None]:
    """Fail if the block leaves something of ghostcore's behind.

    Checked at its end: no session has a connection that it had not before, no operation is pending,
    no descriptor is open that was not open before, and no event loop has complained (an exception
    in a callback, one of a task or future that nobody retrieved). To be entered outside of the
    event loop, around all of its life; code that failed by itself keeps its own error.

    :param settle_s: how long to wait for what other threads are still closing.
    :raises Leaked: with everything that was found.
    """
    uvloop.new_event_loop().close()  # libuv opens a pipe with its first loop, and keeps it
    gc.collect()
    sessions, waiters = live_sessions(), live_waiters()
    before = open_descriptors()
    complaints = _Complaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(complaints)
    try:
        yield
        gc.collect()  # a task that is thrown away complains when it is collected
        deadline_s = time.monotonic() + settle_s
        while found := _left_over(sessions, waiters, before):
            if time.monotonic() > deadline_s:
                break
            time.sleep(_POLL_S)
            gc.collect()
    finally:
        logger.removeHandler(complaints)
    found += [f"an event loop complained: {text}" for text in complaints.heard]
    if found:
        raise Leaked(found)


def _left_over(sessions: int, waiters: int, before: dict[int, str]) -> list[str]:
    found = []
    if live_sessions() > sessions:
        found.append(f"{live_sessions() - sessions} sessions with a connection")
    if live_waiters() > waiters:
        found.append(f"{live_waiters() - waiters} pending operations")
    for number, target in open_descriptors().items():
        if before.get(number) != target:
            found.append(f"descriptor {number}: {target}")
    return found
