"""What the system tells in /proc: CPU time, sockets, open files, clocks. Linux; NaN elsewhere."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = ["CpuTimes", "SystemState", "SystemWatch", "parse_sockstat", "parse_stat"]

DESCRIPTORS_EVERY = 10
"""Samples between two counts of open files where the system lists them one by one (Linux before
6.2): with 19,000 of them that stops the loop for some 20 ms."""

_STAT, _SOCKSTAT, _DESCRIPTORS = "/proc/stat", "/proc/net/sockstat", "/proc/self/fd"


class CpuTimes(NamedTuple):
    """Ticks of one core, or of all, since the system started."""

    busy: int
    stolen: int
    total: int

    def share_since(self, before: CpuTimes) -> tuple[float, float]:
        """(busy, stolen) shares of the time since; NaN if no tick has passed."""
        ticks = self.total - before.total
        if ticks <= 0:
            return math.nan, math.nan
        return (self.busy - before.busy) / ticks, (self.stolen - before.stolen) / ticks


def parse_stat(text: str) -> dict[str, CpuTimes]:
    """/proc/stat: ``cpu`` (all), ``cpu0``, ... to their times (proc(5)).

    Stolen time is not the machine's to use: it counts as neither busy nor idle.
    """
    found = {}
    for line in text.splitlines():
        if not line.startswith("cpu"):
            break  # they come first, and what follows may be long
        name, *fields = line.split()
        times = [int(field) for field in fields[:8]] + [0] * (8 - len(fields))
        user, nice, system, idle, waiting, hard, soft, stolen = times
        busy = user + nice + system + hard + soft
        found[name] = CpuTimes(busy, stolen, busy + idle + waiting + stolen)
    return found


def parse_sockstat(text: str) -> tuple[int, int]:
    """/proc/net/sockstat: (TCP sockets in use, in TIME_WAIT) of this network namespace."""
    for line in text.splitlines():
        name, *words = line.split()
        if name == "TCP:":
            counts = dict(zip(words[::2], map(int, words[1::2]), strict=False))
            return counts.get("inuse", 0), counts.get("tw", 0)
    return 0, 0


class SystemState(NamedTuple):
    """What was seen since the last sample; as in ``GeneratorSample``."""

    rss_bytes: int
    descriptors: int
    core_share: float
    machine_cpu_share: float
    steal_share: float
    clock_jump_ms: float
    sockets: int
    time_wait: int


class SystemWatch:
    """Compares the system with what it was at the last call."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._samples = 0
        self._descriptors = 0
        self._times: Mapping[str, CpuTimes] = parse_stat(_read(_STAT))
        self._offsets_ns = _clock_offsets()

    def sample(self, core: int) -> SystemState:
        """What was seen since the last call.

        :param core: the core that the loop's thread runs on; -1 if unknown.
        """
        before, self._times = self._times, parse_stat(_read(_STAT))
        busy, stolen = _share("cpu", before, self._times)
        sockets, time_wait = parse_sockstat(_read(_SOCKSTAT))
        return SystemState(
            self._process.memory_info().rss,
            self._count_descriptors(),
            _share(f"cpu{core}", before, self._times)[0],
            busy,
            stolen,
            self._jump_ms(),
            sockets,
            time_wait,
        )

    def _count_descriptors(self) -> int:
        try:
            counted = os.stat(_DESCRIPTORS).st_size  # noqa: PTH116 - no object for one figure
        except OSError:
            counted = 0
        if counted:
            return counted
        if self._samples % DESCRIPTORS_EVERY == 0:
            self._descriptors = self._process.num_fds()
        self._samples += 1
        return self._descriptors

    def _jump_ms(self) -> float:
        before, self._offsets_ns = self._offsets_ns, _clock_offsets()
        jumps = (abs(now - then) for now, then in zip(self._offsets_ns, before, strict=True))
        return max(jumps) / 1e6


def _clock_offsets() -> tuple[int, ...]:
    """Distances in ns of the wall clock, and of the clock that counts suspended time, from the
    monotonic clock of all measurements."""
    offsets = [time.time_ns() - time.monotonic_ns()]
    if hasattr(time, "CLOCK_BOOTTIME"):
        offsets.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())
    return tuple(offsets)


def _share(
    name: str, before: Mapping[str, CpuTimes], now: Mapping[str, CpuTimes]
) -> tuple[float, float]:
    if name not in before or name not in now:
        return math.nan, math.nan
    return now[name].share_since(before[name])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
