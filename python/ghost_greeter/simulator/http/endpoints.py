"""The HTTP side of the signaling server: health, readiness, metrics, statistics, configuration."""

from __future__ import annotations

import hmac
import os
from typing import Any

from ghost_greeter.simulator.http.express import Express, json_object
from ghost_greeter.simulator.http.process import LIMIT_BYTES, MIB, Process
from ghost_greeter.simulator.http.simulation import Simulation
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.machine import Machine
from ghost_greeter.simulator.setup.setup import HttpSetup
from ghostcore.testing import HttpRequest, SocketIOServer

__all__ = ["Endpoints"]

Answer = tuple[int, object]

DEGRADED_BYTES = 410 * MIB


class Endpoints:
    """Answers /health /ready /live /metrics and /api of one replica.

    :param sockets: the Socket.IO server of that replica.
    :param setup: the key that GET /metrics asks for, and whether it is closed without one.
    """

    def __init__(
        self,
        simulation: Simulation,
        sockets: SocketIOServer,
        process: Process,
        setup: HttpSetup,
    ) -> None:
        self._simulation = simulation
        self._sockets = sockets
        self._clock = simulation.clock
        self._process = process
        self._key = setup.metrics_key
        self._production = setup.production

    def register(self, express: Express) -> None:
        """Set the routes of the server."""
        express.get("/health", self._health)
        express.get("/ready", self._ready)
        express.get("/live", self._live)
        express.get("/metrics", self._metrics)
        express.get("/api/stats", self._stats)
        express.get("/api/test-match", self._test_match)
        express.post("/api/config/org", self._configure_org)
        express.post("/api/config/agent-pools", self._configure_pools)
        express.post("/api/webhooks/stripe", self._stripe)

    @property
    def _machine(self) -> Machine:
        return self._simulation.machine  # another one after a crash

    @property
    def _core(self) -> Core:
        return self._simulation.state

    @property
    def _mode(self) -> str:
        return "redis" if self._machine.setup.redis else "in-memory"

    @property
    def _redis_down(self) -> bool:
        return self._machine.setup.redis and self._machine.faults.redis_down

    # -- health ----------------------------------------------------------------------------------

    def _health(self, _request: HttpRequest) -> Answer:
        checks: dict[str, dict[str, Any]] = {"memory": self._memory_check()}
        if self._machine.setup.redis:
            checks["redis"] = self._redis_check()
        if self._machine.setup.database is None:
            error = "Supabase not configured"
            checks["supabase"] = {"status": "degraded", "error": error, "latency": 0}
        else:
            checks["supabase"] = {"status": "healthy", "latency": 1}
        found = {check["status"] for check in checks.values()}
        status = next((each for each in ("unhealthy", "degraded") if each in found), "healthy")
        body = {
            "status": status,
            "timestamp": self._clock.epoch_ms(),
            "version": "1.0.0",
            "uptime": round(self._process.uptime_s(), 3),
            "checks": checks,
            "mode": self._mode,
        }
        return (503 if status == "unhealthy" else 200), body

    def _memory_check(self) -> dict[str, Any]:
        """There is no V8 heap here: the resident size stands for the heap, its limit for the
        heap's total."""
        rss = self._process.rss_bytes()
        if rss > LIMIT_BYTES:
            status = "unhealthy"
        else:
            status = "degraded" if rss > DEGRADED_BYTES else "healthy"
        used, limit = f"{round(rss / MIB)}MB", f"{LIMIT_BYTES // MIB}MB"
        details = {
            "used": used,
            "total": limit,
            "rss": used,
            "rssLimit": limit,
            "percent": f"{100 * rss / LIMIT_BYTES:.1f}%",
        }
        return {"status": status, "details": details, "latency": 0}

    def _redis_check(self) -> dict[str, Any]:
        if self._redis_down:
            return {"status": "unhealthy", "latency": 0, "error": "Redis not connected"}
        here = self._sockets.client_count()
        latency_s = self._machine.faults.redis_s(1, here, self._core.random)
        return {"status": "healthy", "latency": round(1 + latency_s * 1000)}

    def _ready(self, _request: HttpRequest) -> Answer:
        if self._redis_down:
            return 503, {"ready": False, "reason": "redis: Redis not connected"}
        return 200, {"ready": True}

    @staticmethod
    def _live(_request: HttpRequest) -> Answer:
        return 200, {"alive": True, "pid": os.getpid()}

    # -- figures ---------------------------------------------------------------------------------

    def _metrics(self, request: HttpRequest) -> Answer:
        refusal = self._key_problem(request)
        if refusal is not None:
            return refusal
        if self._redis_down:
            return 500, {"error": "Failed to collect metrics"}
        core = self._core
        rss = self._process.rss_bytes()
        body: dict[str, Any] = {
            "timestamp": self._clock.epoch_ms(),
            "mode": self._mode,
            "connections": {
                "agents": core.agent_count,
                "onlineAgents": core.online_agent_count,
                "visitors": core.visitor_count,
                "sockets": self._sockets.client_count(),
            },
            "calls": {
                "active": len(core.calls),
                "simulations": core.simulation_count,
                "pending": len(core.requests),
            },
            "pools": self._pools(),
            "memory": {
                "heapUsed": rss,
                "heapTotal": LIMIT_BYTES,
                "rss": rss,
                "external": 0,
            },
            "uptime": round(self._process.uptime_s(), 3),
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
        core = self._core
        return 200, {
            "totalAgents": core.agent_count,
            "onlineAgents": core.online_agent_count,
            "totalSimulations": core.simulation_count,
            "totalVisitors": core.visitor_count,
            "activeCalls": len(core.calls),
        }

    # -- configuration, which anybody may change -------------------------------------------------

    def _test_match(self, request: HttpRequest) -> Answer:
        org_id, url = request.query.get("orgId"), request.query.get("url")
        if not org_id or not url:
            return 400, {"error": "orgId and url are required"}
        return 200, {
            "orgId": org_id,
            "url": url,
            "matchedPoolId": self._core.default_pools.get(org_id),
            "timestamp": self._clock.epoch_ms(),
        }

    def _configure_org(self, request: HttpRequest) -> Answer:
        body = json_object(request)
        org_id = body.get("orgId")
        if not org_id:
            return 400, {"error": "orgId is required"}
        self._core.default_pools[str(org_id)] = body.get("defaultPoolId")
        return 200, {"success": True}

    def _configure_pools(self, request: HttpRequest) -> Answer:
        body = json_object(request)
        agent_id, pools = body.get("agentId"), body.get("poolIds")
        if not agent_id or not isinstance(pools, list):
            return 400, {"error": "agentId and poolIds array are required"}
        self._core.pools_of_agent[str(agent_id)] = {
            str(pool.get("poolId", "undefined")) if isinstance(pool, dict) else "undefined"
            for pool in pools
        }
        return 200, {"success": True}

    @staticmethod
    def _stripe(_request: HttpRequest) -> Answer:
        return 503, {"error": "Stripe webhooks not configured"}

    def _pools(self) -> dict[str, Any]:
        """How many agents of each pool are there."""
        core = self._core
        active: dict[str, int] = {}
        for agent_id, pools in core.pools_of_agent.items():
            agent = core.agents.get(agent_id)
            for pool in pools:
                there = agent is not None and agent.status != "offline"
                active[pool] = active.get(pool, 0) + there
        named = set(active) | {pool for pool in core.default_pools.values() if pool}
        return {"total": len(named), "activeAgentsByPool": active}
