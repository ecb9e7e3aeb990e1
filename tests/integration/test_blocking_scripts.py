"""Scripts that block the event loop, against a real server: they are found out, with their line."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ghostcore import VU, ConstantVUs, Result, Trend, run, scenario
from ghostcore.report import summary_text
from ghostcore.testing import EchoServer, ServerProcess

ECHO = Trend("echo_time")
HERE = Path(__file__).name


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ServerProcess(EchoServer) as server:
        yield server.url


def sleep() -> None:
    time.sleep(0.5)  # the line that sleeps


def compute() -> None:
    until_s = time.monotonic() + 0.5
    while time.monotonic() < until_s:
        sum(range(100))  # the line that computes


def blocking(url: str, block: Callable[[], None], limit: str = "p(95)<100000") -> Result:
    @scenario(load=ConstantVUs(3, "2s"), thresholds={ECHO: limit})
    async def chat(vu: VU) -> None:
        async with vu.connect(url, timeout=30) as session:
            with vu.timer(ECHO):
                await session.send("hello")
                await session.recv(timeout=30)
            block()
            await vu.sleep(0.1)

    return run(chat, seed=1)


def lines_of(function: Callable[[], None]) -> set[str]:
    text, first = inspect.getsourcelines(function)
    return {f"{HERE}:{number}: {line.strip()}" for number, line in enumerate(text, first)}


@pytest.mark.parametrize("block", [sleep, compute])
def test_a_script_that_blocks_is_inconclusive_and_its_line_named(
    url: str, block: Callable[[], None]
) -> None:
    result = blocking(url, block)
    assert (result.verdict, result.exit_code) == ("inconclusive", 111)
    assert [one.verdict for one in result.thresholds] == ["pass"], "lag only makes it worse"
    reasons = "\n".join(result.reasons)
    assert "the script blocked the event loop" in reasons
    assert any(line in reasons for line in lines_of(block)), reasons
    longest = result.generator.blamed[0]
    assert longest.duration_ms >= 400
    assert longest.where in lines_of(block)
    assert longest.where in summary_text(result, 200)
    assert result.generator.maximum("loop_lag_ms") >= 400


def test_latency_that_blocking_made_is_not_the_servers(url: str) -> None:
    result = blocking(url, sleep, "max<50")
    assert (result.verdict, result.exit_code) == ("inconclusive", 111)
    assert [one.verdict for one in result.thresholds] == ["undetermined"]
    assert result.generator_error("echo_time") >= 400


def test_the_network_has_its_part_in_the_metrics(url: str) -> None:
    @scenario(load=ConstantVUs(5, "1s"))
    async def visit(vu: VU) -> None:
        async with vu.connect(url) as session:
            await session.send("hello")
            await session.recv(timeout=30)
        await vu.sleep(0.05)

    result = run(visit, seed=1)
    rtt = result.metrics["tcp_rtt"]
    assert isinstance(rtt.declaration, Trend)
    ended = result.metrics["ws_session_duration"].count
    assert 0 < rtt.count <= ended
    assert 0 < rtt.p(50) < 1000
    assert result.metrics["tcp_retransmits"].samples == rtt.count
    sample = result.generator.samples[0]
    assert sample.sockets > 0
    assert sample.stamp_error_ms > 0
