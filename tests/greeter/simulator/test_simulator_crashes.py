"""Replicas that end, with a crash or properly, and begin anew: what is lost, and what is not."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from ghost_greeter.simulator import HttpSetup, Setup, Simulator
from ghostcore import UsageError
from tests.support.raw_client import SOCKETIO, Closed, RawClient, ask, serving
from tests.support.stage import Stage, names, served_by


def served() -> Stage:
    stage = Stage("redis")
    stage.agents("a")
    assert served_by(stage.join("v")) == "a"
    return stage


@pytest.mark.parametrize("seed", range(8))
def test_a_replica_that_has_ended_looks_after_nothing(seed: int) -> None:
    """Otherwise it would find half of the rings that are over, and could tell nobody."""
    stage = Stage("redis", replicas=2, seed=seed)
    stage.at("a", 1)
    stage.at("v", 1)
    stage.agents("a")
    stage.join("v")
    stage.asks("v", "a")
    stage.ends(0)
    events = names([event for _ in range(60) for event in stage.wait(1)])
    assert {("a", "call:cancelled"), ("v", "agent:unavailable")} <= set(events)
    stage.restarts(0)
    assert len(stage.core.timers) == 4, "each has its two polls again, and not twice"


def test_what_a_replica_was_about_to_do_ends_with_it() -> None:
    stage = served()
    stage.machine.handle(stage.now_s, 0, "v", "call:request", [{"agentId": "a"}])
    stage.ends()
    assert stage.wait(1) == []
    assert stage.core.outcomes["requested"] == 0
    # In Redis they are all there, on sockets that are not.
    assert stage.core.visitor_count == 1
    assert stage.restarts() == []
    assert stage.wait(200) == []
    assert stage.core.agents["a"].status == "in_simulation"
    assert names(stage.join("v", "again")) == [("again", "agent:assigned")]


def test_redis_forgets_while_no_replica_is_there() -> None:
    stage = served()
    stage.agents("b")
    stage.asks("v", "a")
    stage.leaves("b")
    stage.ends()
    # The record of the ring is kept for 35 s: nobody looks, it is never found.
    stage.wait(40)
    stage.restarts()
    assert stage.core.agents["b"].grace is None
    stage.wait(60)
    assert (stage.core.outcomes["rung_out"], len(stage.core.requests)) == (0, 1)
    stage.wait(201)
    assert (stage.core.outcomes["expired"], len(stage.core.requests)) == (1, 0)


def test_a_ring_that_ended_during_a_short_outage_is_found_after_it() -> None:
    stage = served()
    stage.asks("v", "a")
    stage.ends()
    stage.wait(20)
    stage.restarts()
    stage.wait(6)
    assert stage.core.outcomes["rung_out"] == 1


def test_nobody_is_marked_away_while_redis_is_down() -> None:
    stage = served()
    stage.asks("v", "a")
    stage.faults.set({"redis_down": True})
    assert stage.wait(30) == []
    assert stage.core.outcomes["rung_out"] == 0
    stage.faults.set({"redis_down": False})
    assert ("v", "agent:unavailable") in names(stage.wait(6))


def test_built_in_agents_come_back_with_their_replica() -> None:
    stage = Stage("redis", agents=1)
    stage.join("v")
    stage.asks("v", "sim-agent-1")
    assert "call:accepted" in [event.event for event in stage.wait(4)]
    stage.ends()
    stage.wait(10)
    assert len(stage.core.calls) == 1
    stage.restarts()
    assert stage.core.calls == {}, "its first word is that the old call is over"
    assert stage.core.agents["sim-agent-1"].is_free
    assert names(stage.join("w")) == [("w", "agent:assigned")]
    stage.asks("w", "sim-agent-1")
    assert "call:accepted" in [event.event for event in stage.wait(4)]


# -- over sockets --------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "left_over"), [("memory", 0), ("redis", 1)])
def test_a_crash(mode: Any, left_over: int) -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(mode=mode, agents=1))) as simulator:
            port, url = simulator.port, simulator.url
            visitor = await RawClient.socketio(url)
            visitor.emit("visitor:join", {"visitorId": "v"})
            assert (await visitor.event())[0] == "agent:assigned"
            await simulator.crash()
            assert await visitor.recv() == Closed(1006)
            with pytest.raises(ConnectionError):
                await RawClient.open(url, SOCKETIO)
            await simulator.start()
            assert simulator.port == port
            # What was in memory is lost; in Redis nobody has cleaned up.
            assert simulator.state.visitor_count == left_over
            again = await RawClient.socketio(url)
            again.emit("visitor:join", {"visitorId": "w"})
            assert (await again.event())[0] == "agent:assigned"

    asyncio.run(main())


def test_one_replica_crashes() -> None:
    async def main() -> None:
        async with serving(Simulator(Setup(mode="redis", replicas=2))) as simulator:
            first = await RawClient.socketio(simulator.urls[0])
            second = await RawClient.socketio(simulator.urls[1])
            await simulator.crash(0)
            assert await first.recv() == Closed(1006)
            await second.quiet("3")
            await simulator.start()
            await RawClient.socketio(simulator.urls[0])
            await second.quiet("3")

    asyncio.run(main())


def test_a_crash_and_a_stop_and_a_start() -> None:
    async def main() -> None:
        simulator = Simulator(Setup(mode="redis", replicas=2))
        await simulator.start()
        await simulator.crash(0)
        await simulator.stop()
        await simulator.start()
        with pytest.raises(UsageError, match="running already"):
            await simulator.start()
        for url in simulator.urls:
            client = await RawClient.socketio(url)
            await client.quiet("3")
            await client.abort()
        await simulator.stop()

    asyncio.run(main())


def test_a_process_that_has_crashed_begins_anew() -> None:
    async def main() -> None:
        simulator = Simulator(Setup(mode="redis", http=HttpSetup(limit=1)))
        faults = {"memory_base": 100, "memory_leak": 1024, "memory_growth": 3600}
        simulator.faults.set(faults)
        at_s = simulator.clock.now_s()
        simulator.clock.now_s = lambda: at_s  # type: ignore[method-assign]

        async def figures() -> tuple[float, int]:
            metrics = json.loads((await ask(simulator.url, "/metrics"))[2])
            health = json.loads((await ask(simulator.url, "/health"))[2])
            assert health["uptime"] == metrics["uptime"]
            return metrics["uptime"], metrics["memory"]["rss"] >> 20

        async with serving(simulator):
            client = await RawClient.socketio(simulator.url)
            await client.close()
            assert [(await ask(simulator.url, "/api/x"))[0] for _ in range(2)] == [404, 429]
            at_s += 50.0
            assert await figures() == (50.0, 100 + 1 + 50)
            await simulator.crash()
            await simulator.start()
            assert await figures() == (0.0, 100)
            assert (await ask(simulator.url, "/api/x"))[0] == 404

    asyncio.run(main())


def test_a_replica_is_away_for_a_while() -> None:
    async def main() -> None:
        async with serving(
            Simulator(Setup(mode="redis", replicas=2, http=HttpSetup(control=True)))
        ) as simulator:
            first, second = [await RawClient.socketio(url) for url in simulator.urls]

            async def crash(body: object) -> tuple[int, Any]:
                content = json.dumps(body).encode()
                status, _, text = await ask(simulator.urls[1], "/_simulator/crash", "POST", content)
                return status, json.loads(text)

            for wrong, told in (
                ({"back": "5s"}, "'back' is unknown: expected an object such as {"),
                ({"back_after": "soon"}, "no distribution of times"),
                ({"replica": 2}, "replica is 2: expected 0 to 1"),
                ({"replica": "0"}, "replica is '0': expected 0 to 1"),
                ([], "the body is of type list: expected an object such as {"),
            ):
                status, found = await crash(wrong)
                assert status == 400
                assert told in found["error"]
            assert (await crash({"replica": 0, "back_after": "50ms"}))[0] == 200
            assert await first.recv() == Closed(1006)
            await second.quiet("3")
            async with asyncio.timeout(20):
                while True:
                    try:
                        first = await RawClient.socketio(simulator.urls[0])
                    except ConnectionError:
                        await asyncio.sleep(0.005)
                    else:
                        break
            assert (await crash({"replica": 0}))[0] == 200
            assert await first.recv() == Closed(1006)
            # A server that stops does not wait for an outage to end.
            await crash({"replica": 1, "back_after": "10m"})
            assert await second.recv() == Closed(1006)

    asyncio.run(main())


def test_a_port_that_is_taken_during_an_outage_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            port = simulator.port
            simulator.crash_soon(0.2)
            thief = None
            async with asyncio.timeout(20):
                while thief is None:
                    await asyncio.sleep(0.001)
                    with suppress(OSError):
                        thief = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
                while not caplog.records:
                    await asyncio.sleep(0.001)
            thief.close()
            await thief.wait_closed()

    asyncio.run(main())
    assert "the simulator is not back after its crash" in caplog.text
    assert "address already in use" in caplog.text
