"""The fault proxy: each fault as both ends see it, with plain sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.testing import FaultProxy, Faults, Flow, ServerProcess, ServerThread

LIMIT_S = 10.0

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def through_proxy(
    play: Callable[[FaultProxy, Pair, Pair], Awaitable[None]],
    faults: Faults | None = None,
    **options: Any,
) -> None:
    """Run `play(proxy, client, server)` on both ends of a connection through a proxy."""

    async def main() -> None:
        accepted: asyncio.Queue[Pair] = asyncio.Queue()
        writers: list[asyncio.StreamWriter] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            accepted.put_nowait((reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with FaultProxy(port, faults=faults, **options) as proxy, asyncio.timeout(LIMIT_S):
            client = await asyncio.open_connection("127.0.0.1", proxy.port)
            far = await accepted.get()
            await play(proxy, client, far)
            writers.append(client[1])
        server.close()
        await abort(*writers)

    asyncio.run(main())


async def abort(*writers: asyncio.StreamWriter) -> None:
    """End connections at once and let the loop close their sockets."""
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


async def echo_once(sender: Pair, receiver: Pair, data: bytes) -> None:
    sender[1].write(data)
    assert await receiver[0].readexactly(len(data)) == data


def test_without_faults_bytes_and_ends_pass_both_ways() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        await echo_once(client, server, b"up" * 50_000)
        await echo_once(server, client, b"down" * 50_000)
        (connection,) = proxy.connections.values()
        assert (connection.bytes_up, connection.bytes_down) == (100_000, 200_000)
        client[1].write_eof()
        assert await server[0].read() == b""
        await echo_once(server, client, b"half open still works")

    through_proxy(play)


def faults_of(way: str, flow: Flow) -> Faults:
    return Faults(up=flow) if way == "up" else Faults(down=flow)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("size", [0, 1, 5000])
def test_cut_after(way: str, size: int) -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        sender, receiver = (client, server) if way == "up" else (server, client)
        sender[1].write(b"x" * 10_000)
        assert await receiver[0].read() == b"x" * size

    through_proxy(play, faults_of(way, Flow(cut_after=size)))


@pytest.mark.parametrize("way", ["up", "down"])
def test_reset_after(way: str) -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        sender, receiver = (client, server) if way == "up" else (server, client)
        sender[1].write(b"x" * 100)
        with pytest.raises(ConnectionResetError):
            while await receiver[0].read(1000):
                pass
            raise AssertionError("the end of the stream, not a reset")
        with pytest.raises(ConnectionResetError):
            await sender[0].read()

    through_proxy(play, faults_of(way, Flow(reset_after=100)))


def test_finish_after_closes_one_direction() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        server[1].write(b"x" * 100)
        assert await client[0].read() == b"x" * 40
        await echo_once(client, server, b"the other goes on")

    through_proxy(play, Faults(down=Flow(finish_after=40)))


def test_swallow_after_passes_no_end_on() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        await echo_once(client, server, b"12345")
        client[1].write(b"lost")
        client[1].write_eof()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server[0].read(), 0.1)
        await echo_once(server, client, b"the other goes on")

    through_proxy(play, Faults(up=Flow(swallow_after=5)))


def test_stop_after_closes_the_window_until_it_is_lifted() -> None:
    size = 32 * 1024 * 1024  # over what the kernel buffers

    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        client[1].write(b"x" * size)
        received = asyncio.create_task(server[0].readexactly(size))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[1].drain(), 0.2)
        assert client[1].transport.get_write_buffer_size() > 0
        proxy.apply(Faults())
        assert await received == b"x" * size

    through_proxy(play, Faults(up=Flow(stop_after=10)), receive_buffer=4096)


def test_delay_and_width_hold_bytes_back() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await echo_once(client, server, b"delayed")
        assert loop.time() - started_s >= 0.1
        proxy.apply(Faults(up=Flow(bytes_per_s=50_000)))
        started_s = loop.time()
        await echo_once(client, server, b"x" * 10_000)
        assert loop.time() - started_s >= 0.15

    through_proxy(play, Faults(up=Flow(delay_s=0.1)))


def test_freeze_and_resume_lose_nothing() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        proxy.freeze()
        client[1].write(b"up")
        server[1].write(b"down")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server[0].read(1), 0.1)
        proxy.resume()
        assert await server[0].readexactly(2) == b"up"
        assert await client[0].readexactly(4) == b"down"

    through_proxy(play)


def test_refuse_and_listen() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await echo_once(client, server, b"what is open goes on")
        await proxy.listen()
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await abort(writer)

    through_proxy(play)


def test_faults_of_one_connection_and_of_all() -> None:
    async def play(proxy: FaultProxy, client: Pair, server: Pair) -> None:
        (connection,) = proxy.connections.values()
        connection.faults = Faults(accept="forward", down=Flow(cut_after=1))
        assert proxy.faults == Faults()
        server[1].write(b"ab")
        assert await client[0].read() == b"a"
        other = await asyncio.open_connection("127.0.0.1", proxy.port)
        for _ in range(500):
            if len(proxy.connections) == 1 and proxy.connections_total == 2:
                break
            await asyncio.sleep(0.01)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            await other[0].read()
        await abort(other[1])

    through_proxy(play)


@pytest.mark.parametrize("accept", ["silence", "reset", "close"])
def test_what_accepting_may_do(accept: Any) -> None:
    async def main() -> None:
        async with FaultProxy(1, faults=Faults(accept=accept)) as proxy, asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            if accept == "silence":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(), 0.1)
            elif accept == "reset":
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            else:
                assert await reader.read() == b""
            await abort(writer)

    asyncio.run(main())


def test_a_target_that_refuses_is_a_reset() -> None:
    async def main() -> None:
        async with FaultProxy(0) as target:
            dead = target.port
        async with FaultProxy(dead) as proxy, asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await abort(writer)

    asyncio.run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Flow(delay_s=-1),
        lambda: Flow(delay_s=float("nan")),
        lambda: Flow(bytes_per_s=0),
        lambda: Flow(cut_after=-1),
        lambda: Flow(reset_after=1.5),  # type: ignore[arg-type]
        lambda: Faults(accept="maybe"),  # type: ignore[arg-type]
        lambda: FaultProxy(1).port,
    ],
)
def test_usage_errors(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


def test_in_a_thread_and_in_a_process() -> None:
    with ServerThread(FaultProxy(1)) as thread:
        assert thread.url == f"ws://127.0.0.1:{thread.server.port}"
        thread.call(thread.server.freeze)
        thread.call(thread.server.refuse)
    with ServerProcess(FaultProxy, "--target", "1", "--down", '{"delay_s": 0.1}') as process:
        assert process.url.startswith("ws://127.0.0.1:")
