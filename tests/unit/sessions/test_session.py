"""Sessions on the servers of ghostcore.testing: options, races, handlers, blocks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

import ghostcore
from ghostcore import ClosedByPeer, UsageError, connect
from ghostcore.errors import EngineError
from ghostcore.opening.names import Names
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.session import live_sessions
from ghostcore.testing import EchoServer, SocketIOServer
from tests.support.waiting import turns, wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


# ---- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"headers": {"X": 1}}, "must be str"),
        ({"headers": {"Upgrade": "x"}}, "belongs to the upgrade"),
        ({"headers": [("Sec-WebSocket-Key", "x")]}, "belongs to the upgrade"),
        ({"headers": {"X": "a\r\nY: b"}}, "line breaks"),
        ({"subprotocols": "chat"}, "list of names"),
        ({"max_message_size": 0}, "at least 1"),
        ({"timeout": "10"}, "timeout"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ghostcore.connect("ws://127.0.0.1:1", **options)


# ---- receiving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", True])
def test_deadlines_that_cannot_be(run: Any, timeout: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            with pytest.raises(UsageError, match="timeout"):
                session.recv(timeout=timeout)
            with pytest.raises(UsageError, match="timeout"):
                session.ping(timeout=timeout)

    run(main())


def test_recv_times_out_and_goes_on(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            for timeout in (0, 0.0, 0.001, "1ms"):
                with pytest.raises(ghostcore.Timeout) as caught:
                    await session.recv(timeout=timeout)
                assert caught.value.kind == "receive_timeout"
            session.send("after all")
            assert (await session.recv(timeout=30)).text == "after all"

    run(main())


def test_a_second_receiver_is_refused_and_harms_nobody(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            first = asyncio.create_task(text_of(session))
            await turns()
            with pytest.raises(UsageError, match="another task"):
                await session.recv()
            session.send("for the first")
            assert await first == "for the first"

    run(main())


async def text_of(session: Any) -> str:
    text: str = (await session.recv()).text
    return text


def test_a_cancelled_receiver_loses_no_message(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            received: list[Any] = []
            amount = 400
            for number in range(amount):
                session.send(str(number))
            while len(received) < amount:
                task = asyncio.create_task(text_of(session))
                for _ in range(len(received) % 4):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    received.append(await task)
                except asyncio.CancelledError:
                    received.append(await text_of(session))
            assert received == [str(number) for number in range(amount)]

    run(main())


async def backlog(session: Any, amount: int) -> None:
    """Have so many numbers lie in the session's inbox."""
    before = session._traffic.msgs_received
    for number in range(amount):
        session.send(str(number))
    await wait_until(lambda: session._traffic.msgs_received >= before + amount)


def test_cancelled_between_its_message_and_its_step(run: Any) -> None:
    """What a task was given but never saw is the next one's."""

    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            await backlog(session, 100)
            taken = [await text_of(session) for _ in range(63)]
            task = asyncio.create_task(text_of(session))
            await asyncio.sleep(0)  # the 64th in a row waits for its turn
            session._pump()  # which comes while another task runs: the step is scheduled
            rival = asyncio.create_task(text_of(session))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            taken.append(await rival)
            taken += [await text_of(session) for _ in range(100 - len(taken))]
            assert taken == [str(number) for number in range(100)]

    run(main())


def test_a_message_given_back_goes_to_who_waits(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            await backlog(session, 64)
            taken = [await text_of(session) for _ in range(63)]
            task = asyncio.create_task(text_of(session))
            await asyncio.sleep(0)
            session._pump()  # the last message is the task's, and the inbox is empty
            operation = session.recv()
            waiting = asyncio.ensure_future(operation)  # begins to wait at once
            waiting.add_done_callback(lambda _: None)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            taken.append((await asyncio.wait_for(waiting, 30)).text)
            assert taken == [str(number) for number in range(64)]

    run(main())


def test_results_of_operations_that_are_held_as_futures_stay(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            session.send("kept")
            operation = asyncio.ensure_future(session.recv())
            done, _ = await asyncio.wait({operation}, timeout=30)
            assert done == {operation}
            assert not operation.cancel()  # too late, as with any future
            assert operation.result().text == "kept"
            with pytest.raises(ghostcore.Timeout):
                await session.recv(timeout=0.01)  # and not handed out twice

    run(main())


def test_what_has_come_is_handed_out_before_the_end_is_told(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url)
            await backlog(session, 65)
            taken = [await text_of(session) for _ in range(63)]
            task = asyncio.create_task(text_of(session))
            await asyncio.sleep(0)  # waits for its turn, with messages in the inbox
            session.abort()
            taken.append(await task)
            taken.append(await text_of(session))
            assert taken == [str(number) for number in range(65)]
            with pytest.raises(UsageError, match="closed by this side"):
                await session.recv()
            await turns()

    run(main())


# ---- the life of a session ----------------------------------------------------------------------


def test_operations_before_and_after_its_life(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url)
            assert session.is_open and session._is_linked and not session.is_closed
            assert live_sessions() == 1
            await session.close()
            await session.close()
            session.abort()
            assert not session.is_open and session.is_closed and not session._is_linked
            assert live_sessions() == 0
            for operation in (lambda: session.send("x"), session.ping):
                with pytest.raises(UsageError, match="closed by this side"):
                    operation()

    run(main())


def test_concurrent_closers_all_learn_of_the_end(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url)
            await asyncio.wait_for(
                asyncio.gather(session.close(), session.close(), session.close()), 30
            )
            assert session.is_closed

    run(main())


def test_pings_with_one_payload_are_refused(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server, ghostcore.connect(server.url) as session:
            first = session.ping(b"same")
            with pytest.raises(UsageError, match="under way"):
                session.ping(b"same")
            assert await first > 0
            assert await session.ping(b"same") > 0

    run(main())


def test_pings_learn_of_the_end(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url)
            first, second = session.ping(), session.ping()
            task = asyncio.ensure_future(first)
            session.abort()
            for operation in (task, second):
                with pytest.raises(UsageError, match="closed by this side"):
                    await operation

    run(main())


def test_opening_is_cancelled_cleanly_at_every_moment(run: Any) -> None:
    async def main() -> None:
        async with SocketIOServer() as server:
            for steps in range(25):
                task = asyncio.ensure_future(enter(server.url))
                await turns(steps)
                task.cancel()
                await asyncio.wait({task})
            await wait_until(lambda: not live_sessions())

    async def enter(url: str) -> None:
        async with ghostcore.socketio(url):
            await asyncio.sleep(3600)

    run(main())


def test_an_open_session_is_a_block(run: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            async with await ghostcore.connect(server.url) as session:
                await session.send("x")
            assert session.is_closed
            with pytest.raises(ZeroDivisionError):
                async with ghostcore.connect(server.url) as session:
                    raise ZeroDivisionError
            assert session.is_closed and not session._is_linked

    run(main())


# ---- Socket.IO handlers -------------------------------------------------------------------------


class Heard(NullObserver):
    """Keeps what a session reports."""

    def __init__(self) -> None:
        super().__init__()
        self.target: list[BaseException] = []
        self.script: list[BaseException] = []

    def target_error(self, error: BaseException) -> None:
        self.target.append(error)

    def script_error(self, error: BaseException) -> None:
        self.script.append(error)


def test_errors_of_handlers(run: Any) -> None:
    async def main() -> None:
        server = SocketIOServer()

        @server.on("go")
        def go(client: Any) -> None:
            client.emit("plain", ack=lambda *_: None)
            client.emit("task")
            client.emit("ask")
            client.emit("abort")
            client.emit("done")

        heard = Heard()
        async with server, ghostcore.socketio(server.url, observer=heard) as session:

            def plain() -> None:
                raise ValueError("plain")

            async def task() -> None:
                await asyncio.sleep(0)
                raise KeyError("task")

            async def ask() -> None:
                await session.call("nobody answers", timeout=0.005)

            def abort() -> None:
                raise ghostcore.ScriptAborted("enough")

            for handler in (plain, task, ask, abort):
                session.on(handler.__name__, handler)
            await session.request("go", reply="done")
            await wait_until(lambda: len(heard.script) + len(heard.target) == 4)
            assert {type(error) for error in heard.script} == {
                ValueError, KeyError, ghostcore.ScriptAborted
            }  # fmt: skip
            assert [type(error) for error in heard.target] == [ghostcore.Timeout]

    run(main())


def test_a_handler_may_end_its_session_and_go_on(run: Any) -> None:
    async def main() -> None:
        server = SocketIOServer()
        server.on("go", lambda client: client.emit("bye"))
        came_to_its_end = asyncio.Event()
        async with server:
            session = await ghostcore.socketio(server.url)

            async def bye() -> None:
                await session.disconnect()
                await asyncio.sleep(0)
                came_to_its_end.set()

            session.on("bye", bye)
            session.emit("go")
            await asyncio.wait_for(came_to_its_end.wait(), 30)
            assert session.is_closed and session.error is None

    run(main())


def test_handlers_under_way_end_with_the_session(run: Any) -> None:
    async def main() -> None:
        server = SocketIOServer()
        server.on("go", lambda client: client.emit("long"))
        server.on("kick", lambda client: client.disconnect(close=True))
        state: list[str] = []
        async with server:
            session = await ghostcore.socketio(server.url)

            async def long() -> None:
                state.append("begun")
                try:
                    await asyncio.sleep(3600)
                finally:
                    state.append("ended")

            session.on("long", long)
            session.emit("go")
            await wait_until(lambda: state)
            session.emit("kick")
            with pytest.raises(ClosedByPeer):
                await session.wait_for("never")
            await wait_until(lambda: len(state) == 2 and not session._is_linked)
            assert state == ["begun", "ended"]

    run(main())


class Faulty(NullObserver):
    """Whoever records fails."""

    def opened(self, *_: Any) -> None:
        raise EngineError("the books are closed")


@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_a_fault_in_recording_is_raised_at_once(run: Any, link: Any) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            with pytest.raises(EngineError, match="the books"):
                await asyncio.wait_for(
                    connect(server.url, observer=Faulty(), link=link, timeout=60), 20
                )

    run(main())


def test_a_source_of_another_family_leaves_out_the_addresses_that_it_cannot_reach(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            port = urlsplit(server.url).port
            v6 = (socket.AF_INET6, ("::1", port, 0, 0))
            v4 = (socket.AF_INET, ("127.0.0.1", port))
            found = [v6, v4]
            monkeypatch.setattr(Names, "known", lambda *_: found)
            url = f"ws://two.test:{port}"
            async with connect(url, local_address="127.0.0.9") as session:
                assert session.is_open
            found = [v6]
            with pytest.raises(UsageError, match="another family"):
                await connect(url, local_address="127.0.0.9")

    run(main())
