"""Memory of an idle user and CPU time of its connect.

The memory of a user is a slope: resident memory of one process with many users less that of another
with few, over the difference in users. What both have (interpreter, code, histograms) drops out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from benches.clients import COMMANDS
from benches.measure import Refused, kernel_bytes, row_of
from benches.needed import IDLE_KIB, verdict
from benches.processes import Client, Server

__all__ = ["IdleFigures", "measure", "measure_idle", "measure_wss", "tables"]

NAMES = {"idle": "", "idle_socketio": " Socket.IO", "idle_wss": " wss"}


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
    """Connect users at that pace, wait, read the memory.

    :raises Refused: a connection was lost.
    """
    ramp_s = users / connects_per_s
    timeout_s = 60 + 3 * ramp_s
    kernel_before = kernel_bytes()
    with Server("benches.servers", tls=kind == "idle_wss") as server:
        env = {"CA": str(server.ca)} if server.ca else {}
        command = COMMANDS[client](kind, server.url, users, timeout_s + wait_s, ramp_s, **env)
        with Client(client, command) as process:
            server.wait_for(process, users // 10, timeout_s)
            started, first = process.read(), server.state().connections
            server.wait_for(process, users, timeout_s)
            ended = process.read()
            time.sleep(wait_s)
            process.check()
            rss_bytes = process.read().rss_bytes
            kernel = kernel_bytes() - kernel_before
            state = server.state()
    if (state.connections, state.accepted) != (users, users):
        raise Refused(f"{client} {kind}: {users} idle users were to stay: {state}")
    connect_us = (ended.cpu_s - started.cpu_s) / max(1, users - first) * 1e6
    return IdleFigures(client, kind, users, rss_bytes, kernel, connect_us)


def measure_idle(
    client: str, kind: str, *, few: int, many: int, pace: float = 500, wait_s: float = 10
) -> dict[str, Any]:
    """The slope from `few` to `many` users, connected at that pace a second."""
    row: dict[str, Any] = {"client": client, "kind": kind, "users": [few, many]}

    def slope() -> dict[str, Any]:
        low = measure_once(client, kind, few, pace, wait_s)
        high = measure_once(client, kind, many, pace, wait_s)
        kib = (many - few) * 1024
        return {
            "kib_per_user": (high.rss_bytes - low.rss_bytes) / kib,
            "kernel_kib_per_connection": (high.kernel_bytes - low.kernel_bytes) / kib,
            "connect_us": high.connect_us,
            "runs": [asdict(low), asdict(high)],
        }

    return row_of(row, slope)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Users of ws://, over both links."""
    few, many, pace, wait_s = (50, 250, 250, 1.0) if options.quick else (1000, 10_000, 500, 10.0)
    kinds = [(link, kind, many) for link, kind in IDLE_KIB if kind != "idle_wss"]
    if not options.without_k6:
        # It needs 160 KiB and more a user, and sets every one up before it begins: a third will do.
        kinds.append(("k6", "idle", many if options.quick else 3000))
    return [
        measure_idle(client, kind, few=few, many=top, pace=pace, wait_s=wait_s)
        for client, kind, top in kinds
    ]


def measure_wss(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Users of wss://, at a pace that leaves both sides time for the handshakes."""
    few, many, pace, wait_s = (50, 250, 100, 1.0) if options.quick else (500, 4000, 200, 10.0)
    kinds = [("epoll", many), ("picows", many)]
    if not options.without_k6:
        kinds.append(("k6", many if options.quick else 2000))
    return [
        measure_idle(client, "idle_wss", few=few, many=top, pace=pace, wait_s=wait_s)
        for client, top in kinds
    ]


def tables(rows: Iterable[dict[str, Any]]) -> list[Table]:
    table = Table("client", "users", "KiB a user", "needed", "holds", "kernel KiB,\nboth ends",
                  "us of CPU\na connect", title="idle users")  # fmt: skip
    refused = []
    for row in rows:
        needed, name = (
            IDLE_KIB.get((row["client"], row["kind"])),
            row["client"] + NAMES[row["kind"]],
        )
        few, many = row["users"]
        shown = [name, f"{few:,} to {many:,}"]
        if "refused" in row:
            table.add_row(*shown, "refused")
            refused.append(f"refused: {row['refused']}")
            continue
        table.add_row(
            *shown,
            f"{row['kib_per_user']:.2f}",
            f"<= {needed:g}" if needed else "",
            verdict(row["kib_per_user"] <= needed) if needed else "",
            f"{row['kernel_kib_per_connection']:.1f}",
            f"{row['connect_us']:.0f}",
        )
    table.caption = "\n".join(refused) or None
    return [table]
