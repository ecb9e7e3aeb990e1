"""Round trips a second of closed echo loops, counted at the server (in C: limit/server.c)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median

from benches.clients import COMMANDS
from benches.measure import Client, cores, pinned, read, server_state, wait_until
from ghostcore.testing import ServerProcess

__all__ = ["EchoFigures", "measure_echo"]

SETTLE_S = 1.0
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class EchoFigures:
    """One measurement. The shares are of one core each.

    :ivar client_us: CPU time of the client for each round trip.
    """

    client: str
    users: int
    round_trips_per_s: float
    client_share: float
    server_share: float
    client_us: float


def measure_once(client: str, users: int, seconds: float) -> EchoFigures:
    """Start server and client anew, let them settle, measure for so long."""
    server_core, client_core = cores()
    with pinned(server_core):
        server = ServerProcess("benches.limit.server")
        server.start()
    try:
        command = COMMANDS[client]("echo", server.url, users, START_TIMEOUT_S + seconds)
        with Client(command, client_core) as process:

            def connected() -> bool:
                process.check()
                return server_state(server.port)[0] == users

            wait_until(connected, START_TIMEOUT_S, f"{client}: {users} connections")
            time.sleep(SETTLE_S)
            before, server_before = read(process.pid), read(server.pid)
            _, messages_before = server_state(server.port)
            time.sleep(seconds)
            after, server_after = read(process.pid), read(server.pid)
            connections, messages = server_state(server.port)
            if connections != users:
                raise RuntimeError(f"{client}: {users - connections} connections were lost")
    finally:
        server.stop()
    elapsed_s = after.at_s - before.at_s
    round_trips = messages - messages_before
    return EchoFigures(
        client,
        users,
        round_trips / elapsed_s,
        (after.cpu_s - before.cpu_s) / elapsed_s,
        (server_after.cpu_s - server_before.cpu_s) / elapsed_s,
        (after.cpu_s - before.cpu_s) / round_trips * 1e6,
    )


def measure_echo(
    clients: tuple[str, ...], users: int, seconds: float, repeats: int
) -> dict[str, object]:
    """The clients in turns, so that a noisy minute hits all of them; medians of the runs."""
    runs = [measure_once(client, users, seconds) for _ in range(repeats) for client in clients]
    medians = {
        client: {
            name: median(asdict(run)[name] for run in runs if run.client == client)
            for name in ("round_trips_per_s", "client_share", "server_share", "client_us")
        }
        for client in clients
    }
    return {
        "users": users,
        "medians": medians,
        "ratio_to_k6": _ratios(runs, clients, "k6"),
        "share_of_limit": _ratios(runs, clients, "C"),
        "runs": [asdict(run) for run in runs],
    }


def _ratios(
    runs: list[EchoFigures], clients: tuple[str, ...], base: str
) -> dict[str, dict[str, float]]:
    """Of every client to `base`, empty without it: medians over neighbours in time.

    ``clock`` compares round trips a second. ``cpu`` compares round trips for a second of the
    client's own CPU time, and so holds on a machine where others take some of the core.
    """
    found: dict[str, dict[str, float]] = {}
    bases = [run for run in runs if run.client == base]
    for client in clients if bases else ():
        own = [run for run in runs if run.client == client]
        pairs = list(zip(own, bases, strict=True))
        found[client] = {
            "clock": median(a.round_trips_per_s / b.round_trips_per_s for a, b in pairs),
            "cpu": median(b.client_us / a.client_us for a, b in pairs),
        }
    return found
