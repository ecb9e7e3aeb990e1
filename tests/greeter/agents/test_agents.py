"""The pool of agents: logging in, answering, surviving."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ghostcore
from ghost_greeter.agents import AgentPool, AgentSettings, Identity, agents_needed, identities
from ghost_greeter.agents.agent_settings import Answer, Answers, longest_s, parse_mix
from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.simulator import (
    Database,
    Distribution,
    EmbeddedSimulator,
    Setup,
    Simulator,
    Timings,
)
from ghostcore import InvalidPlan, UsageError, socketio
from ghostcore.testing import EchoServer
from tests.support.greeting import ACCEPT, IGNORE, Notes, call_options, outcomes, pool_at
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


def with_pool(
    script: Callable[[Simulator, AgentPool, Notes], Awaitable[None]],
    count: int = 2,
    mix: Any = ACCEPT,
    timings: Timings | None = None,
    **settings: Any,
) -> Notes:
    """Run a script with a pool that is logged in; what the pool recorded."""
    notes = Notes()

    async def main() -> None:
        async with Simulator(Setup(timings=timings or Timings())) as server:
            pool = pool_at(server.url, count, mix, **settings)
            pool.board.attach(notes)  # type: ignore[arg-type]
            await pool.setup()
            try:
                await script(server, pool, notes)
            finally:
                await pool.teardown()
            await wait_until(lambda: server.state.online_agent_count == 0)

    asyncio.run(main())
    return notes


# ---- who they are -------------------------------------------------------------------------------


def test_how_many_are_needed() -> None:
    assert agents_needed(0) == 0
    assert agents_needed(1) == 1
    assert agents_needed(200) == 9, "200 / 25 and 10 %"
    assert agents_needed(160, rate=10, ring_s=3, hold_s=10) == 195, "10/s x 13 s x 1.5"
    assert agents_needed(10_000, rate=10, ring_s=3, hold_s=10) == 440
    assert longest_s(Distribution.parse("1s..3s")) == 3
    assert longest_s(Distribution.parse("5ms@90,2s@10")) == 2
    assert longest_s(Distribution.parse("tail:100ms")) == 1


def test_without_a_file_they_have_no_tokens() -> None:
    assert identities(2) == [Identity("load-agent-1", ""), Identity("load-agent-2", "")]
    assert identities(1, prefix="x") == [Identity("x-1", "")]
    with pytest.raises(UsageError, match="-1"):
        identities(-1)


def test_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# comment\n\nsecret-1 ada\nsecret-2 bob\n")
    assert identities(1, path) == [Identity("ada", "secret-1")]
    assert identities(2, path)[1] == Identity("bob", "secret-2")
    with pytest.raises(InvalidPlan, match="tokens of 2 agents, 3 are wanted"):
        identities(3, path)
    path.write_text("secret-1 ada\nsecret-3 *\n")
    assert identities(3, path) == [
        Identity("ada", "secret-1"),
        Identity("load-agent-1", "secret-3"),
        Identity("load-agent-2", "secret-3"),
    ]
    assert "secret" not in repr(identities(3, path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secret-1", ":1 has 1 fields"),
        ("a b\nsecret-1 with spaces", ":2 has 3 fields"),
        ("secret-1 ada\nsecret-2 ada", "names an agent twice"),
        (b"\xff\xfe\xff", "it is no text"),
        (None, "No such file"),
    ],
)
def test_token_files_that_cannot_be(tmp_path: Path, text: str | bytes | None, problem: str) -> None:
    path = tmp_path / "tokens"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidPlan, match=problem) as caught:
        identities(1, path)
    assert "secret" not in str(caught.value), "a line may be a token"


def test_mixes() -> None:
    assert parse_mix("90,8,2") == (90, 8, 2)
    assert parse_mix("reject") == (0, 1, 0)
    for wrong in ("90,8", "a,b,c", "-1,1,1", "0,0,0"):
        with pytest.raises(UsageError, match="mix"):
            parse_mix(wrong)


@pytest.mark.parametrize(
    ("mix", "calls", "expected"),
    [
        ((90, 8, 2), 100, (90, 8, 2)),
        ((90, 8, 2), 1000, (900, 80, 20)),
        ((1, 0, 0), 50, (50, 0, 0)),
        ((0, 0, 5), 50, (0, 0, 50)),
        ((1, 1, 1), 300, (100, 100, 100)),
        ((0.999, 0.0005, 0.0005), 2000, (1998, 1, 1)),
    ],
)
def test_shares_are_kept(mix: Any, calls: int, expected: tuple[int, int, int]) -> None:
    for seed in range(5):
        answers = Answers(mix, random.Random(seed))
        drawn = Counter(answers.next() for _ in range(calls))
        assert tuple(drawn[one] for one in ("accept", "reject", "ignore")) == expected


def test_the_same_seed_gives_the_same_answers() -> None:
    def answers(seed: int) -> list[str]:
        pool = AgentPool(AgentSettings("ws://127.0.0.1:1"), identities(3), seed=seed)
        return [pool.next_answer() for _ in range(200)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


# ---- logging in ---------------------------------------------------------------------------------


def test_all_are_idle_before_the_load_and_gone_after_it() -> None:
    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        assert server.state.online_agent_count == pool.size == 40
        assert {one.status for one in server.state.agents.values()} == {"idle"}
        assert notes.last["agents_online"] == 40

    notes = with_pool(script, count=40)
    assert notes.counts["agent_logins"] == 40
    assert notes.counts["agent_disconnects"] == notes.counts["agent_login_failures"] == 0


def refusal(pool: AgentPool) -> str:
    """Why a run with this pool is refused. No visitor may have been there."""
    began: list[int] = []

    @ghostcore.scenario(load=ghostcore.PerVUIterations(1, 1))
    async def visitor(vu: ghostcore.VU) -> None:
        began.append(vu.id)

    with pytest.raises(InvalidPlan) as caught:
        ghostcore.run(visitor, setup=pool.setup, teardown=pool.teardown)
    assert began == []
    (problem,) = caught.value.problems
    return problem


def test_a_pool_that_cannot_log_in_keeps_the_run_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-1 ada\nsecret-2 *\n")
    with EmbeddedSimulator("--agent-tokens", str(tokens)) as simulator:
        settings = AgentSettings(simulator.url)
        good = [Identity(f"agent-{number}", "secret-2") for number in range(5)]
        problem = refusal(AgentPool(settings, [*good, Identity("bob", "secret-9")]))
        assert problem == (
            "agent bob, one of 6, cannot log in: Invalid or expired token (AUTH_INVALID_TOKEN)"
        )
        problem = refusal(AgentPool(settings, [Identity("bob", "secret-1")]))
        assert problem.endswith("Agent ID mismatch (AUTH_INVALID_TOKEN)"), "an unknown agent"
        simulator.set_faults(drop=1, drop_events=["login:success"])
        monkeypatch.setattr("ghost_greeter.agents.agent.REPLY_TIMEOUT_S", 0.2)
        problem = refusal(AgentPool(settings, good[:1]))
        assert problem.startswith("agent agent-0, one of 1, cannot log in: agent:login: no answer")
        assert "secret" not in problem


def test_servers_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghost_greeter.agents.agent.CONNECT_TIMEOUT_S", 0.3)
    assert "connection refused" in refusal(pool_at("ws://127.0.0.1:1", 3))

    async def echo() -> str:
        async with EchoServer() as server:
            pool = pool_at(server.url, 1)
            try:
                await pool.setup()
            except InvalidPlan as error:
                return str(error)
            finally:
                await pool.teardown()
        return ""

    assert asyncio.run(echo()).startswith("agent load-agent-1, one of 1, cannot log in: ")


# ---- at work ------------------------------------------------------------------------------------


async def asks(server: Simulator, leaves: bool = False) -> str:
    """A visitor joins and asks for a call: the name of the event that it hears."""
    async with socketio(server.url) as session:
        joined = await session.request(
            "visitor:join", {"orgId": "o", "pageUrl": "/"}, reply="agent:assigned", timeout=5
        )
        ask = {"agentId": joined.args[0]["agent"]["id"]}
        if leaves:
            await session.emit("call:request", ask)
            return ""
        answer = await session.request(
            "call:request", ask, reply=("call:accepted", "agent:unavailable"), timeout=5
        )
        return answer.name


def test_an_agent_that_was_marked_away_comes_back() -> None:
    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        answers: Iterator[Answer] = iter(["ignore", "ignore", "accept"])
        pool.next_answer = lambda: next(answers)  # type: ignore[method-assign]
        for _ in range(2):
            assert await asks(server) == "agent:unavailable"
            await wait_until(lambda: server.state.agents["load-agent-1"].status == "idle")
        assert await asks(server) == "call:accepted"

    notes = with_pool(script, count=1, timings=Timings().scaled(0.01))
    assert notes.counts["agent_marked_away{reason:ring_no_answer}"] == 2
    assert notes.counts["agent_calls_ignored"] == notes.counts["agent_calls_cancelled"] == 2
    assert notes.counts["agent_calls_accepted"] == 1
    assert notes.counts["agent_disconnects"] == 0


def test_an_agent_that_was_marked_away_without_a_word_comes_back() -> None:
    """With several replicas whoever finds the call that rang too long may not reach the agent."""

    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        server.faults.set({"drop": 1, "drop_events": ["agent:marked_away", "call:cancelled"]})
        await asks(server)
        assert server.state.agents["load-agent-1"].status == "away"
        await wait_until(lambda: server.state.agents["load-agent-1"].status == "idle")

    notes = with_pool(
        script, count=1, mix=IGNORE, timings=Timings().scaled(0.01), unheard_back_s=0.5
    )
    assert notes.counts["agent_marked_away"] == 0


def test_heartbeats_keep_it_from_going_stale() -> None:
    stale = Timings(stale_after_s=0.4, stale_poll_s=0.1)

    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        await asyncio.sleep(1.2)
        assert server.state.agents["load-agent-1"].status == "idle"

    notes = with_pool(script, count=1, timings=stale, heartbeat_s=0.1)
    assert notes.counts["agent_marked_away"] == 0

    async def waits(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        await wait_until(lambda: notes.counts["agent_marked_away{reason:idle}"] >= 2)

    with_pool(waits, count=1, timings=stale, heartbeat_s=60)


def test_agents_come_back_after_the_server_did() -> None:
    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        await server.crash()
        await wait_until(lambda: notes.counts["agent_login_failures"] >= 3)
        assert notes.last["agents_online"] == 0
        await server.start()
        await wait_until(lambda: notes.counts["agent_logins"] == 6, 20)
        assert notes.last["agents_online"] == 3
        assert await asks(server) == "call:accepted"

    notes = with_pool(script, count=3)
    assert notes.counts["agent_disconnects"] == 3
    assert (
        notes.counts["agent_login_failures{kind:connection_refused}"]
        == (notes.counts["agent_login_failures"])
    )


def test_an_agent_hangs_up_on_a_visitor_that_is_gone() -> None:
    """Accepted after the visitor left, it would be in that call for two hours."""

    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        await asks(server, leaves=True)
        await wait_until(lambda: notes.counts["agent_calls_accepted"] == 1)
        assert server.state.agents["load-agent-1"].status == "in_call"
        await wait_until(lambda: server.state.agents["load-agent-1"].status == "idle")
        assert await asks(server) == "call:accepted"

    notes = with_pool(script, count=1, longest_call_s=0.3, answer=Distribution.parse("200ms"))
    assert notes.counts["agent_calls_ended"] >= 1


def test_an_accepted_call_that_was_taken_back_is_an_error_with_a_code() -> None:
    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        await asks(server, leaves=True)
        await wait_until(lambda: bool(server.state.requests))
        (request,) = server.state.requests.values()
        server.machine.core.requests.clear()
        request.agent.pending.clear()
        await wait_until(lambda: notes.counts["agent_errors{code:CALL_NOT_FOUND}"] == 1)
        assert await asks(server) == "call:accepted", "it is free again"

    with_pool(script, count=1, answer=Distribution.parse("200ms"))


def test_calls_that_ring_at_an_agent_in_a_call_are_passed_on() -> None:
    async def script(server: Simulator, pool: AgentPool, notes: Notes) -> None:
        all_accepted = asyncio.Barrier(4)

        async def visits() -> object:
            async with socketio(server.url) as session:
                await session.request(
                    "visitor:join", {"orgId": "o"}, reply="agent:assigned", timeout=5
                )
                await asyncio.sleep(0.05)
                await session.emit("call:request", {"agentId": "load-agent-1"})
                accepted = await session.wait_for("call:accepted", timeout=5)
                await all_accepted.wait()
                return accepted.args[0]["agentId"]

        agents = await asyncio.gather(*(visits() for _ in range(4)))
        assert set(agents) == set(pool.board.agents), "each by another"

    notes = with_pool(script, count=4, answer=Distribution.parse("100ms..150ms"))
    assert notes.counts["agent_calls_declined"] >= 3
    assert notes.counts["agent_calls_accepted"] == 4
    assert notes.counts["agent_errors"] == 0


def test_agents_that_lose_their_server_fail_no_run() -> None:
    """Under way it is counted, with its kind, and the run goes on."""

    async def main() -> ghostcore.Result:
        async with Simulator() as server:
            pool = pool_at(server.url, 2)
            loop = asyncio.get_running_loop()

            async def restart() -> None:
                await server.crash()
                await server.start()

            tasks: list[asyncio.Task[None]] = []
            loop.call_later(0.5, lambda: tasks.append(loop.create_task(restart())))
            load = ghostcore.ConstantArrivalRate(4, 4, max_vus=40)
            given = call_options(server.url, 0, pool, load=load, session="0.1")
            result = await ghostcore.run_async(SCENARIOS["calls"], **given)
            await asyncio.gather(*tasks)
            return result

    result = asyncio.run(main())
    assert result.metrics["agent_disconnects"].count == 2
    assert result.metrics["agent_logins"].count == 4
    assert result.metrics["agents_online"].value == 2
    found = outcomes(result)
    assert found["calls_accepted"] > 0, found


def test_tokens_need_a_database() -> None:
    """The simulator with a database and tokens, as the real one: good tokens log in."""

    async def script() -> None:
        database = Database(agent_tokens={"secret-1": "ada"})
        async with Simulator(Setup(database=database)) as server:
            pool = AgentPool(AgentSettings(server.url), [Identity("ada", "secret-1")])
            await pool.setup()
            assert server.state.agents["ada"].status == "idle"
            await pool.teardown()

    asyncio.run(script())
