"""The simulator's clock: one monotonic time for delays, epoch stamps derived from it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["Clock", "epoch_ms", "iso"]


class Clock:
    """Monotonic seconds and the epoch milliseconds that belong to them. Tests override now_s()."""

    def __init__(self) -> None:
        self.epoch_offset_s = time.time() - self.now_s()

    def now_s(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        return epoch_ms(self.epoch_offset_s, self.now_s())


def epoch_ms(offset_s: float, now_s: float) -> int:
    """As JavaScript's ``Date.now()``.

    :param offset_s: what makes seconds since 1970 of `now_s`.
    """
    return int((offset_s + now_s) * 1000)


def iso(epoch_ms: int) -> str:
    """As JavaScript's ``toISOString()``: ``2026-11-22T16:12:35.395Z``."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}Z"
