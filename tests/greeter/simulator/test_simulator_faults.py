"""Faults on request: each does what it says, exactly, and can be changed while it runs."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from typing import Any

import pytest

from ghost_greeter.simulator import (
    Behaviour,
    Database,
    Distribution,
    Faults,
    HttpSetup,
    Setup,
    Simulator,
    Timings,
)
from ghostcore import UsageError
from tests.support.raw_client import SOCKETIO, Closed, RawClient, ask, serving
from tests.support.stage import Stage, Told, incoming, names

# -- distributions -------------------------------------------------------------------------------


def drawn(text: str, times: int = 2000) -> list[float]:
    source = random.Random(1)
    distribution = Distribution.parse(text)
    return [distribution.draw(source) for _ in range(times)]


def test_distributions() -> None:
    assert set(drawn("50ms")) == {0.05}
    uniform = drawn("10ms..50ms")
    assert 0.010 <= min(uniform) < 0.012
    assert 0.048 < max(uniform) <= 0.05
    two = drawn("5ms@90,2s..3s@10")
    slow = [time for time in two if time > 1]
    assert 150 <= len(slow) <= 250
    assert {time for time in two if time < 1} == {0.005}
    assert 2 <= min(slow) <= max(slow) <= 3
    tail = drawn("tail:5ms", 20_000)
    assert min(tail) >= 0.005
    # The median of a Pareto distribution is scale * 2 ** (1 / index).
    assert statistics.median(tail) == pytest.approx(0.005 * 2 ** (1 / 1.5), rel=0.05)
    assert max(tail) > 0.2


@pytest.mark.parametrize(
    "text", ["", "5", "ms", "-5ms", "5ms..", "9ms..5ms", "5ms@", "5ms@0", "5ms@x", "tail:", "5 ms"]
)
def test_texts_that_are_no_distribution(text: str) -> None:
    with pytest.raises(UsageError, match=r"no distribution of times|ends before it begins"):
        Distribution.parse(text)


# -- setting them --------------------------------------------------------------------------------


def test_setting_faults() -> None:
    faults = Faults()
    nothing = faults.described()
    values = {
        "latency": "5ms@90,2s@10",
        "latency_events": ["visitor:join"],
        "redis_latency": "tail:2ms",
        "redis_down": True,
        "drop": 0.25,
        "drop_events": ["call:incoming", "call:started"],
        "rate_limits": {"visitor:join": 3},
        "connection_limit": 100,
        "over_limit": "hang",
        "connect_latency": "1s",
        "latency_from": 840,
        "lifetime": "1h@95,10s..30s@5",
        "memory_base": 100.0,
        "memory_per_connection": 40.0,
        "memory_leak": 8.0,
        "memory_growth": 12.5,
    }
    assert set(values) == set(nothing)
    faults.set(values)
    assert faults.described() == values
    faults.set({"drop_events": "call:ended", "rate_limits": "visitor:join=0,call:request=2"})
    assert faults.described()["drop_events"] == ["call:ended"]
    assert faults.described()["rate_limits"] == {"visitor:join": 0, "call:request": 2}
    faults.set(dict.fromkeys(values))
    assert faults.described() == nothing


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"latancy": "5ms"}, "no fault is called 'latancy'"),
        ({"latency": 5}, "no distribution"),
        ({"drop": 1.5}, "drop is 1.5: expected 0 to 1"),
        ({"drop": "much"}, "expected 0 to 1"),
        ({"connection_limit": 2.5}, "expected a whole number"),
        ({"connection_limit": -1}, "expected a whole number"),
        ({"latency_from": "many"}, "expected a whole number"),
        ({"lifetime": "long"}, "no distribution"),
        ({"memory_base": True}, "expected a number from 0"),
        ({"over_limit": "504"}, "expected one of 503, reset, hang"),
        ({"redis_down": "yes"}, "expected true or false"),
        ({"drop_events": 7}, "expected names of events"),
        ({"rate_limits": {"call:end": 1}}, "'call:end' is not limited"),
        ({"rate_limits": {"visitor:join": "x"}}, "expected a whole number"),
        ({"rate_limits": 7}, "expected events and numbers"),
    ],
)
def test_faults_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    faults = Faults()
    with pytest.raises(UsageError, match=told):
        faults.set({"drop": 0.5, **wrong})
    assert faults.drop == 0.0, "nothing has been changed"


# -- what they do to the state machine -----------------------------------------------------------


def test_latency_delays_what_it_is_set_for_and_keeps_the_order() -> None:
    stage = Stage(agents=1)
    stage.faults.set({"latency": "100ms", "latency_events": ["visitor:join"]})
    assert stage.join("v") == []
    assert stage.asks("v", "sim-agent-1") == [], "waits behind the join"
    assert stage.wait(0.099) == []
    assert names(stage.wait(0.001)) == [("v", "agent:assigned")]
    stage.faults.set({"latency": None})
    stage.wait(10)
    assert stage.core.outcomes["accepted"] == 1


def test_redis_slowness_counts_for_every_round_trip() -> None:
    stage = Stage("redis", agents=1)
    stage.faults.set({"redis_latency": "50ms"})
    assert stage.join("v") == []
    assert stage.wait(0.25) == []
    assert names(stage.wait(0.15)) == [("v", "agent:assigned")]


def test_a_server_that_gets_slow_at_a_load() -> None:
    stage = Stage("redis", agents=3)
    stage.faults.set({"latency": "1s", "redis_latency": "1s", "latency_from": 5})
    for number in range(4):
        assert len(stage.join(f"v{number}")) == 1
    assert stage.join("v4") == [], "five are there: built-in agents are no connections"
    assert names(stage.wait(8)) == [("v4", "agent:assigned")]
    stage.machine.left(stage.now_s, 0, "v4")
    assert len(stage.join("v3")) == 1
    assert stage.faults.connect_s(4, random.Random()) == 0
    stage.faults.set({"connect_latency": "2s"})
    assert [stage.faults.connect_s(there, random.Random()) for there in (4, 5)] == [0, 2]


def test_dropped_replies() -> None:
    stage = Stage(agents=10)
    stage.faults.set({"drop": 1, "drop_events": ["agent:assigned"]})
    for number in range(250):
        assert stage.join(f"v{number}") == []
    assert stage.core.outcomes["dropped"] == 250
    assert names(stage.join("one more")) == [("one more", "agent:unavailable")]
    stage.faults.set({"drop": 0.2, "drop_events": None})
    served = [stage.join("one more") for _ in range(1000)]
    assert 140 <= served.count([]) <= 260
    assert stage.core.outcomes["dropped"] == 250 + served.count([])


def test_rate_limits_in_memory_mode() -> None:
    stage = Stage(agents=1)
    stage.faults.set({"rate_limits": {"visitor:join": 2}})
    events = [stage.join("v") for _ in range(5)]
    assert [told[0].event for told in events] == ["agent:assigned"] * 2 + ["error"] * 3
    assert stage.core.outcomes["rate_limited"] == 3


# -- built-in agents -----------------------------------------------------------------------------


def rang(stage: Stage, calls: int, within_s: float = 10.0) -> list[Told]:
    """What visitors hear of so many calls, one after the other."""
    heard = []
    for number in range(calls):
        visitor = f"v{number}"
        stage.join(visitor)
        heard += stage.asks(visitor, "sim-agent-1") + stage.wait(within_s)
        heard += stage.leaves(visitor)
    return heard


def test_built_in_agents_accept() -> None:
    stage = Stage(agents=2)
    heard = rang(stage, 20)
    assert [told.event for told in heard] == ["call:accepted"] * 20
    assert stage.core.outcomes["accepted"] == 20


def test_built_in_agents_keep_to_their_shares_exactly() -> None:
    mix = Behaviour.parse_mix("80,15,5")
    stage = Stage(agents=1, behaviour=Behaviour(mix, Distribution.parse("2s")))
    heard = rang(stage, 100, within_s=20)
    reasons = [told.payload.get("reason") for told in heard if told.event != "call:accepted"]
    assert stage.core.outcomes["accepted"] == 80
    assert stage.core.outcomes["rejected"] == 15
    assert stage.core.outcomes["rung_out"] == 5
    assert (reasons.count("agent_away"), reasons.count("rna_timeout")) == (15, 5)


def test_a_built_in_agent_answers_what_rang_during_its_call() -> None:
    stage = Stage(agents=1, behaviour=Behaviour(answer=Distribution.parse("1s")))
    for visitor in ("v", "w"):
        stage.join(visitor)
        stage.asks(visitor, "sim-agent-1")
    events = stage.wait(1)
    assert names(events) == [("v", "call:accepted"), ("w", "agent:unavailable")]
    stage.does("v", "call:end", {"callId": events[0].payload["callId"]})
    assert ("w", "call:accepted") in names(stage.wait(2))


def test_a_built_in_agent_comes_back_when_it_was_marked_away() -> None:
    ignoring = Behaviour(Behaviour.parse_mix("ignore"))
    stage = Stage(agents=1, behaviour=ignoring)
    heard = rang(stage, 3, within_s=17)
    assert [told.event for told in heard] == ["agent:unavailable", "agent:assigned"] * 3
    assert stage.core.agents["sim-agent-1"].is_free
    stage.wait(1000)
    assert stage.core.agents["sim-agent-1"].is_free, "never stale"


@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_a_built_in_agent_hangs_up_when_the_visitor_had_left(mode: Any) -> None:
    stage = Stage(mode, agents=1, behaviour=Behaviour(answer=Distribution.parse("2s")))
    stage.join("v")
    stage.asks("v", "sim-agent-1")
    stage.leaves("v")
    stage.wait(2.5)
    assert len(stage.core.calls) == 1, "it cannot know yet"
    stage.wait(5)
    assert stage.core.calls == {}
    assert stage.core.agents["sim-agent-1"].is_free
    # A call that has two sides goes on.
    stage.join("w")
    stage.asks("w", "sim-agent-1")
    assert names(stage.wait(60)) == [("w", "call:accepted")]
    assert len(stage.core.calls) == 1


@pytest.mark.parametrize("text", ["", "90", "90,8", "a,b,c", "1,2,3,4"])
def test_mixes_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="expected three shares"):
        Behaviour.parse_mix(text)
    for shares in ((0.0, 0.0, 0.0), (-1.0, 1.0, 1.0)):
        with pytest.raises(UsageError, match="expected shares"):
            Behaviour(shares)


# -- over sockets --------------------------------------------------------------------------------


def test_connections_over_the_limit() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            simulator.faults.set({"connection_limit": 2})
            clients = [await RawClient.socketio(simulator.url) for _ in range(2)]
            status, _, body = await ask(simulator.url, SOCKETIO, Upgrade="websocket")
            assert (status, body) == (503, "Service Unavailable")
            simulator.faults.set({"over_limit": "reset"})
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await RawClient.open(simulator.url, SOCKETIO)
            simulator.faults.set({"over_limit": "hang"})
            hangs = asyncio.create_task(RawClient.open(simulator.url, SOCKETIO))
            assert (await ask(simulator.url, "/live"))[0] == 200, "the rest is served"
            await asyncio.sleep(0.05)
            assert not hangs.done()
            hangs.cancel()
            await clients[0].close()
            await RawClient.socketio(simulator.url)

    asyncio.run(main())


def test_the_limit_holds_for_many_at_once_and_for_polling() -> None:
    polling = SOCKETIO.replace("websocket", "polling")

    async def opens(simulator: Simulator, way: int) -> int:
        upgrade = {} if way else {"Upgrade": "websocket", "Connection": "Upgrade"}
        status, _, body = await ask(
            simulator.url, polling if way else SOCKETIO, "GET", b"", **upgrade
        )
        if status == 200:
            sids.append(json.loads(body[1:])["sid"])
        return status

    sids: list[str] = []

    async def main() -> None:
        async with serving(Simulator()) as simulator:
            simulator.faults.set({"connection_limit": 5, "connect_latency": "50ms"})
            clients = [asyncio.create_task(RawClient.socketio(simulator.url)) for _ in range(3)]
            while simulator.sockets.opening < 3:
                await asyncio.sleep(0.001)
            found = await asyncio.gather(*(opens(simulator, 1) for _ in range(10)))
            assert sorted(found) == [200] * 2 + [503] * 8
            assert [await opens(simulator, way) for way in (0, 1)] == [503, 503]
            await asyncio.gather(*clients)
            assert len(simulator.sockets.connections) == 5
            # What is in already may upgrade.
            client = await RawClient.open(simulator.url, f"{SOCKETIO}&sid={sids[0]}")
            client.send("2probe")
            assert await client.recv() == "3probe"

    asyncio.run(main())


def test_connections_that_break() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            simulator.faults.set({"lifetime": "20ms"})
            breaks = await RawClient.socketio(simulator.url)
            gone = await RawClient.socketio(simulator.url)
            await gone.close()
            assert await breaks.recv() == Closed(1006)
            simulator.faults.set({"lifetime": "1m"})
            await RawClient.socketio(simulator.url)
            assert len(simulator._breaks) == 1
            simulator.faults.set({"lifetime": None})
            stays = await RawClient.socketio(simulator.url)
            await stays.quiet("3")

    asyncio.run(main())


def test_connecting_takes_its_time() -> None:
    async def main() -> None:
        async with serving(Simulator()) as simulator:
            simulator.faults.set({"connect_latency": "150ms"})
            began_s = asyncio.get_running_loop().time()
            await RawClient.socketio(simulator.url)
            assert asyncio.get_running_loop().time() - began_s >= 0.14

    asyncio.run(main())


def test_control() -> None:
    async def main() -> None:
        simulator = Simulator(
            Setup(mode="redis", replicas=2, agents=2, http=HttpSetup(control=True))
        )
        async with serving(simulator):

            async def control(path: str = "", body: object = None) -> tuple[int, Any]:
                content = b"" if body is None else json.dumps(body).encode()
                method = "GET" if body is None else "POST"
                status, _, text = await ask(
                    simulator.url,
                    f"/_simulator{path}",
                    method,
                    content,
                    **{"Content-Type": "application/json"},
                )
                return status, json.loads(text)

            status, found = await control()
            assert (status, found["mode"], found["urls"]) == (200, "redis", simulator.urls)
            assert found["connections"] == [0, 0]
            status, found = await control("/faults", {"drop": 1, "drop_events": ["error"]})
            assert (status, found["drop"]) == (200, 1.0)
            assert simulator.faults.drop == 1
            status, found = await control("/faults", {"drop": 2})
            assert (status, found) == (400, {"error": "drop is 2: expected 0 to 1"})
            for body, told in (
                (b"", "is no JSON"),
                (b"drop=1", "is no JSON"),
                (b"[" * 50_000, "is no JSON"),
                (b"\xff", "is no JSON"),
                (b"[]", "is of type list"),
                (b"null", "is of type NoneType"),
            ):
                for kind in ("application/json", "application/x-www-form-urlencoded"):
                    status, _, text = await ask(
                        simulator.url, "/_simulator/faults", "POST", body, **{"Content-Type": kind}
                    )
                    assert status == 400, body[:10]
                    error = json.loads(text)["error"]
                    assert told in error
                    assert "expected an object of faults and values, such as {" in error
            assert simulator.faults.drop == 1, "nothing has been changed"
            # As curl sends it, without saying that it is JSON.
            await ask(simulator.url, "/_simulator/faults", "POST", b'{"drop": null}')
            assert simulator.faults.drop == 0
            client = await RawClient.socketio(simulator.url)
            await ask(simulator.url, "/_simulator/crash", "POST", b"{}")
            assert await client.recv() == Closed(1006)

        async with serving(Simulator()) as other:
            assert (await ask(other.url, "/_simulator"))[0] == 404

    asyncio.run(main())


def test_a_kick_over_sockets() -> None:
    async def main() -> None:
        database = Database(blocked_orgs=frozenset({"closed"}))
        async with serving(Simulator(Setup(database=database))) as simulator:
            visitor = await RawClient.socketio(simulator.url)
            visitor.emit("visitor:join", {"visitorId": "v", "orgId": "closed"})
            assert await visitor.recv() == "41"
            assert await visitor.recv() == Closed(1005)

    asyncio.run(main())


def test_a_call_across_replicas_over_sockets() -> None:
    async def main() -> None:
        async with serving(
            Simulator(Setup(mode="redis", replicas=2, timings=Timings().scaled(0.1)))
        ) as simulator:
            agent = await RawClient.socketio(simulator.urls[0])
            agent.emit("agent:login", {"agentId": "a", "profile": {"displayName": "A"}})
            assert [(await agent.event())[0] for _ in range(2)] == ["login:success", "stats:update"]
            agent.send('420["agent:back"]')
            assert str(await agent.recv()).startswith("430")
            near = await RawClient.socketio(simulator.urls[0])
            far = await RawClient.socketio(simulator.urls[1])
            for visitor, name in ((near, "near"), (far, "far")):
                visitor.emit("visitor:join", {"visitorId": name})
                assert (await visitor.event())[0] == "agent:assigned"
                visitor.emit("call:request", {"agentId": "a"})
            assert (await agent.event()) == ["stats:update", {"poolVisitors": 1}]
            event, payload = await agent.event()
            assert (event, payload["visitor"]["visitorId"]) == ("call:incoming", "near")
            await asyncio.sleep(0.3)
            await far.quiet("3")
            assert len(simulator.state.requests) == 2
            assert incoming([Told("a", event, payload)]) in simulator.state.requests

    asyncio.run(main())
