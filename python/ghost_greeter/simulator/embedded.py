"""The simulator in a process of its own, for runs that were given no server."""

from __future__ import annotations

from ghostcore.testing import ServerProcess

__all__ = ["EmbeddedSimulator"]


class EmbeddedSimulator(ServerProcess):
    """``with EmbeddedSimulator(agents=10) as simulator: ...  # simulator.url``.

    :param agents: built-in agents that take up to 25 visitors each.
    :param metrics_key: key that GET /metrics then asks for.
    :param arguments: more arguments of ``python -m ghost_greeter.simulator``.
    """

    def __init__(self, *arguments: str, agents: int = 0, metrics_key: str | None = None) -> None:
        options = ["--agents", str(agents)]
        if metrics_key is not None:
            options += ["--metrics-key", metrics_key]
        super().__init__("ghost_greeter.simulator", *options, *arguments)
