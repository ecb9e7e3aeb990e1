"""Plain WebSocket sessions against the real ws package on Node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import ghostcore
from ghostcore import ClosedByPeer, UsageError
from tests.integration.node_servers import NodeServers
from tests.support.waiting import gone, wait_until


def test_echo_of_every_size(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.connect(node.url("ws", "/echo")) as session:
            for size in (0, 1, 125, 126, 127, 65535, 65536, 1 << 20):
                text = "é" * (size // 2) + "x" * (size % 2)
                await session.send(text)
                answer = await session.recv(timeout=30)
                assert answer.kind == "text" and answer.text == text
                data = bytes(i & 0xFF for i in range(size))
                await session.send(data)
                answer = await session.recv(timeout=30)
                assert answer.kind == "binary" and answer.data == data
            for odd in (bytearray(b"ab"), memoryview(b"abcd")[::2]):
                await session.send(odd)
                assert (await session.recv()).data == bytes(odd)

    run(main())


def test_many_messages_in_order(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        amount = 3000
        async with ghostcore.connect(node.url("ws", "/echo")) as session:
            for number in range(amount):
                session.send(str(number))
            received = [(await session.recv(timeout=30)).text for _ in range(amount)]
        assert received == [str(number) for number in range(amount)]

    run(main())


def test_a_backlog_is_handed_out_in_order_while_more_arrives(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        amount = 2000
        async with ghostcore.connect(node.url("ws", "/echo")) as session:
            received = []
            for number in range(amount):
                session.send(str(number))
                if number % 300 == 299:
                    await asyncio.sleep(0.005)  # lets a backlog build up
                    received += [(await session.recv()).text for _ in range(100)]
            while len(received) < amount:
                received.append((await session.recv(timeout=30)).text)
        assert received == [str(number) for number in range(amount)]

    run(main())


def test_pings_of_the_server_are_answered(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.connect(node.url("ws", "/pings")) as session:
            assert (await session.recv()).text == "pong are you there"
            assert (await session.recv()).text == "pong "

    run(main())


def test_pings_of_ours(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.connect(node.url("ws", "/echo")) as session:
            assert 0 < await session.ping() < 30_000
            assert 0 < await session.ping(b"x" * 125, timeout=30) < 30_000
            several = await asyncio.gather(session.ping(b"1"), session.ping(), session.ping())
            assert len(several) == 3 and min(several) > 0
            with pytest.raises(UsageError, match="125"):
                session.ping(b"x" * 126)
            # One that is awaited after its pong came gives the same time, whatever came since.
            early = session.ping()
            await session.ping()
            for _ in range(20):
                await session.send("noise")
                await session.recv()
                await asyncio.sleep(0.005)
            assert await early < 100

    run(main())


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("?code=1000", 1000, ""),
        ("?code=1000&reason=bye", 1000, "bye"),
        ("?code=1001&reason=going", 1001, "going"),
        ("?code=1011&reason=broken", 1011, "broken"),
        ("?code=3000", 3000, ""),
        ("?code=4999&reason=%C3%BC", 4999, "ü"),
        ("", 1005, ""),
    ],
)
def test_close_codes_of_the_server(
    node: NodeServers, run: Any, query: str, code: int, reason: str
) -> None:
    async def main() -> None:
        session = await ghostcore.connect(node.url("ws", "/close" + query))
        with pytest.raises(ClosedByPeer) as caught:
            await session.recv()
        assert (caught.value.code, caught.value.reason) == (code, reason)
        assert caught.value.kind == "closed" and caught.value.age_s >= 0
        assert (session.close_code, session.close_reason) == (code, reason)
        with pytest.raises(ClosedByPeer):
            session.send("too late")
        await gone(session)

    run(main())


def test_a_connection_that_is_broken_off(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        session = await ghostcore.connect(node.url("ws", "/terminate"))
        with pytest.raises(ClosedByPeer) as caught:
            await session.recv()
        assert caught.value.code == 1006 and caught.value.kind == "connection_lost"
        assert not session._is_linked

    run(main())


def test_close_codes_of_ours(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        wanted: list[tuple[int, str]] = [(1000, ""), (1000, "done"), (3000, ""), (4999, "ü" * 61)]
        seen: list[list[Any]] = []
        for code, reason in wanted:
            session = await ghostcore.connect(node.url("ws", "/lastClose"))
            await session.close(code, reason)
            assert session.is_closed and session.error is None and not session._is_linked
            assert session.close_code == code
        session = await ghostcore.connect(node.url("ws", "/lastClose"))
        session.abort()
        await gone(session)

        async def ask() -> int:
            async with ghostcore.connect(node.url("ws", "/closes")) as asking:
                seen.extend(json.loads((await asking.recv()).text))
            return len(seen)

        for _ in range(1000):
            if await ask() > len(wanted):
                break
            await asyncio.sleep(0.01)
        assert seen == [*map(list, wanted), [1006, ""]]
        for code in (999, 1001, 1005, 1006, 2999, 5000):
            with pytest.raises(UsageError, match="code"):
                session.close(code)
        with pytest.raises(UsageError, match="closed by this side"):
            session.send("too late")
        with pytest.raises(UsageError, match="closed by this side"):
            await session.recv()

    run(main())


def test_fragments_with_a_ping_between(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        async with ghostcore.connect(node.url("ws", "/fragments")) as session:
            message = await session.recv()
            assert message.kind == "text" and message.text == "together"
            message = await session.recv()
            assert message.kind == "binary" and message.data == b"\x01"

    run(main())


def test_subprotocols(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        url = node.url("ws", "/headers")
        offers = ["chat", "superchat"]
        async with ghostcore.connect(url, subprotocols=offers) as session:
            assert session.subprotocol == "superchat"
            assert json.loads((await session.recv()).text)["protocol"] == "superchat"
        async with ghostcore.connect(url, subprotocols=["chat"]) as session:
            assert session.subprotocol == ""

    run(main())


def test_what_the_upgrade_says(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        url = node.url("ws", "/headers?a=1&b=%C3%BC")
        headers = [("X-Trace", "1"), ("X-Trace", "2"), ("Authorization", "Bearer of tidings")]
        async with ghostcore.connect(url, headers=headers, local_address="127.0.0.9") as session:
            seen = json.loads((await session.recv()).text)
        raw = seen["headers"]
        pairs = list(zip(raw[::2], raw[1::2], strict=True))
        for pair in headers:
            assert pair in pairs
        assert [value for name, value in pairs if name.lower() == "host"] == [
            f"127.0.0.1:{node.ports['ws']}"
        ]
        assert seen["url"] == "/headers?a=1&b=%C3%BC"
        assert seen["address"] == "127.0.0.9"
        async with ghostcore.connect(url, headers={"X-One": "yes"}) as session:
            seen = json.loads((await session.recv()).text)
        assert "X-One" in seen["headers"]

    run(main())


def test_iteration_hands_out_everything_and_ends_with_1000(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        amount = 200  # more than are handed out in one turn of the loop
        expected = [str(number) for number in range(amount)]
        for code in (1000, 1001):
            url = node.url("ws", f"/greetThenClose?count={amount}&code={code}")
            session = await ghostcore.connect(url)
            assert [message.text async for message in session] == expected
            await gone(session)
        url = node.url("ws", f"/greetThenClose?count={amount}&code=4001")
        session = await ghostcore.connect(url)
        received = []
        with pytest.raises(ClosedByPeer) as caught:
            async for message in session:
                received.append(message.text)
        assert received == expected and caught.value.code == 4001
        await gone(session)
        # When all of it has arrived before anybody asks:
        session = await ghostcore.connect(
            node.url("ws", f"/greetThenClose?count={amount}&code=1000")
        )
        await wait_until(lambda: session.is_closed)
        assert [message.text async for message in session] == expected
        await gone(session)

    run(main())


def test_iteration_ends_when_we_close(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        session = await ghostcore.connect(node.url("ws", "/echo"))
        await session.send("only")
        received = []
        async for message in session:
            received.append(message.text)
            await session.close()
        assert received == ["only"]

    run(main())


def test_awaiting_send_is_back_pressure(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        chunk = b"x" * 65536
        async with ghostcore.connect(node.url("ws", "/pause")) as session:
            sent = 0
            stuck: asyncio.Task[None] | None = None
            while sent < 64 << 20:
                room = session.send(chunk)
                sent += len(chunk)
                task = asyncio.ensure_future(finish(room))
                done, _ = await asyncio.wait({task}, timeout=0.3)
                if not done:
                    stuck = task
                    break
            assert stuck is not None, "a server that reads nothing took 64 MiB"
            async with ghostcore.connect(node.url("ws", "/resume")) as other:
                await other.recv()
            await asyncio.wait_for(stuck, 30)
            await session.send(b"")
            assert (await session.recv(timeout=30)).text == str(sent)

    run(main())


async def finish(awaitable: Any) -> None:
    await awaitable


def test_a_sender_that_waits_learns_of_the_end(node: NodeServers, run: Any) -> None:
    async def main() -> None:
        session = await ghostcore.connect(node.url("ws", "/pause"))
        late = None
        while late is None:
            room = session.send(b"x" * 1_000_000)
            task = asyncio.ensure_future(finish(room))
            done, _ = await asyncio.wait({task}, timeout=0.3)
            late = None if done else task
        never_awaited = session._room()
        session.abort()
        with pytest.raises(UsageError, match="closed by this side"):
            await asyncio.wait_for(late, 30)
        with pytest.raises(UsageError, match="closed by this side"):
            await asyncio.wait_for(finish(never_awaited), 30)
        await gone(session)

    run(main())
