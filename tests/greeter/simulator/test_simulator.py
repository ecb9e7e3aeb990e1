"""The simulator over real sockets: recorded conversations, protocol rules, HTTP, its process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from ghost_greeter.simulator import EmbeddedSimulator, HttpSetup, Setup, Simulator, Timings
from tests.support.raw_client import CLOSE, SOCKETIO, Closed, RawClient, get, serving

VECTORS = Path(__file__).parents[2] / "vectors"
LINE = re.compile(r" *[\d.]+ (\S+) +(--|->|<-) (.*)")
SID = re.compile(r'(?<=")[A-Za-z0-9_-]{20}(?=")')
TIMES = [
    (re.compile(r"\b\d{13}\b"), "MS"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z"), "ISO"),
]


class Masked:
    """Texts with times blotted out and session ids numbered in the order in which they appear."""

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}

    def text(self, text: object) -> str:
        assert isinstance(text, str), text
        for pattern, name in TIMES:
            text = pattern.sub(name, text)
        return SID.sub(
            lambda found: self.numbers.setdefault(found[0], f"SID{len(self.numbers)}"), text
        )


@pytest.mark.parametrize(
    ("name", "frames"), [("signaling_join.txt", 14), ("signaling_second_join.txt", 9)]
)
def test_answers_as_the_real_server_did(name: str, frames: int) -> None:
    ours, theirs = Masked(), Masked()
    compared = 0

    async def play(url: str, lines: list[str]) -> None:
        nonlocal compared
        clients: dict[str, RawClient] = {}
        for line in lines:
            found = LINE.fullmatch(line)
            if found is None:
                assert line.startswith("###"), line
                continue
            who, direction, text = found.groups()
            if direction == "--":
                assert text == "ws open"
                clients[who] = await RawClient.open(url, SOCKETIO)
            elif direction == "->":
                clients[who].send(text)
            else:
                assert ours.text(await clients[who].recv()) == theirs.text(text)
                compared += 1
        for client in clients.values():
            await client.quiet("3")

    async def main() -> None:
        async with serving(Simulator()) as simulator:
            await play(simulator.url, (VECTORS / name).read_text().splitlines())
            assert simulator.sockets.errors_total == 0

    asyncio.run(main())
    assert compared == frames


def join(visitor_id: object = "v1") -> str:
    payload = {"orgId": "org", "pageUrl": "https://example.com/", "visitorId": visitor_id}
    return "42" + json.dumps(["visitor:join", payload])


async def login(url: str, name: str, *, back: bool = True) -> RawClient:
    agent = await RawClient.socketio(url)
    profile = {"displayName": f"Agent {name}", "avatarUrl": None}
    agent.emit("agent:login", {"agentId": name, "token": "t", "profile": profile})
    assert (await agent.event())[0] == "login:success"
    assert (await agent.event())[0] == "stats:update"
    if back:
        agent.send('420["agent:back"]')
        assert await agent.recv() == '430[{"success":true,"status":"idle"}]'
    return agent


def test_built_in_agents_serve_25_each() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            events = []
            for number in range(27):
                visitor = await RawClient.socketio(simulator.url)
                visitor.send(join(f"v{number}"))
                events.append((await visitor.event())[0])
            assert events == ["agent:assigned"] * 25 + ["agent:unavailable"] * 2

    asyncio.run(main())


@pytest.mark.parametrize(
    "frame",
    [
        '42["visitor:join"]',
        '42["visitor:join",null]',
        '421["visitor:join",3]',
        '42["visitor:interaction",{"interactionType":"click","timestamp":1}]',
        '425["visitor:interaction"]',
        '42["widget:pageview",{"agentId":"a"}]',
        '42["widget:missed_opportunity",{"triggerDelaySeconds":3,"poolId":null}]',
        '42["agent:login",{"agentId":"a","token":"t"}]',
        '42["agent:login"]',
        '42["agent:status",{"status":"idle"}]',
        '42["heartbeat",{"timestamp":1}]',
        '427["agent:logout"]',
        '42["visitor:disconnect"]',
        '42["agent:back",{"x":1}]',
        '429["agent:away"]',
    ],
)
def test_silence(frame: str) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            client = await RawClient.socketio(simulator.url)
            await client.quiet(frame)
            client.send(join())
            assert (await client.event())[0] == "agent:assigned"
            assert simulator.sockets.errors_total == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "frames",
    [
        ['42["visitor:join",{}]'],  # before the connect packet
        ["40", "40"],
        ["40", "42{"],
        ["40", '42{"a":1}'],
        ["40", '42["connect"]'],
        ["40", '42["disconnect"]'],
        ["40", "9"],
        ["40", ""],
        ["40", b"\x01"],
        ["40", "2"],
    ],
)
def test_what_ends_the_connection_with_1005(frames: list[str | bytes]) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            client = await RawClient.open(simulator.url, SOCKETIO)
            for frame in frames:
                client.send(frame)
            while not isinstance(message := await client.recv(), Closed):
                assert str(message).startswith(("0{", "40{"))
            assert message == Closed(1005)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ('"a\\u0000\\u2028é😀"', '"a\\u0000\u2028é😀"'),
        ('"\\ud83d\\ude00"', '"😀"'),
        ('"\\ud800x"', '"\\ud800x"'),  # half of a pair: no UTF-8, JavaScript escapes it
        ("7", "7"),
        ("1e400", "null"),  # Infinity, which JSON has not
    ],
)
def test_what_comes_back_is_json_as_javascript_writes_it(sent: str, echoed: str) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            client = await RawClient.socketio(simulator.url)
            client.send('42["visitor:join",{"visitorId":%s}]' % sent)
            assert f'"visitorId":{echoed},' in str(await client.recv())
            client.send('42["webrtc:signal",{"targetId":%s,"signal":{"a":[%s]}}]' % (sent, sent))
            answer = f'{{"targetId":{echoed},"signal":{{"a":[{echoed}]}}}}'
            assert str(await client.recv()) == f'42["webrtc:signal",{answer}]'
            assert simulator.sockets.errors_total == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "frame", ['42["unknown",1]', '427["unknown"]', "3", "6", "1", '42["error"]']
)
def test_what_is_ignored(frame: str) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            client = await RawClient.socketio(simulator.url)
            await client.quiet(frame)
            client.send("40/admin,")
            assert await client.recv() == '44/admin,{"message":"Invalid namespace"}'
            client.send(join())
            assert (await client.event())[0] == "agent:assigned"

    asyncio.run(main())


def test_the_largest_frame() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=1))) as simulator:
            client = await RawClient.socketio(simulator.url)
            await client.quiet('42["unknown","' + "x" * 999_000 + '"]')
            client.send('42["unknown","' + "x" * 1_000_000 + '"]')
            assert await client.recv() == Closed(1009)

    asyncio.run(main())


def test_acknowledgements_of_somebody_who_is_not_logged_in() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            client = await RawClient.socketio(simulator.url)
            client.send('420["agent:back"]')
            refused = '[{"success":false,"status":"offline","error":"Agent not found"}]'
            assert await client.recv() == f"430{refused}"
            client.send('421["agent:away",{"reason":"manual"}]')
            assert await client.recv() == f"431{refused}"

    asyncio.run(main())


def test_back_with_a_payload_changes_the_status_and_fails() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            waits = await RawClient.socketio(simulator.url)
            waits.send(join("v0"))
            assert (await waits.event())[0] == "agent:unavailable"
            agent = await login(simulator.url, "a", back=False)
            await agent.quiet('421["agent:back",{"why":"not"}]')
            await waits.quiet("3")
            later = await RawClient.socketio(simulator.url)
            later.send(join("v1"))
            assert (await later.event())[0] == "agent:assigned"

    asyncio.run(main())


def test_away_moves_the_visitor_and_41_leaves() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            agent = await login(simulator.url, "a")
            visitor = await RawClient.socketio(simulator.url)
            visitor.send(join())
            assert (await visitor.event())[0] == "agent:assigned"
            assert await agent.event() == ["stats:update", {"poolVisitors": 1}]
            agent.send('422["agent:away",{"reason":"manual"}]')
            assert await agent.recv() == '432[{"success":true,"status":"away"}]'
            event, payload = await visitor.event()
            assert event == "agent:unavailable"
            assert list(payload) == [
                "visitorId",
                "widgetSettings",
                "poolId",
                "previousAgentName",
                "reason",
            ]
            assert (payload["previousAgentName"], payload["reason"]) == ("Agent a", "agent_away")
            agent.send('42["agent:back"]')
            event, payload = await visitor.event()
            assert (event, list(payload)[-1]) == ("agent:assigned", "visitorConnectedAt")
            visitor.send("41")
            assert await agent.event() == ["stats:update", {"poolVisitors": 0}]
            await visitor.quiet("3")  # the WebSocket is still open

    asyncio.run(main())


def test_an_agent_that_stays_away_hands_over_after_the_grace() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(timings=Timings(agent_grace_s=0.1)))) as simulator:
            first = await login(simulator.url, "a")
            visitor = await RawClient.socketio(simulator.url)
            visitor.send(join())
            assert (await visitor.event())[0] == "agent:assigned"
            second = await login(simulator.url, "b")
            await first.abort()
            event, payload = await visitor.event()
            assert event == "agent:reassigned"
            assert list(payload) == ["previousAgentId", "newAgent", "reason"]
            assert payload["previousAgentId"] == "a"
            assert payload["newAgent"]["id"] == "b"
            assert payload["reason"] == "agent_offline"
            second.send("41")
            event, payload = await visitor.event()
            assert event == "agent:unavailable"
            assert list(payload) == ["visitorId", "widgetSettings", "poolId"]

    asyncio.run(main())


def test_an_agent_that_returns_in_time_keeps_its_visitor() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(timings=Timings(agent_grace_s=60)))) as simulator:
            agent = await login(simulator.url, "a")
            visitor = await RawClient.socketio(simulator.url)
            visitor.send(join())
            assert (await visitor.event())[0] == "agent:assigned"
            await agent.abort()
            again = await login(simulator.url, "a", back=False)
            await visitor.quiet("3")
            visitor.send("41")
            assert await again.event() == ["stats:update", {"poolVisitors": 0}]

    asyncio.run(main())


def test_pings_and_limits_reach_the_client() -> None:
    async def main() -> None:
        simulator = Simulator(
            Setup(max_payload=5000, timings=Timings(ping_interval_s=0.1, ping_timeout_s=0.2))
        )
        async with serving(simulator):
            client = await RawClient.open(simulator.url, SOCKETIO)
            opened = json.loads(str(await client.recv())[1:])
            del opened["sid"]
            assert opened == {
                "upgrades": [],
                "pingInterval": 100,
                "pingTimeout": 200,
                "maxPayload": 5000,
            }
            assert await client.recv() == "2"
            assert await client.recv() == Closed(1005)

    asyncio.run(main())


async def ask(simulator: Simulator, path: str, **headers: str) -> tuple[int, Any]:
    status, _, body = await get(simulator.url, path, **headers)
    return status, json.loads(body)


def test_http_endpoints() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(agents=2))) as simulator:
            visitor = await RawClient.socketio(simulator.url)
            visitor.send(join())
            await visitor.event()
            agent = await login(simulator.url, "a", back=False)
            await agent.abort()
            never_connects = await RawClient.socketio(simulator.url, connect=False)
            async with asyncio.timeout(20):
                while simulator.state.online_agent_count == 3:
                    await asyncio.sleep(0.001)

            assert await ask(simulator, "/ready") == (200, {"ready": True})
            assert await ask(simulator, "/live") == (200, {"alive": True, "pid": os.getpid()})
            assert await ask(simulator, "/api/stats") == (
                200,
                {
                    "totalAgents": 3,
                    "onlineAgents": 2,
                    "totalSimulations": 1,
                    "totalVisitors": 1,
                    "activeCalls": 0,
                },
            )
            status, metrics = await ask(simulator, "/metrics")
            assert status == 200
            assert list(metrics) == [
                "timestamp",
                "mode",
                "connections",
                "calls",
                "pools",
                "memory",
                "uptime",
            ]
            assert metrics["connections"] == {
                "agents": 3,
                "onlineAgents": 2,
                "visitors": 1,
                "sockets": 1,
            }
            assert metrics["calls"] == {"active": 0, "simulations": 1, "pending": 0}
            assert set(metrics["memory"]) == {"heapUsed", "heapTotal", "rss", "external"}
            status, health = await ask(simulator, "/health")
            assert (status, health["status"], health["mode"]) == (200, "degraded", "in-memory")
            assert health["checks"]["supabase"]["error"] == "Supabase not configured"
            assert re.fullmatch(r"\d+MB", health["checks"]["memory"]["details"]["rss"])
            status, head, body = await get(simulator.url, "/no<where>")
            assert status == 404
            assert "content-type: text/html" in head.lower()
            assert "<pre>Cannot GET /no&lt;where&gt;</pre>" in body
            await never_connects.abort()

    asyncio.run(main())


UNAUTHORIZED = (401, {"error": "Unauthorized"})
REQUIRED = (401, {"error": "API key required"})
INVALID = (403, {"error": "Invalid API key"})


@pytest.mark.parametrize(
    ("production", "key", "no_key", "wrong_key", "right_key"),
    [
        (False, None, 200, 200, 200),
        (False, "k", UNAUTHORIZED, UNAUTHORIZED, 200),
        (True, "k", REQUIRED, INVALID, 200),
        (True, None, REQUIRED, INVALID, INVALID),
    ],
)
def test_who_may_read_metrics(
    production: bool, key: str | None, no_key: object, wrong_key: object, right_key: object
) -> None:
    async def main() -> None:
        async with serving(
            Simulator(Setup(http=HttpSetup(metrics_key=key, production=production)))
        ) as simulator:

            async def outcome(path: str, **headers: str) -> object:
                answer = await ask(simulator, path, **headers)
                return 200 if answer[0] == 200 else answer

            assert await outcome("/metrics") == no_key
            assert await outcome("/metrics?key=bad") == wrong_key
            assert await outcome("/metrics", x_metrics_api_key="bad") == wrong_key
            assert await outcome("/metrics?key=k") == right_key
            assert await outcome("/metrics", x_metrics_api_key="k") == right_key
            assert await outcome("/metrics", x_internal_request="true") == 200
            assert await outcome("/health") == 200

    asyncio.run(main())


def test_embedded_in_a_process_of_its_own() -> None:
    async def main() -> None:
        simulator = EmbeddedSimulator(agents=1, metrics_key="k")
        async with simulator:
            assert simulator.url == f"http://127.0.0.1:{simulator.port}"
            visitor = await RawClient.socketio(simulator.url)
            visitor.send(join())
            assert (await visitor.event())[0] == "agent:assigned"
            assert (await get(simulator.url, "/metrics"))[0] == 401
            status, _, body = await get(simulator.url, "/live")
            assert json.loads(body)["pid"] == simulator.pid
            assert status == 200
            await visitor.close()

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_close_with_1005_and_end_with_0(number: signal.Signals) -> None:
    async def main() -> None:
        simulator = EmbeddedSimulator("--ping-interval", "60")
        simulator.start()
        client = await RawClient.socketio(simulator.url)
        os.kill(simulator.pid, number)
        assert await client.recv() == Closed(1005)
        client.send_frame(CLOSE)
        ended = await asyncio.to_thread(os.waitid, os.P_PID, simulator.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
        with pytest.raises(Exception, match="ended by itself with code 0"):
            simulator.stop()
        await client.abort()

    asyncio.run(main())
