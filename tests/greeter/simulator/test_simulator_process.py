"""The simulator as a program: its command line, its first lines, its secrets, its end."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import ghost_greeter.simulator as simulator_module
from ghost_greeter.simulator import EmbeddedSimulator, Faults, Simulator
from ghost_greeter.simulator.cli import main, simulate_command, simulator_arguments
from ghostcore.testing import ServerDied
from tests.support.raw_client import Closed, RawClient

PROGRAM = (sys.executable, "-m", "ghost_greeter", "simulate")


def health(url: str) -> dict[str, object]:
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_replicas_are_named_and_share_their_state() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "--replicas", "3", "--agents", "1"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline().strip().removeprefix("listening on ")
        word, *urls = process.stdout.readline().split()
        assert (word, urls[0], len(set(urls))) == ("replicas:", first, 3)
        assert {health(url)["mode"] for url in urls} == {"redis"}
        process.terminate()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_ports_follow_one_another() -> None:
    for _ in range(20):  # somebody may have taken one of the two by then
        with EmbeddedSimulator() as one:
            port = one.port
        if port == 65535:
            continue
        try:
            with EmbeddedSimulator("--replicas", "2", "--port", str(port)) as simulator:
                assert simulator.urls == [f"http://127.0.0.1:{port + n}" for n in range(2)]
                return
        except ServerDied as died:
            assert "address already in use" in str(died)
    pytest.fail("no two ports in a row were free in 20 tries")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--agents", "-1"], "--agents is -1: expected 0 or more"),
        (["--mode", "postgres"], "'postgres' is not one of 'memory', 'redis'"),
        (["--replicas", "0"], "replicas is 0: expected 1 to 64"),
        (["--replicas", "2", "--mode", "memory"], "separate servers"),
        (["--replicas", "2", "--port", "65535"], "ports over 65535"),
        (["--time-scale", "0"], "time scale is 0.0: expected more than 0"),
        (["--ping-interval", "0"], "ping_interval_s is 0.0"),
        (["--agent-mix", "90"], "expected three shares such as 90,8,2"),
        (["--agent-answer", "soon"], "no distribution of times"),
        (["--fault", "drop"], "expected NAME=VALUE"),
        (["--fault", "drop=2"], "drop is '2': expected 0 to 1"),
        (["--fault", "dorp=1"], "no fault is called 'dorp'"),
        (["--max-connections", "-1"], "expected a whole number from 0"),
        (["--over-limit", "503"], "there is none: give --max-connections N, too"),
        (["--http-limit", "-1"], "http_limit is -1: expected 0"),
        (["--back-after", "5"], "is for after a crash: give --crash-after, too"),
        (["--back-after", "0", "--crash-after", "1"], "--back-after is 0.0: expected more than 0"),
        (["--crash-after", "0"], "expected more than 0 seconds"),
        (["--metrics-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE, which is not set"),
        (["--metrics-key", "k", "--metrics-key-env", "PATH"], "expected one"),
        (["--agent-tokens", "/nowhere/tokens"], "cannot be read"),
        (["--max-call", "-1"], "max_call_s is -1.0: expected more than 0"),
    ],
)
def test_what_cannot_be_is_told_at_once(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 104
    assert told in capsys.readouterr().err


def commands() -> list[str]:
    """Those of the README."""
    text = (Path(simulator_module.__path__[0]) / "README.md").read_text("utf-8")
    return re.findall(r"^    ghost-greeter simulate (.*?) *(?:#.*)?$", text, re.MULTILINE)


def test_the_commands_of_the_readme_are_taken() -> None:
    assert len(commands()) > 15
    for command in commands():
        context = simulate_command.make_context("simulate", command.split())
        simulator = Simulator(**simulator_arguments(context.params))
        given = {name for name in simulator.faults.described() if f" {name}=" in command}
        given |= {"connection_limit"} if "--max-connections" in command else set()
        given |= {"over_limit"} if "--over-limit" in command else set()
        nothing, faults = Faults().described(), simulator.faults.described()
        assert {name for name in nothing if faults[name] != nothing[name]} == given, command


def test_a_token_file_that_is_wrong_is_not_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    path.write_text("# comment\n\nsecret-1 a\nsecret-2 b extra\n")
    assert main(["--agent-tokens", str(path)]) == 104
    error = capsys.readouterr().err
    assert f"{path}:4 has 3 fields" in error
    assert "secret" not in error


def test_the_key_is_in_no_list_of_processes() -> None:
    with EmbeddedSimulator(metrics_key="very-secret") as simulator:
        command = Path(f"/proc/{simulator.pid}/cmdline").read_bytes()
        assert b"very-secret" not in command
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{simulator.url}/metrics", timeout=10)
        refused.value.close()
        assert refused.value.code == 401
        request = urllib.request.Request(
            f"{simulator.url}/metrics", headers={"x-metrics-api-key": "very-secret"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


def test_flags_reach_the_simulator(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("t1 a\nall *\n")

    async def talk(simulator: EmbeddedSimulator) -> None:
        agent = await RawClient.socketio(simulator.url)
        agent.emit("agent:login", {"agentId": "a", "token": "wrong", "profile": {}})
        assert (await agent.event())[1]["code"] == "AUTH_INVALID_TOKEN"
        visitor = await RawClient.socketio(simulator.url)
        visitor.emit("visitor:join", {"visitorId": "v", "orgId": "tired"})
        assert (await visitor.event())[0] == "org:paused"
        visitor.emit("visitor:join", {"visitorId": "v", "orgId": "awake"})
        assert (await visitor.event())[0] == "agent:assigned"
        visitor.emit("call:request", {"agentId": "sim-agent-1"})
        event, payload = await visitor.event()
        assert (event, payload["reason"]) == ("agent:unavailable", "agent_away")
        blocked = await RawClient.socketio(simulator.url)
        blocked.emit("visitor:join", {"visitorId": "w", "orgId": "closed"})
        assert await blocked.recv() == "41"
        for client in (agent, visitor, blocked):
            await client.abort()

    with EmbeddedSimulator(
        *("--agent-mix", "reject", "--agent-answer", "1s", "--time-scale", "0.1"),
        *("--agent-tokens", str(tokens), "--paused-org", "tired", "--blocked-org", "closed"),
        *("--fault", "memory_base=100", "--fault", "drop_events=nothing", "--max-connections", "9"),
        *("--over-limit", "hang", "--seed", "3", "--allowed-origins", "*", "--max-call", "60"),
        agents=1,
    ) as simulator:
        asyncio.run(talk(simulator))
        status = simulator.status()
        assert status["faults"]["connection_limit"] == 9
        assert status["faults"]["over_limit"] == "hang"
        assert status["faults"]["memory_base"] == 100
        assert status["outcomes"]["rejected"] == 1
        assert status["outcomes"]["paused"] == 1
        simulator.set_faults(memory_base=450)
        assert health(simulator.url)["status"] == "degraded"
        with pytest.raises(ValueError, match="no fault is called"):
            simulator.set_faults(nonsense=1)


def test_crashes() -> None:
    async def lost(url: str) -> None:
        client = await RawClient.socketio(url)
        assert await client.recv() == Closed(1006)
        await client.abort()

    with EmbeddedSimulator() as simulator:
        asyncio.run(ended_by(simulator))
    process = subprocess.Popen([*PROGRAM, "--crash-after", "3"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        asyncio.run(lost(process.stdout.readline().strip().removeprefix("listening on ")))
    assert process.wait(timeout=10) == -9


def test_a_crash_with_an_end() -> None:
    async def lost_and_found(simulator: EmbeddedSimulator) -> None:
        client = await RawClient.socketio(simulator.url)
        await asyncio.to_thread(simulator.outage, "100ms")
        assert await client.recv() == Closed(1006)
        await client.abort()
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await RawClient.socketio(simulator.url)).abort()
                except ConnectionError:
                    await asyncio.sleep(0.005)
                else:
                    return

    with EmbeddedSimulator("--crash-after", "600", "--back-after", "1") as simulator:
        asyncio.run(lost_and_found(simulator))
    process = subprocess.Popen(
        [*PROGRAM, "--crash-after", "3", "--back-after", "0.1"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        url = process.stdout.readline().strip().removeprefix("listening on ")

        async def broken() -> None:
            client = await RawClient.socketio(url)
            assert await client.recv() == Closed(1006)
            await client.abort()

        asyncio.run(broken())
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=10) == 0


async def ended_by(simulator: EmbeddedSimulator) -> None:
    client = await RawClient.socketio(simulator.url)
    simulator.crash()
    assert await client.recv() == Closed(1006)
    await client.abort()
    with pytest.raises(ConnectionError):
        await RawClient.socketio(simulator.url)
