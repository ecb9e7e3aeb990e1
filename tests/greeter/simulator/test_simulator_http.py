"""The simulator's HTTP side: configuration, pages for errors, CORS, limits, health by mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ghost_greeter.simulator import Database, Faults, HttpSetup, Setup, Simulator, Timings
from tests.support.raw_client import RawClient, ask, serving

POLLING = "/socket.io/?EIO=4&transport=polling"
JSON = {"Content-Type": "application/json"}


async def asked(
    simulator: Simulator, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    """GET, or POST where there is a body: status and JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    status, _, text = await ask(simulator.url, path, method, content, **JSON, **headers)
    return status, json.loads(text)


def test_configuration() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            org, pools = "/api/config/org", "/api/config/agent-pools"
            success = (200, {"success": True})
            assert await asked(simulator, org, {}) == (400, {"error": "orgId is required"})
            assert await asked(simulator, org, []) == (400, {"error": "orgId is required"})
            payload = {"orgId": "o", "defaultPoolId": "p1", "pathRules": []}
            assert await asked(simulator, org, payload) == success
            wrong = (400, {"error": "agentId and poolIds array are required"})
            assert await asked(simulator, pools, {"agentId": "a"}) == wrong
            assert await asked(simulator, pools, {"agentId": "a", "poolIds": "p1"}) == wrong
            listed = [{"poolId": "p1", "priorityRank": 1}, "p2"]
            assert await asked(simulator, pools, {"agentId": "a", "poolIds": listed}) == success
            agent = await RawClient.socketio(simulator.url)
            agent.emit("agent:login", {"agentId": "a", "profile": {}})
            await agent.event()
            _, metrics = await asked(simulator, "/metrics")
            assert metrics["pools"] == {
                "total": 2,
                "activeAgentsByPool": {"p1": 1, "undefined": 1},
            }
            status, match = await asked(simulator, "/api/test-match?orgId=o&url=http://x/y")
            del match["timestamp"]
            assert (status, match) == (
                200,
                {"orgId": "o", "url": "http://x/y", "matchedPoolId": "p1"},
            )
            await asked(simulator, org, {"orgId": "half", "defaultPoolId": "\ud800x"})
            _, match = await asked(simulator, "/api/test-match?orgId=half&url=x")
            assert match["matchedPoolId"] == "\ud800x", "half of a surrogate pair"
            _, match = await asked(simulator, "/api/test-match?orgId=other&url=x")
            assert match["matchedPoolId"] is None
            assert (await asked(simulator, "/api/test-match?orgId=o"))[0] == 400
            assert await asked(simulator, "/api/webhooks/stripe", {"x": 1}) == (
                503,
                {"error": "Stripe webhooks not configured"},
            )

    asyncio.run(main())


def test_pages_for_errors() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            for method, path, content, status, text in (
                ("POST", "/health", b"{}", 404, "Cannot POST /health"),
                ("GET", "/api/config/org", b"", 404, "Cannot GET /api/config/org"),
                ("DELETE", "/a<b>", b"", 404, "Cannot DELETE /a&lt;b&gt;"),
                ("POST", "/api/config/org", b"{nonsense", 400, "SyntaxError"),
                ("POST", "/api/config/org", b"3", 400, "SyntaxError"),
                ("POST", "/nowhere", b"{nonsense", 400, "SyntaxError"),
                ("POST", "/nowhere", b"[" + b" " * 102_400 + b"]", 413, "PayloadTooLarge"),
            ):
                found, head, body = await ask(simulator.url, path, method, content, **JSON)
                assert (found, "text/html" in head) == (status, True), path
                assert text in body
            # A body that does not say that it is JSON is none.
            status, _, body = await ask(simulator.url, "/api/config/org", "POST", b"{nonsense")
            assert (status, body) == (400, '{"error":"orgId is required"}')
            assert simulator.sockets.errors_total == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "origin", "allowed"),
    [
        ({}, "http://localhost:5173", True),
        ({}, "http://foreign.test", False),
        ({"origins": ("http://mine.test",)}, "http://mine.test", True),
        ({"origins": None}, "http://foreign.test", True),
        ({"production": True}, "http://foreign.test", True),
    ],
)
def test_cors(options: dict[str, Any], origin: str, allowed: bool) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(http=HttpSetup(**options)))) as simulator:
            handshake, unknown = POLLING, f"{POLLING}&sid=unknown"
            for path, expected in (("/health", 200), (handshake, 200), (unknown, 400)):
                status, head, _ = await ask(simulator.url, path, Origin=origin)
                assert status == expected
                assert "Access-Control-Allow-Credentials: true" in head
                assert (f"Access-Control-Allow-Origin: {origin}" in head) is allowed
            _, head, _ = await ask(simulator.url, "/health")
            assert "Allow-Origin" not in head
            # Nobody is kept out by it.
            client = await RawClient.open(
                simulator.url, "/socket.io/?EIO=4&transport=websocket", Origin=origin
            )
            assert str(await client.recv()).startswith("0{")

    asyncio.run(main())


def test_only_unknown_paths_below_api_are_limited() -> None:
    async def main() -> None:
        async with serving(
            Simulator(Setup(timings=Timings().scaled(0.05), http=HttpSetup(limit=5)))
        ) as simulator:
            for _ in range(8):
                assert (await asked(simulator, "/api/stats"))[0] == 200
                assert (await ask(simulator.url, "/nowhere"))[0] == 404
            heads = []
            for number in range(7):
                status, head, body = await ask(simulator.url, f"/api/unknown{number}")
                assert status == (404 if number < 5 else 429)
                heads.append(head)
            assert json.loads(body) == {"error": "Too many requests, please try again later"}
            assert "RateLimit-Policy: 5;w=3\r\n" in heads[0]
            assert "RateLimit-Limit: 5\r\n" in heads[0]
            assert "RateLimit-Remaining: 4\r\n" in heads[0]
            assert "RateLimit-Remaining: 0\r\n" in heads[-1]
            assert "Retry-After: " in heads[-1]
            assert (await asked(simulator, "/health"))[0] == 200
            later_s = simulator.clock.now_s() + 3.1
            simulator.clock.now_s = lambda: later_s  # type: ignore[method-assign]
            assert (await ask(simulator.url, "/api/unknown"))[0] == 404

    asyncio.run(main())


def test_the_limit_can_be_off() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(http=HttpSetup(limit=0)))) as simulator:
            for _ in range(3):
                status, head, _ = await ask(simulator.url, "/api/unknown")
                assert (status, "RateLimit" in head) == (404, False)

    asyncio.run(main())


def test_redis_mode_and_a_redis_that_is_down() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(mode="redis", agents=1))) as simulator:
            _, health = await asked(simulator, "/health")
            assert health["mode"] == "redis"
            assert health["checks"]["redis"]["status"] == "healthy"
            assert (await asked(simulator, "/metrics"))[1]["mode"] == "redis"
            simulator.faults.set({"redis_latency": "40ms"})
            _, health = await asked(simulator, "/health")
            assert health["checks"]["redis"]["latency"] >= 40
            simulator.faults.set({"redis_down": True})
            status, health = await asked(simulator, "/health")
            assert (status, health["status"]) == (503, "unhealthy")
            assert health["checks"]["redis"]["error"] == "Redis not connected"
            assert await asked(simulator, "/ready") == (
                503,
                {"ready": False, "reason": "redis: Redis not connected"},
            )
            assert (await asked(simulator, "/live"))[0] == 200
            assert await asked(simulator, "/metrics") == (
                500,
                {"error": "Failed to collect metrics"},
            )
            visitor = await RawClient.socketio(simulator.url)  # the handshake still works
            visitor.emit("visitor:join", {"visitorId": "v"})
            await visitor.quiet("3")
            simulator.faults.set({"redis_down": None})
            visitor.emit("visitor:join", {"visitorId": "v"})
            assert (await visitor.event())[0] == "agent:assigned"

    asyncio.run(main())


def test_a_database_makes_it_healthy() -> None:
    async def main() -> None:
        faults = Faults(memory_base=100)
        async with serving(Simulator(Setup(database=Database()), faults=faults)) as simulator:
            _, health = await asked(simulator, "/health")
            assert health["status"] == health["checks"]["supabase"]["status"] == "healthy"

    asyncio.run(main())


def test_reported_memory() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            simulator.faults.set(
                {"memory_base": 100, "memory_per_connection": 1024, "memory_leak": 2048}
            )
            clients = [await RawClient.socketio(simulator.url) for _ in range(3)]

            async def rss_mb() -> int:
                metrics = (await asked(simulator, "/metrics"))[1]["memory"]
                assert metrics["rss"] == metrics["heapUsed"]
                return int(metrics["rss"]) // (1024 * 1024)

            assert await rss_mb() == 103
            await clients[0].close()
            assert await rss_mb() == 104
            for base, state, status in ((410, "degraded", 200), (600, "unhealthy", 503)):
                simulator.faults.set({"memory_base": base})
                found, health = await asked(simulator, "/health")
                assert (found, health["checks"]["memory"]["status"]) == (status, state)
            simulator.faults.set({"memory_base": 100, "memory_growth": 3600})
            before = await rss_mb()
            later_s = simulator.clock.now_s() + 10
            simulator.clock.now_s = lambda: later_s  # type: ignore[method-assign]
            assert await rss_mb() - before in (9, 10)

    asyncio.run(main())


def test_polling_is_served() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            _, _, opened = await ask(simulator.url, POLLING)
            handshake = json.loads(opened[1:])
            assert handshake["upgrades"] == ["websocket"]
            session = f"{POLLING}&sid={handshake['sid']}"
            for packet in (b"40", b'42["visitor:join",{"visitorId":"v"}]'):
                assert (await ask(simulator.url, session, "POST", packet))[2] == "ok"
            connected, assigned = (await ask(simulator.url, session))[2].split("\x1e")
            assert connected.startswith('40{"sid"')
            assert json.loads(assigned[2:])[0] == "agent:assigned"
            assert (await asked(simulator, "/metrics"))[1]["connections"]["sockets"] == 1

    asyncio.run(main())


def test_polling_needs_stickiness() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(mode="redis", replicas=2))) as simulator:
            _, _, opened = await ask(simulator.urls[0], POLLING)
            session = f"{POLLING}&sid={json.loads(opened[1:])['sid']}"
            status, _, body = await ask(simulator.urls[1], session, "POST", b"40")
            assert (status, json.loads(body)) == (400, {"code": 1, "message": "Session ID unknown"})
            assert (await ask(simulator.urls[0], session, "POST", b"40"))[0] == 200

    asyncio.run(main())
