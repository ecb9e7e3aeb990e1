"""Socket.IO sessions against the real socket.io package on Node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ghostcore
from ghostcore import ClosedByPeer, ErrorReply, Event, HandshakeRejected, Timeout
from tests.integration.node_servers import NodeServers
from tests.support.waiting import gone, wait_until


def test_events_both_ways(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            assert session.sid
            answer = await session.request("echo", 1, "zwei", {"drei": [3, None]}, reply="echo")
            assert answer.name == "echo"
            assert answer.args == (
                1,
                "zwei",
                {"drei": [3, None]},
            )
            assert answer.elapsed_ms >= 0
            await session.emit("echo", "later")
            assert (await session.wait_for("echo")).args == ("later",)

    run(main())


def test_acknowledgements_by_the_server(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            assert await session.call("sum", 40, 2) == 42
            assert await session.call("several") == (1, "two", [3])
            assert await session.call("nothing") is None
            calls = [session.call("sum", number, 0) for number in range(50)]
            assert await asyncio.gather(*calls) == list(range(50))
            with pytest.raises(Timeout) as caught:
                await session.call("silence", timeout=0.05)
            assert caught.value.kind == "ack_timeout"

    run(main())


def test_acknowledgements_by_the_client(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            # By what a handler returns: one value, several, a coroutine's, none.
            answers: list[Any] = ["yes", ("a", {"b": 2}), None]
            session.on("question", lambda number: answers[number])
            for number, expected in enumerate([["yes"], ["a", {"b": 2}], []]):
                told = await session.request("ask", number, reply="told")
                assert told.args == (
                    None,
                    expected,
                )

        async with ghostcore.socketio(node.url("socketio")) as session:

            async def slowly(question: str) -> str:
                await asyncio.sleep(0.01)
                return question.upper()

            session.on("question", slowly)
            told = await session.request("ask", "why", reply="told")
            assert told.args == (
                None,
                ["WHY"],
            )

        async with ghostcore.socketio(node.url("socketio")) as session:
            await session.emit("ask", "by hand")
            question = await session.wait_for("question")
            await session.ack(question, b"\x01\x02", "end")
            told = await session.wait_for("told")
            assert told.args == (
                None,
                [b"\x01\x02", "end"],
            )
            with pytest.raises(ghostcore.UsageError, match="no acknowledgement"):
                session.ack(told)

    run(main())


def test_namespaces(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        url = node.url("socketio")
        auth = {"token": "right", "name": "Ada"}
        async with ghostcore.socketio(url, namespace="/auth", auth=auth) as session:
            assert (await session.wait_for("welcome")).args == (auth,)
            assert await session.call("where") == "/auth"

        async with ghostcore.socketio(url) as session:
            await session.join("/auth", auth)
            welcome = await session.wait_for("welcome", namespace="/auth")
            assert welcome.namespace == "/auth"
            assert await session.call("where", namespace="/auth") == "/auth"
            # The same name in two namespaces: each answer goes to its own.
            one = asyncio.create_task(session.request("echo", "main", reply="echo"))
            two = asyncio.create_task(
                session.request("echo", "auth", reply="echo", namespace="/auth")
            )
            assert [(await one).args, (await two).args] == [("main",), ("auth",)]
            with pytest.raises(HandshakeRejected, match="Invalid namespace") as caught:
                await session.join("/nowhere")
            assert caught.value.kind == "connect_error"
            assert await session.call("sum", 1, 1) == 2  # the rest of the session goes on

        with pytest.raises(HandshakeRejected) as caught:
            await ghostcore.socketio(url, namespace="/nowhere")
        assert caught.value.kind == "connect_error"
        assert caught.value.phase == "socketio_connect"
        assert caught.value.data == {"message": "Invalid namespace"}

    run(main())


def test_refused_by_the_auth_middleware(node: NodeServers, run: Any) -> None:
    refusal = {"message": "wrong token", "data": {"code": 41, "hint": "ask the operator"}}

    async def main() -> None:
        url = node.url("socketio")
        with pytest.raises(HandshakeRejected, match="wrong token") as caught:
            async with ghostcore.socketio(url, namespace="/auth", auth={"token": "wrong"}):
                raise AssertionError("not refused")
        assert caught.value.kind == "connect_error"
        assert caught.value.data == refusal
        async with ghostcore.socketio(url) as session:
            with pytest.raises(HandshakeRejected) as caught:
                await session.join("/auth")
            assert caught.value.data == refusal

    run(main())


def test_binary_attachments(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            blobs = await session.request("blobs", reply="blobs")
            assert blobs.args == (
                {"first": b"\x00\xff", "deep": [{"second": b"ghost"}]},
                b"",
            )
            value = {"first": bytes(range(256)), "deep": [{"second": b"\xe9"}]}
            told, first = await session.call("measure", value)
            assert told == {"first": 256, "second": "\xe9", "isBuffer": True}
            assert first == bytes(range(256))
            echoed = await session.request("echo", [b"1", {"x": b""}], b"2", reply="echo")
            assert echoed.args == (
                [b"1", {"x": b""}],
                b"2",
            )

    run(main())


@pytest.mark.parametrize("verb", ["leave", "kick"])
def test_disconnected_by_the_server(node: NodeServers, run: Any, verb: str) -> None:
    async def main() -> None:
        session = await ghostcore.socketio(node.url("socketio"))
        waiting = asyncio.create_task(session.wait_for("never"))
        await asyncio.sleep(0)
        await session.emit(verb)
        with pytest.raises(ClosedByPeer) as caught:
            await waiting
        assert caught.value.kind == "closed"
        assert session.is_closed
        with pytest.raises(ClosedByPeer):
            await session.emit("echo", 1)
        with pytest.raises(ClosedByPeer):
            async with ghostcore.socketio(node.url("socketio")) as session:
                await session.emit(verb)
                await asyncio.sleep(0.1)  # the loss must not go unnoticed
        await gone(session)

    run(main())


def test_server_sees_a_proper_goodbye(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        before = len(node.seen("socketio")["reasons"])
        async with ghostcore.socketio(node.url("socketio")) as session:
            await session.call("nothing")
        session = await ghostcore.socketio(node.url("socketio"))
        await session.disconnect()
        assert session.is_closed and session.error is None
        await wait_until(lambda: len(node.seen("socketio")["reasons"]) == before + 2)
        assert node.seen("socketio")["reasons"][before:] == ["client namespace disconnect"] * 2
        await wait_until(lambda: node.seen("socketio")["engine"] == 0)

    run(main())


def test_message_over_the_servers_limit(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("small")) as session:
            answer = await session.request("echo", "x" * 9000, reply="echo")
            assert len(answer.args[0]) == 9000
            with pytest.raises(ClosedByPeer) as caught:
                await session.request("echo", "x" * 20000, reply="echo")
            assert caught.value.code in (1006, 1009)
        await gone(session)

    run(main())


def test_event_over_our_own_limit(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        url = node.url("socketio")
        async with ghostcore.socketio(url, max_message_size=5000) as session:
            assert len((await session.request("big", 4000, reply="big")).args[0]) == 4000
            with pytest.raises(ghostcore.ProtocolViolation) as caught:
                await session.request("big", 6000, reply="big")
            assert caught.value.kind == "message_too_big"
            assert caught.value.code == 1009
        await gone(session)

    run(main())


def test_pings_keep_a_session_alive_while_it_sleeps_and_computes(
    node: NodeServers, run: Any
) -> None:
    async def main() -> None:
        before = node.seen("pinging")["pongs"]
        async with ghostcore.socketio(node.url("pinging")) as session:
            handshake = session._codec.handshake
            assert handshake is not None and handshake["pingInterval"] == 100
            await wait_until(lambda: session._codec.pings >= 3)
            seen = session._codec.pings
            while session._codec.pings < seen + 3:  # computing, in slices
                sum(range(200_000))
                await asyncio.sleep(0)
            assert await session.call("sum", 1, 2) == 3
            answered = session._codec.pings
            assert node.seen("pinging")["pongs"] - before >= answered - 1

    run(main())


def test_requests_waits_and_duplicates(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            # A duplicate of an answer does not answer the next request that does not name it, and
            # is kept for whoever asks for it.
            first = await session.request("twice", 7, reply="answer")
            assert first.args == (7,)
            assert (await session.request("echo", 8, reply="echo")).args == (8,)
            spare = await session.wait_for("answer")
            assert spare.args == (7,) and spare.elapsed_ms == 0
            # Two requests with the same name of answer: the oldest first, one event each.
            pair = [
                asyncio.create_task(session.request("echo", number, reply="echo"))
                for number in (1, 2)
            ]
            assert [(await one).args for one in pair] == [(1,), (2,)]
            # Every wait_for() that names an event gets it.
            waits = [asyncio.create_task(session.wait_for("tick", "tock")) for _ in range(2)]
            await asyncio.sleep(0)
            await session.emit("after", 1, "tock")
            assert [(await one).name for one in waits] == ["tock", "tock"]
            # fresh: what came before does not count.
            await session.request("echo", "old", reply="echo")
            await session.emit("twice", "old")
            await session.call("nothing")
            with pytest.raises(Timeout) as caught:
                await session.wait_for("answer", fresh=True, timeout=0.02)
            assert caught.value.kind == "reply_timeout"
            assert [(await session.wait_for("answer")).args for _ in range(2)] == [("old",)] * 2
            with pytest.raises(ErrorReply, match="out of order") as refused:
                await session.request("fail", "out of order", reply="ok", error="failed")
            assert isinstance(refused.value.event, Event)
            assert refused.value.event.args == ({"why": "out of order"},)
            with pytest.raises(Timeout) as caught:
                await session.request("silence", reply="never", timeout=0.02)
            assert caught.value.kind == "reply_timeout" and caught.value.limit_s == 0.02

    run(main())


def test_handlers_hear_every_event_in_order(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        heard: list[int] = []
        async with ghostcore.socketio(node.url("socketio")) as session:
            session.on("drop", heard.append)
            flooded = await session.request("flood", 5000, reply="flooded", timeout=30)
            assert flooded.args == (5000,)
            await asyncio.sleep(0)
        assert heard == list(range(5000))

    run(main())


def test_unread_events_are_kept_up_to_a_limit_and_counted(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.socketio(node.url("socketio")) as session:
            await session.request("flood", 300, reply="flooded")
            kept = [(await session.wait_for("drop")).args[0] for _ in range(256)]
            assert kept == list(range(44, 300))
            assert session._traffic.discarded == 44

    run(main())
