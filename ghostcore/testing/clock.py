"""The clock as an object, so that what depends on time can be given another one."""

from __future__ import annotations

import time

from ghostcore._units import seconds_to_ns
from ghostcore.errors import UsageError

__all__ = ["Clock", "FakeClock"]


class Clock:
    """CLOCK_MONOTONIC in ns, the clock that the C layer reads as well."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Ns since an arbitrary origin; never goes back."""
        return time.monotonic_ns()


class FakeClock(Clock):
    """A clock that stands still until it is told to move on."""

    __slots__ = ("_now_ns",)

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, 0 or more."""
        self.advance_to(self._now_ns + seconds_to_ns(seconds))

    def advance_to(self, when_ns: int) -> None:
        """Move on to `when_ns`.

        :raises UsageError: it is in the past.
        """
        if when_ns < self._now_ns:
            raise UsageError(f"a clock cannot go back from {self._now_ns} ns to {when_ns} ns")
        self._now_ns = when_ns
