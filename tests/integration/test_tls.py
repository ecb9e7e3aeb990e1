"""wss://: whom we trust, whom we do not, and what a mix-up of schemes is called."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme
from node_servers import NodeServers
from scripted import Connection, ScriptedServer

import ghostcore
from ghostcore import ConnectFailed, UsageError
from ghostcore.errors import TargetError


async def echo(url: str, **options: Any) -> None:
    async with ghostcore.connect(url, **options) as session:
        await session.send("over TLS")
        assert (await session.recv()).text == "over TLS"
        big = b"\x00\xff" * 300_000
        await session.send(big)
        assert (await session.recv(timeout=30)).data == big


def test_a_trusted_server(node: NodeServers, run: Any, ca_file: str, authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = node.url("wss", "/echo")
    run(echo(url, ssl=ca_file))
    run(echo(url, ssl=context))
    run(echo(url, insecure=True))
    run(echo(url.replace("localhost", "127.0.0.1"), insecure=True))
    run(echo(url.replace("wss://", "https://"), ssl=ca_file))


def refused(url: str, **options: Any) -> Any:
    async def main() -> TargetError:
        with pytest.raises(TargetError) as caught:
            await ghostcore.connect(url, **options)
        return caught.value

    return main()


def test_a_server_that_nobody_vouches_for(node: NodeServers, run: Any) -> None:
    error = run(refused(node.url("wss", "/echo")))
    assert isinstance(error, ConnectFailed)
    assert (error.kind, error.phase) == ("tls_certificate", "tls")
    assert "certificate" in str(error)


def test_a_certificate_for_another_name(node: NodeServers, run: Any, ca_file: str) -> None:
    url = node.url("wss", "/echo").replace("localhost", "127.0.0.1")
    error = run(refused(url, ssl=ca_file))
    assert (error.kind, error.phase) == ("tls_certificate", "tls")
    assert "127.0.0.1" in str(error)


def test_plain_client_against_a_tls_port(node: NodeServers, run: Any) -> None:
    error = run(refused(node.url("wss", "/echo").replace("wss://", "ws://")))
    assert error.kind in ("upgrade_invalid", "upgrade_closed", "upgrade_rejected")
    assert error.phase == "upgrade"


def test_tls_client_against_a_plain_port(node: NodeServers, run: Any) -> None:
    error = run(refused(node.url("ws", "/echo").replace("ws://", "wss://"), insecure=True))
    assert (error.kind, error.phase) == ("tls_failed", "tls")
    assert isinstance(error, ConnectFailed)


def test_a_server_that_ends_or_stalls_in_the_tls_handshake(run: Any) -> None:
    def hang_up(connection: Connection) -> None:
        connection.sock.recv(100)

    with ScriptedServer(hang_up) as server:
        error = run(refused(server.url.replace("ws://", "wss://"), insecure=True))
        assert (error.kind, error.phase) == ("tls_failed", "tls")
    with ScriptedServer(Connection.idle) as server:
        error = run(refused(server.url.replace("ws://", "wss://"), insecure=True, timeout=0.2))
        assert (error.kind, error.phase) == ("connect_timeout", "tls")
        assert "TLS handshake" in str(error)


def test_silence_after_the_tls_handshake(run: Any, authority: trustme.CA, ca_file: str) -> None:
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
