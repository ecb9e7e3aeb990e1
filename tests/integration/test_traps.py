"""Traps that load tests fell into: time spent asleep, empty thresholds, double counts."""

from __future__ import annotations

import socket
import time

import pytest

import ghostcore
from ghostcore import ConstantVUs, PerVUIterations, Trend, scenario
from tests.integration.node_servers import NodeServers

CONNECTION_TIME = Trend("connection_time", unit="ms")
NEVER = Trend("never_recorded", unit="ms")
HOLD_S = 0.5


@scenario(
    thresholds={CONNECTION_TIME: "p(95)<30000", "ws_connecting": "p(95)<30000"},
    metrics=[CONNECTION_TIME],
)
async def hold(vu: ghostcore.VU) -> None:
    async with vu.socketio(vu.env["URL"], metric=CONNECTION_TIME):
        await vu.sleep(HOLD_S)


def test_the_server_sees_as_many_socketio_connections_as_we_count(node: NodeServers) -> None:
    """A user that sleeps in its callback reads nothing: the server sees no Socket.IO connection,
    and the connection time becomes the time of the hold."""
    users, iterations = 20, 2
    before = node.seen("pinging")
    load = PerVUIterations(vus=users, iterations=iterations, max_duration="60s")
    started_s = time.monotonic()
    result = ghostcore.run(hold, load=load, env={"URL": node.url("pinging")}, seed=3)
    assert time.monotonic() - started_s >= iterations * HOLD_S
    after = node.seen("pinging")
    total = users * iterations
    assert after["joined"] - before["joined"] == after["opened"] - before["opened"] == total
    assert after["pongs"] - before["pongs"] >= total  # they answered while they slept
    assert result.metrics.count_of("ws_sessions") == total
    assert result.metrics.count_of("ws_sessions_opened") == total
    times = result.metrics["connection_time"]
    assert (times.count, times.failed, times.cut_off) == (total, 0, 0)
    # The hold comes on top of the time of connecting, and is no part of it (histograms are in us,
    # exact to 3 digits).
    iteration_us = result.metrics["iteration_duration"].histogram.min
    session_us = result.metrics["ws_session_duration"].histogram.min
    assert times.histogram.min is not None
    assert iteration_us is not None and session_us is not None
    assert iteration_us >= times.histogram.min + 0.99 * HOLD_S * 1e6
    assert session_us >= 0.99 * HOLD_S * 1e6
    assert (result.verdict, result.exit_code) == ("pass", 0)
    assert result.errors == []


def closed_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("threshold", [None, "p(95)<10000"])
def test_a_closed_port_fails_the_run(threshold: str | None) -> None:
    @scenario(
        load=ConstantVUs(vus=3, duration="0.5s"),
        thresholds={} if threshold is None else {CONNECTION_TIME: threshold},
    )
    async def knock(vu: ghostcore.VU) -> None:
        async with vu.socketio(vu.env["URL"], metric=CONNECTION_TIME):
            raise AssertionError("nobody is there")

    result = ghostcore.run(knock, env={"URL": closed_url()}, seed=3)
    assert (result.verdict, result.exit_code) == ("fail", 99)
    assert any("nothing was opened" in reason for reason in result.reasons)
    assert [one.verdict for one in result.thresholds] == ([] if threshold is None else ["fail"])


@pytest.mark.parametrize(("allow_empty", "expected"), [(False, ("fail", 99)), (True, ("pass", 0))])
def test_a_threshold_without_samples_fails(
    node: NodeServers, allow_empty: bool, expected: tuple[str, int]
) -> None:
    @scenario(load=PerVUIterations(vus=1, iterations=1), thresholds={NEVER: "p(95)<1000"})
    async def healthy(vu: ghostcore.VU) -> None:
        async with vu.socketio(vu.env["URL"]) as session:
            assert await session.call("sum", 1, 1) == 2

    result = ghostcore.run(
        healthy, env={"URL": node.url("socketio")}, seed=3, allow_empty=allow_empty
    )
    assert (result.verdict, result.exit_code) == expected
    assert result.outcome.answered == 1 and result.errors == []


def test_each_failure_is_counted_once_also_when_the_script_catches_it(node: NodeServers) -> None:
    closed = closed_url()
    failures = ghostcore.Counter("failures")

    @scenario(load=PerVUIterations(vus=2, iterations=3, max_duration="60s"), metrics=[failures])
    async def mixed(vu: ghostcore.VU) -> None:
        if vu.iteration == 0:  # refused, and let escape
            await vu.socketio(closed)
        elif vu.iteration == 1:  # thrown out by the server, in the middle of two operations
            async with vu.socketio(vu.env["URL"]) as session:
                await session.emit("kick")
                await session.wait_for("never")
        else:  # refused, and dealt with: the script's own count, no error of the run's
            try:
                await vu.socketio(closed)
            except ghostcore.ConnectFailed:
                vu.record(failures)

    result = ghostcore.run(mixed, env={"URL": node.url("socketio")}, seed=3)
    assert {one.kind: one.count for one in result.errors} == {"connection_refused": 2, "closed": 2}
    assert result.metrics.count_of("ws_errors") == 4
    assert result.metrics.count_of("failures") == 2
    assert result.metrics.count_of("ws_sessions") == 6
    assert result.metrics.count_of("ws_sessions_opened") == 2
    connecting = result.metrics["ws_connecting"]
    assert (connecting.count, connecting.failed) == (6, 4)


def test_refused_connections_are_not_retried_in_a_hot_loop() -> None:
    @scenario(load=ConstantVUs(vus=5, duration="1s"))
    async def knock(vu: ghostcore.VU) -> None:
        await vu.connect(vu.env["URL"])

    result = ghostcore.run(knock, env={"URL": closed_url()}, seed=3)
    attempts = result.metrics.count_of("ws_sessions")
    # Waits of at least 0.05, 0.1, 0.2, 0.4, 0.8 s: five fit into a second.
    assert 5 <= attempts <= 5 * 5
    assert result.metrics.count_of("ws_errors") == attempts
    assert {one.kind: one.count for one in result.errors} == {"connection_refused": attempts}
