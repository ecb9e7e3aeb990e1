"""The way in for tests and experiments: ``/_simulator``, which the real server does not have.

========================  ==========================================================================
GET  /_simulator          mode, URLs of all replicas, counts of outcomes, the faults that are set
POST /_simulator/faults   change faults: a JSON object of names and values, null ends one
POST /_simulator/crash    end as if killed: no close frame, no answer to this request
========================  ==========================================================================

It is there only if asked for, and answers this machine only.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ghost_greeter.simulator.express import Express, json_object, page
from ghostcore import UsageError
from ghostcore.testing import HttpRequest

if TYPE_CHECKING:
    from ghost_greeter.simulator.server import Simulator

__all__ = ["Control"]

PATH = "/_simulator"


class Control:
    """The routes below ``/_simulator``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def register(self, express: Express) -> None:
        """Set the routes of a replica."""
        express.get(PATH, self._status)
        express.post(f"{PATH}/faults", self._set_faults)
        express.post(f"{PATH}/crash", self._crash)

    def _status(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        simulator = self._simulator
        return 200, {
            "mode": simulator.machine.setup.mode,
            "urls": simulator.urls,
            "outcomes": dict(simulator.state.outcomes),
            "connections": [len(server.connections) for server in simulator.servers],
            "faults": simulator.faults.described(),
        }

    def _set_faults(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        try:
            self._simulator.faults.set(json_object(request))
        except UsageError as error:
            return 400, {"error": str(error)}
        return 200, self._simulator.faults.described()

    def _crash(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        self._simulator.on_crash()
        return 200, {"crashed": True}


def _is_local(request: HttpRequest) -> bool:
    try:
        return ipaddress.ip_address(request.peer).is_loopback
    except ValueError:
        return False


def _hidden(request: HttpRequest) -> tuple[int, str]:
    return page(404, f"Cannot {request.method} {request.path}")
