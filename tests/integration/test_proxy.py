"""Sessions through proxies: CONNECT and SOCKS 5, ws:// and wss://, and what can go wrong."""

from __future__ import annotations

import re
import socket
from typing import Any, Literal

import pytest
import uvloop

from ghostcore import connect, socketio
from ghostcore.errors import ConnectFailed, HandshakeRejected, TargetError, UsageError
from tests.integration.node_servers import NodeServers
from tests.support.hostile import HostileServer
from tests.support.proxies import ConnectProxy, Proxy, SocksProxy

LinkName = Literal["epoll", "picows"]
KINDS = pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy], ids=["http", "socks5"])


async def echo(url: str, **options: Any) -> str:
    async with connect(url, **options) as session:
        await session.send("through")
        text: str = (await session.recv(timeout=10)).text
        return text


@KINDS
@pytest.mark.parametrize("link", ["epoll", "picows"])
@pytest.mark.parametrize("user", [None, "ghost:pa%40ss"])
def test_ws(kind: type[Proxy], link: LinkName, user: str | None, node: NodeServers) -> None:
    known = None if user is None else "ghost:pa@ss"
    with kind(known) as proxy:
        url = node.url("ws", "/echo")
        assert uvloop.run(echo(url, proxy=proxy.url(user), link=link)) == "through"
    assert proxy.asked == [f"127.0.0.1:{node.ports['ws']}"]


@KINDS
@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_wss_and_the_proxy_resolves_the_name(
    kind: type[Proxy], link: LinkName, node: NodeServers, ca_file: str
) -> None:
    with kind() as proxy:
        url = node.url("wss", "/echo")
        assert uvloop.run(echo(url, proxy=proxy.url(), ssl=ca_file, link=link)) == "through"
    assert proxy.asked == [f"localhost:{node.ports['wss']}"]


@KINDS
def test_socketio(kind: type[Proxy], node: NodeServers) -> None:
    async def main(proxy: str) -> None:
        async with socketio(node.url("socketio").replace("ws:", "http:"), proxy=proxy) as session:
            assert await session.call("sum", 2, 3, timeout=10) == 5

    with kind() as proxy:
        uvloop.run(main(proxy.url()))
    assert len(proxy.asked) == 1


async def failure(proxy: str, **options: Any) -> TargetError:
    with pytest.raises(TargetError) as caught:
        await connect("ws://127.0.0.1:9/x", proxy=proxy, **{"timeout": 10, **options})
    return caught.value


@pytest.mark.parametrize(
    ("kind", "reply", "why"),
    [
        (ConnectProxy, b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP 403 Forbidden"),
        (ConnectProxy, b"HTTP/1.0 502 Bad Gateway\r\nX: y\r\n\r\nbody", "HTTP 502 Bad Gateway"),
        (ConnectProxy, b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP/1.1 status line"),
        (ConnectProxy, b"HTTP/1.1 200 OK\r\n\r\nearly", "5 bytes behind its answer"),
        (ConnectProxy, b"HTTP/1.1 200 OK\r\n", "ended the connection"),
        (ConnectProxy, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000, "more than 16384 bytes"),
        (SocksProxy, b"\x04\x00", "SOCKS version 4"),
        (SocksProxy, b"\x05\xff", "another way of authentication"),
        (SocksProxy, b"\x05\x02", "another way of authentication"),
        (SocksProxy, b"\x05\x00\x05\x05\x00\x01", "connection refused"),
        (SocksProxy, b"\x05\x00\x05\x63\x00\x01", "SOCKS reply 99"),
        (SocksProxy, b"\x05\x00\x05\x00\x00\x09", "unknown type 9"),
        (SocksProxy, b"\x05\x00\x05\x00\x00\x01\x7f", "ended the connection"),
        (SocksProxy, b"\x05", "ended the connection"),
    ],
)
def test_what_a_proxy_may_answer(kind: type[Proxy], reply: bytes, why: str) -> None:
    with kind(reply=reply) as proxy:
        error = uvloop.run(failure(proxy.url("ghost:secret" if kind is ConnectProxy else None)))
    assert isinstance(error, ConnectFailed)
    assert (error.kind, error.phase) == ("proxy_failed", "tcp")
    assert why in str(error)
    assert proxy.url() in str(error)
    assert "secret" not in str(error)


@KINDS
def test_a_wrong_password_is_refused_and_never_told(kind: type[Proxy]) -> None:
    with kind("ghost:right") as proxy:
        error = uvloop.run(failure(proxy.url("ghost:secret")))
        assert error.kind == "proxy_failed"
        assert not re.search("secret|ghost:", f"{error} {error!r} {error.__cause__!r}")
        assert uvloop.run(failure(proxy.url())).kind == "proxy_failed"


@KINDS
def test_a_proxy_that_is_not_there(kind: type[Proxy]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    error = uvloop.run(failure(f"{kind.scheme}://ghost:secret@127.0.0.1:{port}"))
    assert error.kind == "proxy_failed"
    assert "connection refused" in str(error)
    assert "secret" not in str(error)


@KINDS
@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_a_proxy_that_says_nothing_is_named(kind: type[Proxy], link: LinkName) -> None:
    """It took the connection: TCP is not what was not answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"{kind.scheme}://127.0.0.1:{silent.getsockname()[1]}"
        error = uvloop.run(failure(name, link=link, timeout=0.3))
    assert (error.kind, error.phase) == ("connect_timeout", "tcp")
    assert f"the proxy {name} did not make the connection" in str(error)


def test_the_server_behind_the_proxy_may_refuse_as_well() -> None:
    async def main(url: str, proxy: str) -> None:
        with pytest.raises(HandshakeRejected) as caught:
            await connect(url, proxy=proxy)
        assert (caught.value.kind, caught.value.status) == ("upgrade_rejected", 403)

    refusal = b"HTTP/1.1 403 Forbidden\r\n\r\n"
    with HostileServer(answer=lambda headers: refusal) as server, ConnectProxy() as proxy:
        uvloop.run(main(server.url, proxy.url()))


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("https://x:1", "expected http"),
        ("socks4://x:1", "expected http"),
        ("127.0.0.1:3128", "expected http"),
        ("http://", "expected http"),
        ("http://secret@x:y", "not a URL"),
        ("http://x:1/path", "path"),
        ("socks5://" + "u" * 256 + "@x", "at most 255"),
        ("http://a%3Ab:secret@x", "colon"),
        (3128, "got int"),
    ],
)
def test_proxies_that_cannot_be(url: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        connect("ws://127.0.0.1:9", proxy=url)
    assert "secret" not in str(caught.value)
