"""However an iteration ends, it is counted once, and so is its response time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ClosedByPeer,
    ConstantArrivalRate,
    ConstantVUs,
    PerVUIterations,
    ProtocolViolation,
    Result,
    Timeout,
    Trend,
    scenario,
)
from ghostcore.metrics import TrendView
from ghostcore.results.record import Outcome
from ghostcore.testing import EchoServer
from tests.support.hostile import TEXT, Hangup, HostileServer, WaitFor
from tests.support.running import run_it

STEP = Trend("step_time")


def response(result: Result) -> tuple[int, int, int]:
    """Response times: all, failed, cut off."""
    view = result.metrics["iteration_response_time"]
    assert isinstance(view, TrendView)
    return view.count, view.failed, view.cut_off


def balanced(result: Result) -> bool:
    """Whether every start that was delivered has ended, in one way."""
    outcome = result.outcome
    failed = result.metrics.count_of("iterations_failed")
    return outcome.delivered == outcome.answered + failed + outcome.interrupted


async def returns(vu: VU) -> None:
    await vu.sleep(0.1)


async def fails(vu: VU) -> None:
    await vu.sleep(0.1)
    raise ProtocolViolation("nonsense")


async def breaks(vu: VU) -> None:
    await vu.sleep(0.1)
    raise KeyError("of the script")


async def exits(vu: VU) -> None:
    await vu.sleep(0.1)
    sys.exit(3)


async def outlasts(vu: VU) -> None:
    await vu.sleep(60)


async def swallows(vu: VU) -> None:
    while True:
        with contextlib.suppress(BaseException):
            await vu.sleep(60)


@pytest.mark.parametrize(
    ("body", "outcome", "responses"),
    [
        (returns, Outcome(6, 6, 6, 0), (6, 0, 0)),
        (fails, Outcome(6, 6, 0, 0), (6, 6, 0)),
        (breaks, Outcome(6, 6, 0, 0), (6, 6, 0)),
        (exits, Outcome(6, 6, 0, 0), (6, 6, 0)),
        # Two users: the first two starts occupy them, the others are dropped.
        (outlasts, Outcome(6, 2, 0, 2), (6, 0, 6)),
        (swallows, Outcome(6, 2, 0, 2), (6, 0, 6)),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_start_is_accounted_for_once(
    body: Callable[[VU], Awaitable[None]], outcome: Outcome, responses: tuple[int, int, int]
) -> None:
    load = ConstantArrivalRate(2, 3, preallocated_vus=2, graceful_stop=1)

    @scenario(load=load)
    async def one(vu: VU) -> None:
        await body(vu)

    result = run_it(one)
    assert result.outcome == outcome
    assert response(result) == responses
    assert balanced(result)
    gc.collect()


@pytest.mark.parametrize("load", [ConstantVUs(3, 10), ConstantArrivalRate(3, 10)])
def test_an_iteration_that_aborts_the_run_was_cut_off_and_is_its_users_last(load: Any) -> None:
    @scenario(load=load)
    async def one(vu: VU) -> None:
        vu.abort("no use")

    result = run_it(one)
    assert result.exit_code == 108
    assert result.outcome.answered == 0
    assert result.outcome.interrupted == result.outcome.delivered <= 3
    assert balanced(result)


def test_ending_the_program_is_an_error_of_the_script_with_its_line() -> None:
    @scenario(load=PerVUIterations(2, 1))
    async def one(vu: VU) -> None:
        sys.exit("that was it")

    result = run_it(one)
    assert result.exit_code == 107
    (error,) = result.errors
    assert (error.kind, error.count) == ("script_error", 2)
    assert "test_accounting.py:" in error.samples[0].text
    assert "SystemExit: that was it" in error.samples[0].text


def test_a_script_that_breaks_at_once_is_no_hot_loop_and_its_setting_is_named() -> None:
    @scenario(load=ConstantVUs(10, 60))
    async def one(vu: VU) -> None:
        vu.connect(vu.env["URL"])

    result = run_it(one)
    assert result.exit_code == 107
    # 0.1 s, doubled up to 5 s: some sixteen waits a minute.
    assert 10 * 12 <= result.outcome.delivered <= 10 * 25
    text = result.errors[0].samples[0].text
    assert "KeyError: \"no setting 'URL': give it with -e URL=..., or in env={...}\"" in text


def test_an_arrival_model_starts_what_it_says_whatever_the_script_does() -> None:
    @scenario(load=ConstantArrivalRate(10, 6))
    async def one(vu: VU) -> None:
        raise KeyError

    assert run_it(one).outcome == Outcome(60, 60, 0, 0)


@pytest.mark.parametrize("name", ["setup", "teardown"])
def test_so_is_ending_it_in_set_up_or_teardown(name: str) -> None:
    async def hook() -> None:
        sys.exit(5)

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        """Nothing."""

    result = run_it(one, **{name: hook})
    assert result.exit_code == 107
    assert f"{name} failed: test_accounting.py:" in result.reasons[0]
    assert "it wants to end the program (exit code 5)" in result.reasons[0]


async def asyncio_deadline_inside(vu: VU) -> None:
    with vu.timer(STEP):
        async with asyncio.timeout(2):
            await vu.sleep(10)


async def asyncio_deadline_outside(vu: VU) -> None:
    async with asyncio.timeout(2):
        with vu.timer(STEP):
            await vu.sleep(10)


async def own_deadline(vu: VU) -> None:
    with vu.timer(STEP):
        await vu.sleep(2)
        raise Timeout("no answer")


async def aborts(vu: VU) -> None:
    with vu.timer(STEP):
        await vu.sleep(2)
        vu.abort()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (asyncio_deadline_inside, "deadline"),
        (asyncio_deadline_outside, "deadline"),
        (own_deadline, "deadline"),
        (aborts, "interrupted"),
    ],
)
def test_an_operation_whose_time_was_up_took_at_least_so_long(
    body: Callable[[VU], Awaitable[None]], cause: str
) -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        await body(vu)

    step = run_it(one, allow_script_errors=True).metrics["step_time"]
    assert isinstance(step, TrendView)
    assert (step.failed, step.cut_off_by_cause) == (0, {cause: 1})
    assert step.p(50) == pytest.approx(2000, rel=0.001)


def test_an_iteration_whose_connection_was_lost_unseen_has_failed(no_leaks: None) -> None:
    @scenario(load=ConstantArrivalRate(20, "0.1s", preallocated_vus=2))
    async def one(vu: VU) -> None:
        await vu.connect(vu.env["URL"])
        await vu.sleep(1)

    async def main() -> Result:
        server = EchoServer()
        await server.start()
        run = asyncio.create_task(ghostcore.run_async(one, env={"URL": server.url}, seed=1))
        try:
            while len(server.connections) < 2:
                await asyncio.sleep(0.01)
        finally:
            await server.crash()
        return await run

    result = asyncio.run(main())
    assert [(one.kind, one.count) for one in result.errors] == [("connection_lost", 2)]
    assert result.outcome == Outcome(2, 2, 0, 0)
    assert response(result) == (2, 2, 0)
    assert result.exit_code == 99


def test_pings_are_measured_however_they_end(no_leaks: None) -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        ws = await vu.connect(vu.env["URL"])
        assert await ws.ping() > 0
        silent = await vu.connect(vu.env["SILENT"])
        with contextlib.suppress(Timeout):
            await silent.ping(timeout=0.02)
        task = asyncio.create_task(wait_for(silent.ping()))
        await vu.sleep(0.02)
        task.cancel()
        forgotten = silent.ping()
        await silent.send("drop")
        with pytest.raises(ClosedByPeer):
            await forgotten
        ws.ping()  # nobody waits, and the session is closed before the pong is there
        ws.abort()

    async def wait_for(ping: Awaitable[float]) -> None:
        await ping

    async def main() -> Result:
        with HostileServer(WaitFor(TEXT), Hangup()) as silent:  # it answers no ping
            async with EchoServer() as server:
                env = {"URL": server.url, "SILENT": silent.url}
                return await ghostcore.run_async(one, env=env, seed=1)

    ping = asyncio.run(main()).metrics["ws_ping"]
    assert isinstance(ping, TrendView)
    assert (ping.histogram.count, ping.failed) == (1, 1)
    assert ping.cut_off_by_cause == {"deadline": 2, "interrupted": 1}
