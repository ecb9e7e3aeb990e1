"""Command line of the simulator."""

from __future__ import annotations

from ghost_greeter.simulator.server import Simulator
from ghostcore.testing import run_server, server_arguments

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    The first line of output is ``listening on http://HOST:PORT``.
    """
    parser = server_arguments("A simulator of the Ghost Greeter signaling server.")
    parser.add_argument(
        "--agents", type=int, default=0, help="built-in agents, taking up to 25 visitors each"
    )
    parser.add_argument("--metrics-key", help="key that GET /metrics then asks for")
    parser.add_argument(
        "--production", action="store_true", help="GET /metrics asks for a key even if none is set"
    )
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="SECONDS")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    if options.agents < 0:
        parser.error(f"--agents is {options.agents}: expected 0 or more")

    def make() -> Simulator:
        return Simulator(
            options.host,
            options.port,
            agents=options.agents,
            metrics_key=options.metrics_key,
            production=options.production,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
        )

    return run_server(make, watch_stdin=options.watch_stdin)
