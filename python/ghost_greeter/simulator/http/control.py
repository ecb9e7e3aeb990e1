"""The way in for tests and experiments: ``/_simulator``, which the real server does not have.

========================  ==========================================================================
GET  /_simulator          mode, URLs of all replicas, counts of outcomes, the faults that are set
POST /_simulator/faults   change faults: a JSON object of names and values, null ends one
POST /_simulator/crash    end as if killed: no close frame, no answer to this request;
                          ``{"back_after": "5s", "replica": 1}``: it is there again after so long;
                          without a number of a replica (from 0) it is all of them
========================  ==========================================================================

It is there only if asked for, and answers this machine only.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ghost_greeter.simulator.http.express import Express, json_of, page
from ghost_greeter.simulator.http.simulation import Simulation
from ghost_greeter.simulator.setup.distribution import Distribution
from ghostcore import UsageError
from ghostcore.testing import HttpRequest

__all__ = ["Control"]

PATH = "/_simulator"
_FAULTS = """expected an object of faults and values, such as {"latency":"50ms","drop":null}"""
_CRASH = """expected an object such as {"back_after":"5s","replica":0}, or no body"""


class Control:
    """The routes below ``/_simulator``."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def register(self, express: Express) -> None:
        """Set the routes of a replica."""
        express.get(PATH, self._status)
        express.post(f"{PATH}/faults", self._set_faults, parsed=False)
        express.post(f"{PATH}/crash", self._crash, parsed=False)

    def _status(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        simulation = self._simulation
        return 200, {
            "mode": simulation.machine.setup.mode,
            "urls": simulation.urls,
            "outcomes": dict(simulation.state.outcomes),
            "connections": [len(server.connections) for server in simulation.servers],
            "faults": simulation.faults.described(),
        }

    def _set_faults(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        try:
            self._simulation.faults.set(_object(request, _FAULTS))
        except UsageError as error:
            return 400, {"error": str(error)}
        return 200, self._simulation.faults.described()

    def _crash(self, request: HttpRequest) -> tuple[int, Any]:
        if not _is_local(request):
            return _hidden(request)
        simulation = self._simulation
        try:
            asked = _object(request, _CRASH) if request.body else {}
            if unknown := set(asked) - {"back_after", "replica"}:
                raise UsageError(f"{sorted(unknown)[0]!r} is unknown: {_CRASH}")
            back_after, replica = asked.get("back_after"), asked.get("replica")
            known = range(len(simulation.servers))
            if replica is not None and (type(replica) is not int or replica not in known):
                raise UsageError(f"replica is {replica!r}: expected 0 to {len(known) - 1}")
            if back_after is not None:
                seconds = Distribution.parse(str(back_after)).draw(simulation.random)
                simulation.crash_soon(seconds, replica)
            elif replica is not None:
                simulation.crash_soon(None, replica)
            else:
                simulation.on_crash()
        except UsageError as error:
            return 400, {"error": str(error)}
        return 200, {"crashed": True}


def _object(request: HttpRequest, expected: str) -> dict[str, Any]:
    try:
        values = json_of(request)
    except ValueError as error:
        raise UsageError(f"the body is no JSON ({error}): {expected}") from None
    if not isinstance(values, dict):
        raise UsageError(f"the body is of type {type(values).__name__}: {expected}")
    return values


def _is_local(request: HttpRequest) -> bool:
    try:
        return ipaddress.ip_address(request.peer).is_loopback
    except ValueError:
        return False


def _hidden(request: HttpRequest) -> tuple[int, str]:
    return page(404, f"Cannot {request.method} {request.path}")
