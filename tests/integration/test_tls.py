"""wss://: whom we trust, whom we do not, and what a mix-up of schemes is called."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trustme

import ghostcore
from ghostcore import ConnectFailed, UsageError
from ghostcore.errors import TargetError
from ghostcore.testing import EchoServer
from ghostcore.testing.threads import ServerThread
from tests.integration.node_servers import NodeServers
from tests.integration.scripted import Connection, ScriptedServer
from tests.support.hostile import TEXT, frame, upgrade_answer


@pytest.fixture(params=["epoll", "picows"])
def connect(request: pytest.FixtureRequest) -> Any:
    """ghostcore.connect() over each link."""
    return partial(ghostcore.connect, link=request.param)


def test_a_trusted_server(
    node: NodeServers, run: Any, connect: Any, ca_file: str, authority: trustme.CA
) -> None:
    async def echo(url: str, **options: Any) -> None:
        async with connect(url, **options) as session:
            await session.send("over TLS")
            assert (await session.recv()).text == "over TLS"
            for big in (b"\x00\xff" * 300_000, b"\x01" * 16_777_216, b""):
                await session.send(big)
                assert (await session.recv(timeout=30)).data == big

    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = node.url("wss", "/echo")
    run(echo(url, ssl=ca_file))
    run(echo(url, ssl=context))
    run(echo(url, insecure=True))
    run(echo(url.replace("localhost", "127.0.0.1"), insecure=True))
    run(echo(url.replace("wss://", "https://"), ssl=ca_file))


@pytest.fixture
def refused(connect: Any) -> Any:
    async def main(url: str, **options: Any) -> TargetError:
        with pytest.raises(TargetError) as caught:
            await connect(url, **options)
        return caught.value

    return main


def test_a_server_that_nobody_vouches_for(node: NodeServers, run: Any, refused: Any) -> None:
    error = run(refused(node.url("wss", "/echo")))
    assert isinstance(error, ConnectFailed)
    assert (error.kind, error.phase) == ("tls_certificate", "tls")
    assert "certificate" in str(error)


def test_a_certificate_for_another_name(
    node: NodeServers, run: Any, refused: Any, ca_file: str
) -> None:
    url = node.url("wss", "/echo").replace("localhost", "127.0.0.1")
    error = run(refused(url, ssl=ca_file))
    assert (error.kind, error.phase) == ("tls_certificate", "tls")
    assert "127.0.0.1" in str(error)


def test_plain_client_against_a_tls_port(node: NodeServers, run: Any, refused: Any) -> None:
    error = run(refused(node.url("wss", "/echo").replace("wss://", "ws://")))
    assert (error.kind, error.phase) == ("upgrade_closed", "upgrade")


def test_tls_client_against_a_plain_port(node: NodeServers, run: Any, refused: Any) -> None:
    error = run(refused(node.url("ws", "/echo").replace("ws://", "wss://"), insecure=True))
    assert (error.kind, error.phase) == ("tls_failed", "tls")
    assert isinstance(error, ConnectFailed)


def test_a_server_that_ends_or_stalls_in_the_tls_handshake(run: Any, refused: Any) -> None:
    def hang_up(connection: Connection) -> None:
        connection.sock.recv(100)

    with ScriptedServer(hang_up) as server:
        error = run(refused(server.url.replace("ws://", "wss://"), insecure=True))
        assert (error.kind, error.phase) == ("tls_failed", "tls")
    with ScriptedServer(Connection.idle) as server:
        error = run(refused(server.url.replace("ws://", "wss://"), insecure=True, timeout=0.2))
        assert (error.kind, error.phase) == ("connect_timeout", "tls")
        assert "TLS handshake" in str(error)


def test_silence_after_the_tls_handshake(
    run: Any, refused: Any, authority: trustme.CA, ca_file: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def silent(connection: Connection) -> None:
        connection.sock.settimeout(10)
        with context.wrap_socket(connection.sock, server_side=True) as wrapped:
            while wrapped.recv(4096):
                pass

    with ScriptedServer(silent) as server:
        url = f"wss://localhost:{server.port}/"
        error = run(refused(url, ssl=ca_file, timeout=0.5))
        assert (error.kind, error.phase) == ("connect_timeout", "upgrade")
        assert "upgrade was not answered" in str(error)


def served(authority: trustme.CA, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        context.maximum_version = version
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_and_what_the_handshake_is_recorded_as(
    run: Any, connect: Any, authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
) -> None:
    @ghostcore.scenario(load=ghostcore.PerVUIterations(vus=3, iterations=1))
    async def visit(vu: ghostcore.VU) -> None:
        link = connect.keywords["link"]
        async with vu.connect(vu.env["URL"], ssl=ca_file, link=link) as session:
            await session.send("hello")
            assert (await session.recv(timeout=10)).text == "hello"

    with ServerThread(EchoServer(ssl=served(authority, version))) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        result = ghostcore.run(visit, env={"URL": url}, seed=1)
    assert (result.verdict, result.errors) == ("pass", [])
    phase = result.metrics["ws_tls"]
    assert phase.count == 3
    assert 0 < phase.max < result.metrics["ws_connecting"].max


def test_messages_while_the_server_asks_for_new_keys(
    node: NodeServers, run: Any, connect: Any, ca_file: str
) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main() -> set[str]:
        async with connect(node.url("wss", "/renegotiates"), ssl=context) as session:
            await session.send("one")
            return {(await session.recv(timeout=10)).text for _ in range(2)}

    assert run(main()) == {"one", "renegotiated"}


@pytest.mark.parametrize("close_notify", [True, False])
def test_an_end_without_a_close_frame(
    run: Any, connect: Any, authority: trustme.CA, ca_file: str, close_notify: bool
) -> None:
    error = run(lost(connect, authority, ca_file, end_quietly if close_notify else end_rudely))
    assert error.kind == "connection_lost"
    assert "without a close frame" in str(error)


def test_a_record_that_nobody_sealed(run: Any, authority: trustme.CA, ca_file: str) -> None:
    """Over picows it is uvloop that reads records, and it tells an end without a reason."""
    error = run(lost(partial(ghostcore.connect, link="epoll"), authority, ca_file, forge))
    assert error.kind == "connection_lost"
    assert "was lost" in str(error)


def test_an_answer_and_a_frame_in_two_records_of_one_segment(
    run: Any, connect: Any, authority: trustme.CA, ca_file: str
) -> None:
    """asyncio reads the second record into what follows the first in the buffer it was given."""
    context = served(authority)

    def serve(connection: Connection) -> None:
        connection.sock.settimeout(10)
        with context.wrap_socket(connection.sock, server_side=True) as wrapped:
            head = wrapped.recv(4096).decode()
            key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            wrapped.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            wrapped.sendall(upgrade_answer({"sec-websocket-key": key}))
            for text in (b"one", b"two"):
                wrapped.sendall(frame(TEXT, text))
            wrapped.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            wrapped.recv(4096)

    async def main(url: str) -> list[str]:
        async with connect(url, ssl=ca_file) as session:
            return [(await session.recv(timeout=10)).text for _ in range(2)]

    with ScriptedServer(serve) as server:
        assert run(main(f"wss://localhost:{server.port}/")) == ["one", "two"]


def end_quietly(wrapped: ssl.SSLSocket) -> None:
    with suppress(OSError):  # the client ends without a word of its own
        wrapped.unwrap()


def end_rudely(wrapped: ssl.SSLSocket) -> None:
    socket.socket.shutdown(wrapped, socket.SHUT_RDWR)


def forge(wrapped: ssl.SSLSocket) -> None:
    forged = b"\x17\x03\x03\x00\x20" + b"\x00" * 32
    socket.socket.sendall(wrapped, forged)
    with suppress(OSError):
        wrapped.recv(100)


async def lost(
    connect: Any, authority: trustme.CA, ca_file: str, end: Callable[[ssl.SSLSocket], None]
) -> TargetError:
    """What a session raises when a message had come and the connection was ended so."""

    def serve(connection: Connection) -> None:
        connection.sock.settimeout(10)
        with served(authority).wrap_socket(connection.sock, server_side=True) as wrapped:
            head = wrapped.recv(4096).decode()
            key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            wrapped.sendall(upgrade_answer({"sec-websocket-key": key}) + frame(TEXT, b"last"))
            wrapped.recv(4096)  # the message has come
            end(wrapped)

    with ScriptedServer(serve) as server:
        async with connect(f"wss://localhost:{server.port}/", ssl=ca_file) as session:
            assert (await session.recv(timeout=10)).text == "last"
            await session.send("seen")
            with pytest.raises(TargetError) as caught:
                await session.recv(timeout=10)
            return caught.value


def test_wrong_ssl_arguments(run: Any, tmp_path: Any) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")

    async def main() -> None:
        for options, text in (
            ({"ssl": str(tmp_path / "none.pem")}, "no such file"),
            ({"ssl": str(bad)}, "no PEM file"),
            ({"ssl": ssl.create_default_context(), "insecure": True}, "contradicts"),
        ):
            with pytest.raises(UsageError, match=text):
                await ghostcore.connect("wss://127.0.0.1:9", **options)

    with ScriptedServer(Connection.idle):
        run(main())
