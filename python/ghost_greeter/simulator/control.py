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

from ghost_greeter.simulator.express import Express, json_of, page
from ghostcore import UsageError
from ghostcore.testing import HttpRequest

if TYPE_CHECKING:
    from ghost_greeter.simulator.server import Simulator

__all__ = ["Control"]

PATH = "/_simulator"
_EXPECTED = """expected an object of faults and values, such as {"latency":"50ms","drop":null}"""


class Control:
    """The routes below ``/_simulator``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def register(self, express: Express) -> None:
        """Set the routes of a replica."""
        express.get(PATH, self._status)
        express.post(f"{PATH}/faults", self._set_faults, parsed=False)
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
            values = json_of(request)
            if not isinstance(values, dict):
                raise UsageError(f"the body is of type {type(values).__name__}: {_EXPECTED}")
            self._simulator.faults.set(values)
        except UsageError as error:
            return 400, {"error": str(error)}
        except ValueError as error:
            return 400, {"error": f"the body is no JSON ({error}): {_EXPECTED}"}
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
