"""What is known of the generator in one second of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Doubt", "GeneratorSample", "Stall"]

NAN = math.nan


class Doubt(NamedTuple):
    """Why a second is suspect.

    :ivar rule: the rule's name: see ``rules.RULES``.
    :ivar text: what was seen.
    :ivar size: how much of it, to find the worst.
    """

    rule: str
    text: str
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class Stall:
    """A span in which the event loop got nothing done, because one callback kept it.

    :ivar at_s: when it began, in seconds from the start of the run.
    :ivar duration_ms: how long it was.
    :ivar machine_ms: how much of it was not the callback's doing: the loop's thread waited for a
        core, or the machine stood still.
    :ivar where: ``file:line: text`` of the user's code that the callback was in; "" if it was in
        none, or is not known.
    :ivar inside: the ``file:line`` that it was at, if that is elsewhere.
    """

    at_s: float
    duration_ms: float
    machine_ms: float = 0.0
    where: str = ""
    inside: str = ""

    @property
    def own_ms(self) -> float:
        """What the callback itself took."""
        return max(0.0, self.duration_ms - self.machine_ms)

    @property
    def place(self) -> str:
        """Where the callback was, in words; "" if that is not known."""
        if self.where and self.inside:
            return f"{self.where} (in {self.inside})"
        return self.where or self.inside


@dataclass(frozen=True, slots=True)
class GeneratorSample:
    """How the load generator itself did in one window, of a second as a rule. NaN: not known.

    :ivar at_s: end of the window, in seconds from the start of the run.
    :ivar loop_lag_ms: the latest that a timer of the event loop came.
    :ivar loop_lag_p99_ms: the 99th percentile of how late timers came, of 100 timers a second.
    :ivar cpu_share: CPU time of the process per second, in cores.
    :ivar rss_bytes: resident memory of the process.
    :ivar descriptors: files that the process has open, sockets included.
    :ivar window_s: length of the window.
    :ivar stamp_error_ms: the longest that a frame waited in its batch to be stamped or sent.
    :ivar stamp_error_p99_ms: the 99th percentile of these waits.
    :ivar loop_cpu_share: the share of a core that the loop's thread used.
    :ivar waiting_share: the share of time in which the loop's thread was ready and had no core.
    :ivar core_share: the share of time in which the core of the loop's thread was busy.
    :ivar machine_cpu_share: the share of time in which the cores of the machine were busy.
    :ivar steal_share: the share of the machine's time that the hypervisor gave to others.
    :ivar gc_pause_ms: the longest garbage collection.
    :ivar clock_jump_ms: how far the clock was set, or how long the machine slept.
    :ivar backlog_bytes: bytes that sessions have written and their sockets have not taken yet
        (epoll link).
    :ivar sockets: TCP sockets of the system.
    :ivar time_wait: TCP sockets of the system that only keep their port for a while.
    :ivar local_failures: connections that failed for want of a source port or a descriptor.
    :ivar stalls: the spans of 100 ms and more in which one callback kept the loop.
    :ivar doubts: why the window is suspect; empty if it is valid.
    """

    at_s: float
    loop_lag_ms: float
    cpu_share: float
    rss_bytes: int
    descriptors: int
    window_s: float = 1.0
    loop_lag_p99_ms: float = NAN
    stamp_error_ms: float = NAN
    stamp_error_p99_ms: float = NAN
    loop_cpu_share: float = NAN
    waiting_share: float = NAN
    core_share: float = NAN
    machine_cpu_share: float = NAN
    steal_share: float = NAN
    gc_pause_ms: float = 0.0
    clock_jump_ms: float = 0.0
    backlog_bytes: int = 0
    sockets: int = 0
    time_wait: int = 0
    local_failures: int = 0
    stalls: tuple[Stall, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def start_s(self) -> float:
        """Begin of the window."""
        return self.at_s - self.window_s

    @property
    def error_ms(self) -> float:
        """What the generator can have added to a latency: 99 of 100 were delayed by no more.

        A frame waits until the loop comes to its sockets, as long as a timer that is due at that
        moment waits, and then for those before it in its batch.
        """
        parts = (self.loop_lag_p99_ms, self.stamp_error_p99_ms)
        return sum(part for part in parts if not math.isnan(part))
