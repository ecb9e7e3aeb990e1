"""The HTTP side of the signaling server: health, readiness, metrics, statistics."""

from __future__ import annotations

import hmac
import os
from typing import Any

import psutil

from ghost_greeter.simulator.clock import Clock
from ghost_greeter.simulator.machine import Machine
from ghostcore.testing import HttpRequest, SocketIOServer

__all__ = ["Endpoints"]

Answer = tuple[int, object]

MIB = 1024 * 1024
RSS_LIMIT_BYTES = 512 * MIB
RSS_DEGRADED_BYTES = 410 * MIB

_NOT_FOUND_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Error</title>
</head>
<body>
<pre>Cannot GET {path}</pre>
</body>
</html>
"""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Endpoints:
    """Answers GET /health /ready /live /metrics /api/stats; 404 for the rest.

    This process has no V8 heap: its resident size stands for the heap, the limit for its total.
    """

    def __init__(
        self,
        machine: Machine,
        sockets: SocketIOServer,
        clock: Clock,
        metrics_key: str | None,
        production: bool,
    ) -> None:
        self._state = machine.core
        self._sockets = sockets
        self._clock = clock
        self._key = metrics_key
        self._production = production
        self._started_s = clock.now_s()
        self._process = psutil.Process()

    def register(self) -> None:
        """Set the routes of the server."""
        route = self._sockets.route
        route("/health", self._health)
        route("/ready", self._ready)
        route("/live", self._live)
        route("/metrics", self._metrics)
        route("/api/stats", self._stats)
        route(None, self._not_found)

    def _uptime_s(self) -> float:
        return round(self._clock.now_s() - self._started_s, 3)

    def _health(self, _request: HttpRequest) -> Answer:
        began_s = self._clock.now_s()
        rss = int(self._process.memory_info().rss)
        if rss > RSS_LIMIT_BYTES:
            memory_status = "unhealthy"
        elif rss > RSS_DEGRADED_BYTES:
            memory_status = "degraded"
        else:
            memory_status = "healthy"
        unhealthy = memory_status == "unhealthy"
        used = f"{round(rss / MIB)}MB"
        limit = f"{RSS_LIMIT_BYTES // MIB}MB"
        body = {
            "status": "unhealthy" if unhealthy else "degraded",  # there is no database behind it
            "timestamp": self._clock.epoch_ms(),
            "version": "1.0.0",
            "uptime": self._uptime_s(),
            "checks": {
                "memory": {
                    "status": memory_status,
                    "details": {
                        "used": used,
                        "total": limit,
                        "rss": used,
                        "rssLimit": limit,
                        "percent": f"{100 * rss / RSS_LIMIT_BYTES:.1f}%",
                    },
                    "latency": round((self._clock.now_s() - began_s) * 1000),
                },
                "supabase": {
                    "status": "degraded",
                    "error": "Supabase not configured",
                    "latency": 0,
                },
            },
            "mode": "in-memory",
        }
        return (503 if unhealthy else 200), body

    @staticmethod
    def _ready(_request: HttpRequest) -> Answer:
        return 200, {"ready": True}

    @staticmethod
    def _live(_request: HttpRequest) -> Answer:
        return 200, {"alive": True, "pid": os.getpid()}

    def _metrics(self, request: HttpRequest) -> Answer:
        refusal = self._key_problem(request)
        if refusal is not None:
            return refusal
        state = self._state
        rss = int(self._process.memory_info().rss)
        body: dict[str, Any] = {
            "timestamp": self._clock.epoch_ms(),
            "mode": "in-memory",
            "connections": {
                "agents": state.agent_count,
                "onlineAgents": state.online_agent_count,
                "visitors": state.visitor_count,
                "sockets": self._sockets.client_count(),
            },
            "calls": {
                "active": len(state.calls),
                "simulations": state.simulation_count,
                "pending": len(state.requests),
            },
            "pools": {"total": 0, "activeAgentsByPool": {}},
            "memory": {
                "heapUsed": rss,
                "heapTotal": RSS_LIMIT_BYTES,
                "rss": rss,
                "external": 0,
            },
            "uptime": self._uptime_s(),
        }
        return 200, body

    def _key_problem(self, request: HttpRequest) -> Answer | None:
        """The refusal of a request to /metrics, None where it may have them."""
        if request.headers.get("x-internal-request") == "true":
            return None
        given = request.query.get("key") or request.headers.get("x-metrics-api-key")
        right = (
            bool(given)
            and self._key is not None
            and hmac.compare_digest(str(given).encode(), self._key.encode())
        )
        if right:
            return None
        if self._production:
            if not given:
                return 401, {"error": "API key required"}
            return 403, {"error": "Invalid API key"}
        return None if self._key is None else (401, {"error": "Unauthorized"})

    def _stats(self, _request: HttpRequest) -> Answer:
        state = self._state
        return 200, {
            "totalAgents": state.agent_count,
            "onlineAgents": state.online_agent_count,
            "totalSimulations": state.simulation_count,
            "totalVisitors": state.visitor_count,
            "activeCalls": len(state.calls),
        }

    @staticmethod
    def _not_found(request: HttpRequest) -> Answer:
        return 404, _NOT_FOUND_PAGE.format(path=request.path.translate(_ESCAPES))
