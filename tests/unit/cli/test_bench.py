"""bench: due times by brute force, what is refused, and runs against servers of every kind."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcore import InvalidPlan, Result, run
from ghostcore.cli.bench import Bench, Schedule, make_bench
from ghostcore.metrics import TrendView
from ghostcore.testing import EchoServer, FaultProxy, ServerProcess, ServerThread, SocketIOServer
from ghostcore.testing.leaks import assert_no_leaks


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ServerProcess(EchoServer) as server:
        yield server.url


@given(
    rate=st.fractions(Fraction(1, 100), 5000),
    duration_ns=st.integers(1, 3 * 10**9),
    connections=st.integers(1, 50),
)
def test_due_times_are_exact_and_shared_evenly(
    rate: Fraction, duration_ns: int, connections: int
) -> None:
    pace = Schedule(rate, duration_ns, connections)
    due: list[int] = []
    while (at := Fraction(len(due) * 10**9) / rate) < duration_ns:
        due.append(math.floor(at))
    assert pace.count == len(due)
    assert [pace.due_ns(number) for number in range(pace.count)] == due
    shares = [list(pace.of(connection)) for connection in range(connections)]
    assert sorted(number for share in shares for number in share) == list(range(pace.count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidPlan) as caught:
        make_bench(Bench("nonsense", 0, -1, 0, 0, "never", thresholds=["p(101)<1", "rate>1"]))
    assert len(caught.value.problems) == 8
    for rate in (math.nan, math.inf, 1e-9, 1e7):
        with pytest.raises(InvalidPlan, match="the rate must be"):
            make_bench(Bench("ws://h", rate=rate))


def test_what_will_be_done_is_told() -> None:
    one = make_bench(Bench("ws://h", 200, 5000, "30s", thresholds=["p(99)<50", "max<900"]))
    assert one.load.describe() == ("200 connections, 5,000 messages a second of 32 bytes for 30s")
    assert [(str(metric), expression) for metric, expression in one.thresholds] == [
        ("messages_answered", "count>=148500"),
        ("response_time", "p(99)<50"),
        ("response_time", "max<900"),
    ]
    flood = make_bench(Bench("ws://h", 200, 0, "30s", thresholds=["p(99)<50"]))
    assert "as fast as answers come" in flood.load.describe()
    assert [str(metric) for metric, _ in flood.thresholds] == ["service_time"]


def bench(url: str, **options: Any) -> Result:
    with assert_no_leaks():
        return run(make_bench(Bench(url, **options)), env={"URL": url}, seed=1)


def trend(result: Result, name: str) -> TrendView:
    view = result.metrics[name]
    assert isinstance(view, TrendView)
    return view


def counts(result: Result) -> tuple[int, int, int]:
    due, sent, answered = (
        result.metrics.count_of(f"messages_{what}") for what in ("due", "sent", "answered")
    )
    return due, sent, answered


def test_a_constant_rate_is_exact_to_the_message(url: str) -> None:
    result = bench(url, connections=7, rate=333.5, duration="1s")
    assert counts(result) == (334, 334, 334)
    assert trend(result, "response_time").count == trend(result, "service_time").count == 334
    # Sent when due or later, never sooner.
    assert trend(result, "response_time").mean >= trend(result, "service_time").mean
    assert result.exit_code == 0
    seconds = result.timeline.seconds
    assert seconds[-1].end_s - seconds[0].start_s >= 333 / 333.5


def test_fewer_messages_than_connections(url: str) -> None:
    result = bench(url, connections=10, rate=4, duration="1s")
    assert counts(result) == (4, 4, 4)
    assert result.metrics.count_of("ws_sessions_opened") == 10


def test_as_fast_as_answers_come(url: str) -> None:
    result = bench(url, connections=5, rate=0, duration="500ms", size=100)
    answered = result.metrics.count_of("messages_answered")
    assert answered > 100
    service = trend(result, "service_time")
    # Those that open each connection are not counted; those under way at the end are cut off.
    assert answered <= service.count <= answered + 5
    assert "response_time" not in list(result.metrics)
    assert result.exit_code == 0


@contextmanager
def through_a_proxy() -> Iterator[ServerThread[FaultProxy]]:
    """An echo server behind a proxy that can be told to misbehave."""
    with (
        ServerThread(EchoServer()) as server,
        ServerThread(FaultProxy(server.server.port)) as proxy,
    ):
        yield proxy


def stalled(seconds: float, **options: Any) -> Result:
    """A bench through a proxy that stands still for some time, from the first half second on."""
    with (
        ServerThread(EchoServer()) as server,
        ServerThread(FaultProxy(server.server.port)) as thread,
    ):
        proxy = thread.server
        freeze = threading.Timer(0.5, thread.call, [proxy.freeze])
        thaw = threading.Timer(0.5 + seconds, thread.call, [proxy.resume])
        for timer in (freeze, thaw):
            timer.start()
        try:
            return run(make_bench(Bench(proxy.url, **options)), seed=1)
        finally:
            for timer in (freeze, thaw):
                timer.join()


def over(view: TrendView, limit_ms: float) -> int:
    return view.count - view.state.hist.count_at_or_below(round(limit_ms * 1000))


def test_a_server_that_stands_still_shows_in_the_time_from_the_intended_moment() -> None:
    result = stalled(1.0, connections=4, rate=100, duration="2s")
    assert counts(result) == (200, 200, 200)
    # 100 messages were due in that second, half of them more than half a second before its end.
    assert over(trend(result, "response_time"), 400) >= 40
    assert over(trend(result, "service_time"), 400) <= 12, "one under way on each connection"


def test_what_is_not_answered_by_the_end_is_cut_off_and_the_rate_not_held() -> None:
    result = stalled(2.0, connections=4, rate=100, duration="1s", timeout="200ms")
    due, sent, answered = counts(result)
    assert due == 100
    assert answered <= sent < due
    response = trend(result, "response_time")
    assert response.count == due
    assert response.failed + response.cut_off == due - answered
    assert next(one.verdict for one in result.thresholds) in ("fail", "undetermined")
    assert result.exit_code in (99, 111)


def test_a_connection_that_is_lost_is_opened_again() -> None:
    with (
        ServerThread(EchoServer()) as server,
        ServerThread(FaultProxy(server.server.port)) as thread,
    ):
        cut = threading.Timer(0.5, thread.call, [thread.server.reset_all])
        cut.start()
        result = run(make_bench(Bench(thread.url, connections=4, rate=100, duration="2s")), seed=1)
        cut.join()
    due, _, answered = counts(result)
    assert due == 200
    assert 150 < answered <= 200
    assert trend(result, "response_time").count == due, "each is accounted for"
    assert result.metrics.count_of("ws_sessions_opened") >= 8
    assert {one.kind for one in result.errors} == {"connection_lost"}


def test_a_server_that_does_not_echo_is_told_as_such() -> None:
    with ServerThread(SocketIOServer()) as server:
        address = f"ws://127.0.0.1:{server.server.port}/socket.io/?EIO=4&transport=websocket"
        result = bench(address, connections=2, rate=10, duration="300ms")
    assert result.exit_code == 99
    assert "the server does not echo" in result.errors[0].samples[0].text


def test_nothing_listens() -> None:
    result = bench("ws://127.0.0.1:1", connections=3, rate=10, duration="30s")
    assert result.exit_code == 99
    assert result.metrics.count_of("ws_sessions") == 3, "nobody waits for the end of the bench"
    assert "nothing was opened" in result.reasons[0]


@pytest.mark.parametrize("rate", [50, 0])
def test_acknowledgements_of_socketio(rate: float) -> None:
    with ServerProcess("ghostcore.testing.socketio_server") as server:
        result = bench(server.url, connections=3, rate=rate, duration="600ms", event="echo")
    assert result.exit_code == 0
    answered = result.metrics.count_of("messages_answered")
    assert answered == 30 if rate else answered > 30
    assert trend(result, "service_time").count >= answered
