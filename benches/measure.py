"""What a process costs, as the kernel tells: CPU time and memory. And why there is no figure."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ghostcore.testing import ServerDied

__all__ = [
    "NO_FIGURE",
    "Reading",
    "Refused",
    "check_descriptors",
    "kernel_bytes",
    "machine",
    "read",
    "reason_text",
    "row_of",
    "wait_until",
]

_CPUCLOCK_SCHED = 2  # of the kernel's encoding of such a clock, part of its ABI
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SPARE_DESCRIPTORS = 128


class Refused(Exception):
    """No figure: something was lost, or another was the limit than what was to be measured."""


NO_FIGURE = (Refused, RuntimeError, OSError, ServerDied)
"""What ends a measurement, but not those after it: it is said in the row. Of a process that
failed comes a RuntimeError, of one that hung a TimeoutError, which is an OSError."""


def reason_text(error: BaseException) -> str:
    """Why there is no figure, as tables say it."""
    return str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"


def row_of(row: Mapping[str, Any], find: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The row with what was found, be it the reason why there are no figures."""
    try:
        return {**row, **find()}
    except NO_FIGURE as reason:
        return {**row, "refused": reason_text(reason)}


@dataclass(frozen=True)
class Reading:
    """A process at one moment.

    :ivar at_s: monotonic time. :ivar cpu_s: user and system CPU time so far, of all threads.
    :ivar rss_bytes: memory in user space that is resident.
    """

    at_s: float
    cpu_s: float
    rss_bytes: int

    def share_since(self, before: Reading) -> float:
        """CPU time per second since then: 1 is a whole core."""
        return (self.cpu_s - before.cpu_s) / (self.at_s - before.at_s)


def read(pid: int) -> Reading:
    """Read the figures of a process."""
    # The clock that clock_getcpuclockid(3) names, to the ns; /proc/PID/stat has ticks of 10 ms.
    cpu_s = time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Reading(time.monotonic(), cpu_s, pages * _PAGE_BYTES)


def kernel_bytes() -> int:
    """Kernel memory that sockets live in, of the whole machine: slabs and TCP buffers."""
    slab_kib = next(
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("Slab:")
    )
    tcp = Path("/proc/net/sockstat").read_text().partition("TCP: ")[2].splitlines()[0].split()
    return slab_kib * 1024 + int(tcp[tcp.index("mem") + 1]) * _PAGE_BYTES


def check_descriptors(sockets: int) -> None:
    """:raises Refused: neither side could open so many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and sockets + SPARE_DESCRIPTORS > hard:
        raise Refused(
            f"{sockets:,} sockets in one process, but it may open {hard:,} files (ulimit -Hn)"
        )


def wait_until(
    condition: Callable[[], bool], timeout_s: float, what: str, *, look_s: float = 0.05
) -> None:
    """Look every `look_s`; :raises TimeoutError: it did not come about."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(look_s)


def machine() -> dict[str, str | int]:
    """Where a figure was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
