"""The simulator in a process of its own, for runs that were given no server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from ghostcore.testing import ServerProcess

__all__ = ["EmbeddedSimulator"]

_KEY = "GREETER_SIMULATOR_METRICS_KEY"
_TIMEOUT_S = 10.0


class EmbeddedSimulator(ServerProcess):
    """``with EmbeddedSimulator(agents=10) as simulator: ...  # simulator.url``.

    :param agents: built-in agents that take up to 25 visitors each.
    :param metrics_key: key that GET /metrics then asks for; handed over in the environment.
    :param arguments: more arguments of ``python -m ghost_greeter.simulator``.
    """

    def __init__(self, *arguments: str, agents: int = 0, metrics_key: str | None = None) -> None:
        options = ["--agents", str(agents), "--control"]
        env = {}
        if metrics_key is not None:
            options += ["--metrics-key-env", _KEY]
            env[_KEY] = metrics_key
        super().__init__("ghost_greeter.simulator", *options, *arguments, env=env)
        self._given = self.arguments

    @property
    def urls(self) -> list[str]:
        """The URLs of all replicas."""
        urls: list[str] = self.status()["urls"]
        return urls

    def status(self) -> dict[str, Any]:
        """What ``GET /_simulator`` tells: mode, urls, outcomes, connections, faults."""
        return self._ask("")

    def set_faults(self, **faults: object) -> None:
        """Change faults, see :mod:`~ghost_greeter.simulator.setup.faults`; None ends one."""
        self._ask("/faults", faults)

    def outage(self, back_after: str, replica: int | None = None) -> None:
        """Let it, or one of its replicas, crash and be there again after a time (``5s``), on the
        same port."""
        self._ask("/crash", {"back_after": back_after, "replica": replica})

    def crash(self) -> None:
        """Kill it: connections end without a close frame, and its port refuses."""
        self.kill()

    def restart(self) -> None:
        """Start it again after a crash, on its old port. What it knew is lost.

        :raises ServerDied: it did not come up.
        """
        self.arguments = (*self._given, "--port", str(self.port))
        self.start()

    def _ask(self, path: str, payload: Mapping[str, object] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/_simulator{path}",
            None if payload is None else json.dumps(payload).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read().decode(errors="replace")
            raise ValueError(f"the simulator refused {path or 'its status'}: {detail}") from None
