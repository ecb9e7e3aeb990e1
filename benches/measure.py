"""What a process costs, read from the kernel: CPU time, memory, and the core it may run on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Client",
    "Reading",
    "cores",
    "kernel_bytes",
    "machine",
    "pinned",
    "read",
    "server_state",
    "wait_until",
]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parent.parent
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Reading:
    """A process at one moment.

    :ivar at_s: monotonic time. :ivar cpu_s: user and system CPU time so far, of all threads.
    :ivar rss_bytes: memory in user space that is resident.
    """

    at_s: float
    cpu_s: float
    rss_bytes: int


def read(pid: int) -> Reading:
    """Read the figures of a process from /proc."""
    # Fields after the name, which may contain anything but ends with the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
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


def cores() -> tuple[int, int]:
    """The core of the server and the core of the client: two different ones if there are."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started in this block run on that core only, from their first instruction on
    (a Go program takes the number of its cores from this)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Client:
    """A load generator in a process of its own, on a core of its own, ended with the block."""

    def __init__(self, command: Sequence[str], core: int) -> None:
        self._command = list(command)
        self._core = core

    def __enter__(self) -> Client:
        self._stderr = tempfile.TemporaryFile()
        with pinned(self._core):
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=self._stderr, cwd=ROOT
            )
        self.pid = self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        # What was to be measured has been; thousands of closing handshakes are of no use.
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def check(self) -> None:
        """Raise if the process has ended."""
        code = self._process.poll()
        if code is not None:
            self._stderr.seek(0)
            said = self._stderr.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{self._command[0]} ended by itself with code {code}: {said}")


def server_state(port: int) -> tuple[int, int]:
    """(open connections, messages returned so far) of a server of ``benches.servers``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=30) as answer:
        state = json.load(answer)
    return int(state["connections"]), int(state["messages"])


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look every 50 ms; :raises TimeoutError: it did not come about."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)


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
