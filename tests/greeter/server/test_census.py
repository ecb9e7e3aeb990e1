"""The server's count against ours, and events that are lost, come twice or reach the wrong one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import ghost_greeter.scenarios.presence
import ghostcore
from ghost_greeter.cli.run_parts import hooks_of
from ghost_greeter.scenarios import connections, widget
from ghost_greeter.server.census import Census
from ghost_greeter.server.figures import Figures, FiguresError
from ghost_greeter.simulator import EmbeddedSimulator, Setup, Simulator
from ghostcore import ConstantVUs, PerVUIterations, Result, Scenario
from ghostcore.testing import ServerThread, SocketIOServer


def run(one: Scenario, url: str, load: Any, session: str, *parts: Any) -> Result:
    env = {"SERVER_URL": url, "ORG_ID": "org", "SESSION": session}
    setup, teardown = hooks_of(*parts)
    return ghostcore.run(one, load=load, env=env, seed=3, setup=setup, teardown=teardown)


def counted(
    url: str, one: Scenario = widget, *, key: str | None = None, users: int = 20
) -> tuple[Result, list[str], list[str]]:
    what: Any = "sockets" if one is connections else "visitors"
    census = Census(Figures(url, key), what, interval_s=0.2)
    result = run(one, url, PerVUIterations(users, 1), "1.6", census)
    return result, list(census.findings(result)), list(census.answers(result))


@contextmanager
def meanwhile(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something while the run goes."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize("one", [widget, connections], ids=lambda one: one.name)
@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_both_count_the_same(one: Scenario, mode: str) -> None:
    with EmbeddedSimulator("--mode", mode, agents=1) as simulator:
        result, findings, answers = counted(simulator.url, one)
    metrics: Any = result.metrics
    assert findings == []
    what = "sockets" if one is connections else "visitors"
    assert f"the server counts as many {what} as we do: " in answers[0]
    assert answers[0].endswith("up to 20")
    assert metrics["server_visitors"].max == 20
    assert metrics["visitor_count_difference"].min == metrics["visitor_count_difference"].max == 0
    assert metrics["server_healthy_rate"].rate == 1
    assert metrics["server_health_time"].count > 0
    assert metrics["server_memory"].value > 1e6


def test_those_of_others_who_were_there_before_are_not_ours() -> None:
    with ServerThread(Simulator()) as thread:
        others = threading.Event()
        ready = threading.Event()
        strangers = threading.Thread(target=hold, args=(thread.url, 7, ready, others))
        strangers.start()
        assert ready.wait(20)
        result, findings, _ = counted(thread.url)
        others.set()
        strangers.join()
    assert findings == []
    assert result.metrics["server_visitors"].max == 27


def hold(url: str, visitors: int, ready: threading.Event, until: threading.Event) -> None:
    """Visitors of somebody else's."""
    import asyncio

    async def main() -> None:
        sessions = [await ghostcore.socketio(url) for _ in range(visitors)]
        for session in sessions:
            await session.request("visitor:join", {"orgId": "o", "pageUrl": "p"},
                                  reply=("agent:assigned", "agent:unavailable"))  # fmt: skip
        ready.set()
        await asyncio.to_thread(until.wait)
        for session in sessions:
            await session.disconnect()

    asyncio.run(main())


def test_a_server_that_loses_visitors_is_found_out() -> None:
    with ServerThread(Simulator(Setup(agents=1))) as thread:

        def lose() -> None:
            def forget() -> None:
                visitors = thread.server.state.visitors
                for visitor_id in list(visitors)[:5]:
                    del visitors[visitor_id]

            thread.call(forget)

        with meanwhile(0.7, lose):
            result, findings, answers = counted(thread.url)
    assert len(findings) == 1
    assert findings[0].startswith("the server counts 5 visitors fewer than are connected: 15 at ")
    assert answers == []
    assert result.metrics["visitor_count_difference"].min == -5


def test_a_server_that_counts_visitors_who_are_not_there_is_found_out() -> None:
    ready, over = threading.Event(), threading.Event()
    with ServerThread(Simulator(Setup(agents=1))) as thread:
        strangers = threading.Thread(target=hold, args=(thread.url, 4, ready, over))
        with meanwhile(0.7, strangers.start):
            result, findings, _ = counted(thread.url)
        over.set()
        strangers.join()
    assert findings[0].startswith("the server counts 4 visitors more than can be connected: 24 at ")
    assert findings[1].startswith("the server still counts 4 visitors that have left")
    assert result.metrics["visitor_count_difference"].max == 4


def test_a_difference_of_one_moment_is_no_finding() -> None:
    census = Census(Figures("ws://127.0.0.1:1"), "visitors")
    census._samples = [(0, 5, 0), (2, 5, 3), (4, 5, 0), (6, 5, -2), (8, 5, 0)]
    result: Any = None
    assert list(census.findings(result)) == []
    census._samples += [(10, 6, 2), (12, 7, 4), (14, 5, 0)]
    assert next(census.findings(result)).startswith("the server counts 4 visitors more than can")
    assert "4 of 8 looks differ" in next(census.findings(result))


@pytest.mark.parametrize(
    ("key", "said"),
    [(None, "METRICS_API_KEY is not set"), ("wrong", "METRICS_API_KEY is another")],
)
def test_a_server_that_does_not_tell_fails_nothing(key: str | None, said: str) -> None:
    with EmbeddedSimulator(agents=1, metrics_key="s3cret") as simulator:
        result, findings, answers = counted(simulator.url, key=key, users=2)
    assert result.verdict == "pass", result.reasons
    assert findings == []
    assert answers == [
        f"server count not compared with ours: its /metrics asks for a key (HTTP 401); {said}"
    ]
    assert "server_visitors" not in result.metrics
    assert result.metrics["server_healthy_rate"].rate == 1


def test_the_key_opens_it() -> None:
    with EmbeddedSimulator(agents=1, metrics_key="s3cret") as simulator:
        _, findings, answers = counted(simulator.url, key="s3cret", users=3)
    assert findings == []
    assert answers[0].endswith("up to 3")


def test_a_server_without_such_figures() -> None:
    with ServerThread(SocketIOServer()) as thread:
        result, findings, answers = counted(thread.url, connections, users=2)
    assert result.verdict == "pass", result.reasons
    assert findings == []
    assert "the server has no such /metrics" in answers[0]
    assert "server_healthy_rate" not in result.metrics


def test_a_server_that_is_down_leaves_the_run_its_verdict() -> None:
    census = Census(Figures("ws://127.0.0.1:1"), "visitors", interval_s=0.1)
    result = run(widget, "ws://127.0.0.1:1", ConstantVUs(2, 0.5), "0.1", census)
    assert result.exit_code == 99
    assert result.setup_ms is not None and result.setup_ms < 3000
    assert list(census.answers(result)) == [
        "server count not compared with ours: its /metrics did not answer"
    ]


def test_the_key_is_a_header_and_follows_no_redirect() -> None:
    seen: list[tuple[str, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["x-metrics-api-key"]))
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        figures = Figures(f"ws://127.0.0.1:{server.server_address[1]}", "s3cret")
        answers = [figures.metrics(), figures.health()]
        server.shutdown()
        thread.join()
    assert [status for status, _ in answers] == [302, 302]
    assert seen == [("/metrics", "s3cret"), ("/health", None)]
    assert "s3cret" not in repr(figures)


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    import ghost_greeter.server.figures

    monkeypatch.setattr(ghost_greeter.server.figures, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        figures = Figures(f"http://127.0.0.1:{listener.getsockname()[1]}")
        began_s = time.monotonic()
        with pytest.raises(FiguresError):
            figures.metrics()
        assert time.monotonic() - began_s < 10


def test_parts_are_torn_down_in_reverse_whatever_happens() -> None:
    seen: list[str] = []

    class Part:
        def __init__(self, name: str, *, broken: bool = False) -> None:
            self.name, self.broken = name, broken

        async def setup(self) -> dict[str, str]:
            seen.append(f"+{self.name}")
            if self.broken:
                raise KeyError(self.name)
            return {self.name: "x"}

        async def teardown(self) -> None:
            seen.append(f"-{self.name}")
            if self.name != "b":
                raise ValueError(self.name)

    import asyncio

    setup, teardown = hooks_of(Part("a"), Part("b"))
    assert asyncio.run(setup()) == {"a": "x", "b": "x"}
    with pytest.raises(ValueError, match="a"):
        asyncio.run(teardown())
    assert seen == ["+a", "+b", "-b", "-a"]
    seen.clear()
    setup, teardown = hooks_of(Part("a"), Part("c", broken=True), Part("d"))
    with pytest.raises(KeyError):
        asyncio.run(setup())
    with pytest.raises(ExceptionGroup):
        asyncio.run(teardown())
    assert seen == ["+a", "+c", "-c", "-a"]


# -- events ---------------------------------------------------------------------------------------


def card(name: str) -> dict[str, str]:
    return {"id": name, "displayName": name}


def telling(*events: tuple[str, Any]) -> SocketIOServer:
    """A server that answers a join with these events; ME stands for the visitor's own id."""
    server = SocketIOServer()

    def join(client: Any, _payload: Any) -> None:
        for name, said in events:
            client.emit(name, {**said, "visitorId": said.get("visitorId", client.sid)})

    server.on("visitor:join", join)
    return server


ASSIGNED = ("agent:assigned", {"agent": card("a")})
UNAVAILABLE: tuple[str, Any] = ("agent:unavailable", {})


@pytest.mark.parametrize(
    ("events", "duplicated", "misdelivered"),
    [
        ([ASSIGNED], 0, 0),
        ([ASSIGNED, ASSIGNED], 1, 0),
        ([ASSIGNED, UNAVAILABLE, ASSIGNED], 0, 0),
        ([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], 2, 0),
        ([ASSIGNED, ("agent:assigned", {"agent": card("b")})], 0, 0),
        ([ASSIGNED, ("agent:reassigned", {"newAgent": card("b")})], 0, 0),
        ([ASSIGNED, ("agent:reassigned", {"newAgent": card("a")})], 1, 0),
        ([ASSIGNED, ("agent:assigned", {"agent": card("a"), "visitorId": "you"})], 0, 1),
        ([ASSIGNED, ("agent:unavailable", {"visitorId": "you"}), ASSIGNED], 1, 1),
    ],
)
def test_events_that_come_twice_or_to_the_wrong_one(
    events: list[Any], duplicated: int, misdelivered: int
) -> None:
    with ServerThread(telling(*events)) as thread:
        result = run(widget, thread.url, PerVUIterations(4, 1), "0.2")
    metrics: Any = result.metrics
    assert metrics["join_success_rate"].passes == 4
    assert metrics["visitor_events_duplicated"].count == 4 * duplicated
    assert metrics["visitor_events_misdelivered"].count == 4 * misdelivered
    assert metrics["visitor_events_lost"].count == 0
    assert metrics["script_errors"].count == 0


@pytest.mark.parametrize("said", [None, 3, [], "x", {"agent": 3}, {"visitorId": {"a": 1}}])
def test_whatever_a_server_says_breaks_nothing(said: Any) -> None:
    server = SocketIOServer()

    def join(client: Any, _payload: Any) -> None:
        for name in ("agent:assigned", "agent:unavailable", "agent:reassigned"):
            client.emit(name, said)
            client.emit(name)

    server.on("visitor:join", join)
    with ServerThread(server) as thread:
        result = run(widget, thread.url, PerVUIterations(2, 1), "0.1")
    assert result.metrics["script_errors"].count == 0
    assert result.metrics["join_success_rate"].passes == 2


def test_a_join_without_an_answer_is_a_lost_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ghost_greeter.scenarios.presence, "JOIN_TIMEOUT_S", 0.3)
    with EmbeddedSimulator("--fault", "drop=1", "--fault", "drop_events=agent:assigned",
                           agents=1) as simulator:  # fmt: skip
        result = run(widget, simulator.url, PerVUIterations(5, 1), "0.1")
    assert result.metrics["visitor_events_lost"].count == 5
    assert result.metrics["widget_join_time"].cut_off == 5
