"""Memory of an idle user and CPU time of a paced connect.

The memory of a user is a slope: resident memory of one process with many users less that of another
with few, over the difference in users. What both have (interpreter, code, histograms) drops out.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benches.clients import COMMANDS
from benches.measure import Client, cores, kernel_bytes, pinned, read, server_state, wait_until
from ghostcore.testing import ServerProcess

__all__ = ["IdleFigures", "measure_idle"]


@dataclass(frozen=True)
class IdleFigures:
    """A client with so many users connected and idle.

    :ivar connect_us: CPU time of the client for each connect, from the first tenth of them on.
    :ivar kernel_bytes: growth of the kernel's memory, client and server side together.
    """

    client: str
    kind: str
    users: int
    rss_bytes: int
    kernel_bytes: int
    connect_us: float


def measure_once(
    client: str, kind: str, users: int, connects_per_s: float, wait_s: float
) -> IdleFigures:
    """Connect users at that pace, wait, read the memory."""
    server_core, client_core = cores()
    ramp_s = users / connects_per_s
    timeout_s = 60 + 3 * ramp_s
    with pinned(server_core):
        server = ServerProcess("benches.servers", start_timeout_s=60)
        server.start()
    kernel_before = kernel_bytes()
    try:
        command = COMMANDS[client](kind, server.url, users, timeout_s + wait_s, ramp_s)
        with Client(command, client_core) as process:

            def connected(wanted: int) -> bool:
                process.check()
                return server_state(server.port)[0] >= wanted

            wait_until(lambda: connected(users // 10), timeout_s, f"{client}: first connections")
            started, (first, _) = read(process.pid), server_state(server.port)
            wait_until(lambda: connected(users), timeout_s, f"{client}: {users} connections")
            ended = read(process.pid)
            time.sleep(wait_s)
            rss_bytes = read(process.pid).rss_bytes
            kernel = kernel_bytes() - kernel_before
            connections, _ = server_state(server.port)
            if connections != users:
                raise RuntimeError(f"{client}: {users - connections} idle connections were lost")
    finally:
        server.stop()
    connect_us = (ended.cpu_s - started.cpu_s) / max(1, users - first) * 1e6
    return IdleFigures(client, kind, users, rss_bytes, kernel, connect_us)


def measure_idle(
    client: str, kind: str, *, few: int, many: int, pace: float = 500, wait_s: float = 10
) -> dict[str, object]:
    """The slope from `few` to `many` users, connected at that pace a second."""
    low = measure_once(client, kind, few, pace, wait_s)
    high = measure_once(client, kind, many, pace, wait_s)
    users = many - few
    return {
        "client": client,
        "kind": kind,
        "kib_per_user": (high.rss_bytes - low.rss_bytes) / users / 1024,
        "kernel_kib_per_connection": (high.kernel_bytes - low.kernel_bytes) / users / 1024,
        "connect_us": high.connect_us,
        "runs": [asdict(low), asdict(high)],
    }
