"""How the load generator itself is doing: a late loop or a full core shows in every latency."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil

from ghostcore._timers import CallbackTimer, TimerQueue

__all__ = ["GeneratorMonitor", "GeneratorState"]

DESCRIPTORS_EVERY = 10
"""Samples between two counts of open files: the system lists them one by one, and with 19,000 of
them that would stop the loop for some 20 ms a second."""

PROBE_NS = 10_000_000
"""How often the loop is probed. 100 timers a second cost nothing beside the load."""


class GeneratorState(NamedTuple):
    """What was seen since the last sample; units as in ``GeneratorSample``."""

    loop_lag_ms: float
    cpu_share: float
    rss_bytes: int
    descriptors: int


class GeneratorMonitor:
    """Probes the loop of a timer queue by timers that should come at exact times.

    :ivar loop_lag_ns: the greatest lateness of a probe since the last sample.
    """

    def __init__(self, timers: TimerQueue) -> None:
        self._timers = timers
        self._process = psutil.Process()
        self._lag_ns = 0
        self._due_ns = timers.now_ns() + PROBE_NS
        self._probe: CallbackTimer | None = timers.call_at(self._due_ns, self._probed)
        self._wall_ns = time.monotonic_ns()
        self._cpu_ns = time.process_time_ns()
        self._samples = 0
        self._descriptors = 0

    def _probed(self) -> None:
        now_ns = self._timers.now_ns()
        self._lag_ns = max(self._lag_ns, now_ns - self._due_ns)
        self._due_ns = now_ns + PROBE_NS
        self._probe = self._timers.call_at(self._due_ns, self._probed)

    def sample(self) -> GeneratorState:
        """What was seen since the last call."""
        wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        # A probe that is overdue at this moment counts too: the loop may be stuck for long.
        overdue_ns = self._timers.now_ns() - self._due_ns
        lag_ns = max(self._lag_ns, overdue_ns)
        if self._samples % DESCRIPTORS_EVERY == 0:
            self._descriptors = self._process.num_fds()
        self._samples += 1
        state = GeneratorState(
            max(0, lag_ns) / 1e6,
            (cpu_ns - self._cpu_ns) / max(1, wall_ns - self._wall_ns),
            self._process.memory_info().rss,
            self._descriptors,
        )
        self._lag_ns, self._wall_ns, self._cpu_ns = 0, wall_ns, cpu_ns
        return state

    def close(self) -> None:
        """Stop probing."""
        if self._probe is not None:
            self._timers.cancel(self._probe)
            self._probe = None
