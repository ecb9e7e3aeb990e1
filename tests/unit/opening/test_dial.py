"""URLs, names and the errors of dialling."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest

from ghostcore import socketio
from ghostcore.errors import ConnectFailed, UsageError
from ghostcore.opening.dial import connect_failed, parse_target, resolve, tcp_connect

pytestmark = pytest.mark.usefixtures("no_leaks")

EIO = "EIO=4&transport=websocket"


@pytest.mark.parametrize(
    ("url", "host", "port", "secure", "resource", "netloc", "shown"),
    [
        ("ws://h", "h", 80, False, "/", "h", "ws://h"),
        ("http://h", "h", 80, False, "/", "h", "ws://h"),
        ("wss://h", "h", 443, True, "/", "h", "wss://h"),
        ("https://h/", "h", 443, True, "/", "h", "wss://h/"),
        ("WS://Host.Example:80/a", "host.example", 80, False, "/a", "host.example", None),
        ("wss://h:80", "h", 80, True, "/", "h:80", "wss://h:80"),
        ("ws://h:443/", "h", 443, False, "/", "h:443", "ws://h:443/"),
        ("ws://127.0.0.1:3001/a/b?c=d&e", "127.0.0.1", 3001, False, "/a/b?c=d&e",
         "127.0.0.1:3001", "ws://127.0.0.1:3001/a/b"),
        ("ws://h?token=secret", "h", 80, False, "/?token=secret", "h", "ws://h"),
        ("ws://[::1]:9/x", "::1", 9, False, "/x", "[::1]:9", "ws://[::1]:9/x"),
        ("wss://[::1]/", "::1", 443, True, "/", "[::1]", "wss://[::1]/"),
        ("ws://h/%C3%BC?q=%20", "h", 80, False, "/%C3%BC?q=%20", "h", "ws://h/%C3%BC"),
    ],
)  # fmt: skip
def test_parse_target(
    url: str, host: str, port: int, secure: bool, resource: str, netloc: str, shown: str | None
) -> None:
    target = parse_target(url)
    assert (target.host, target.port, target.secure) == (host, port, secure)
    assert (target.resource, target.netloc) == (resource, netloc)
    assert shown is None or target.url == shown


@pytest.mark.parametrize(
    ("url", "path", "resource"),
    [
        ("ws://h", "/socket.io/", f"/socket.io/?{EIO}"),
        ("http://h/", "/socket.io/", f"/socket.io/?{EIO}"),
        ("ws://h/socket.io", "/socket.io/", f"/socket.io/?{EIO}"),
        ("ws://h/socket.io/", "socket.io", f"/socket.io/?{EIO}"),
        ("ws://h?a=1", "/socket.io/", f"/socket.io/?a=1&{EIO}"),
        (f"ws://h/socket.io/?{EIO}", "/socket.io/", f"/socket.io/?{EIO}"),
        (f"ws://h/socket.io/?{EIO}&x=1", "/socket.io/", f"/socket.io/?{EIO}&x=1"),
        ("ws://h", "/deep/engine", f"/deep/engine/?{EIO}"),
        ("ws://h", "/", f"/?{EIO}"),
    ],
)
def test_socketio_resource(url: str, path: str, resource: str) -> None:
    assert parse_target(url, socketio_path=path).resource == resource


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not a URL"),
        ("h:80", "not a URL"),
        (None, "not a URL"),
        (b"ws://h", "not a URL"),
        ("ws://h:port", "not a URL"),
        ("ws://h:99999", "not a URL"),
        ("ws://h:0", "port 0"),
        ("ws://[::1", "not a URL"),
        ("ftp://h", "scheme"),
        ("ws://", "no host"),
        ("ws:///path", "no host"),
        ("ws://user@h", "credentials"),
        ("ws://user:secret@h", "credentials"),
        ("ws://h/a b", "white space"),
        ("ws://h/a\r\nX: y", "white space"),
        ("ws://h/ü", "ASCII"),
        ("ws://bücher.example/", "ASCII"),
        ("ws://h/#part", "fragment"),
    ],
)
def test_what_is_no_target(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_target(url)
    assert "secret" not in str(caught.value)


def test_a_path_that_is_not_the_servers() -> None:
    with pytest.raises(UsageError, match=r"path='/admin'.*namespace='/admin'"):
        parse_target("ws://h/admin", socketio_path="/socket.io/")


@pytest.mark.parametrize("path", ["/a\r\nX: y", "/a b", "/a?x=1", "/a#b", "/ü", "/a\x7f", 1])
def test_a_path_that_no_request_can_carry(path: Any) -> None:
    """A line break in it would add headers to the request."""
    with pytest.raises(UsageError, match="path"):
        socketio("ws://h", path=path)


def test_names_are_looked_up_once_at_a_time_and_once_a_minute() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked: list[str] = []

        async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            await asyncio.sleep(0.01)
            if host == "bad.test":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.5", port))]

        loop.getaddrinfo = getaddrinfo  # type: ignore[assignment, method-assign]
        target = parse_target("ws://good.test:81")
        found = await asyncio.gather(*(resolve(loop, target, 0) for _ in range(50)))
        assert asked == ["good.test"]
        assert all(addresses == [(socket.AF_INET, ("127.0.0.5", 81))] for addresses, _ in found)
        assert [looked_up for _, looked_up in found] == [True] + [False] * 49
        assert await resolve(loop, target, 59 * 10**9) == (found[0][0], False)
        assert (await resolve(loop, target, 61 * 10**9))[1]
        assert asked == ["good.test"] * 2
        # Who goes away while it looks up does not take the look-up from the others.
        other = parse_target("ws://other.test:81")
        first = asyncio.ensure_future(resolve(loop, other, 0))
        second = asyncio.ensure_future(resolve(loop, other, 0))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0] == [(socket.AF_INET, ("127.0.0.5", 81))]
        # A failure is told to all, and not kept.
        bad = parse_target("ws://bad.test")
        for _ in range(2):
            failures = await asyncio.gather(
                *(resolve(loop, bad, 0) for _ in range(3)), return_exceptions=True
            )
            assert [one.kind for one in failures if isinstance(one, ConnectFailed)] == [
                "dns_failure"
            ] * 3
        assert asked[-2:] == ["bad.test"] * 2

    asyncio.run(main())


def test_literal_addresses_need_no_look_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await resolve(loop, parse_target("ws://127.0.0.1:5"), 0) == (
            [(socket.AF_INET, ("127.0.0.1", 5))], False
        )  # fmt: skip
        assert await resolve(loop, parse_target("ws://[::1]:5"), 0) == (
            [(socket.AF_INET6, ("::1", 5, 0, 0))], False
        )  # fmt: skip

    asyncio.run(main())


def test_addresses_are_tried_in_order() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            target = parse_target(f"ws://127.0.0.1:{port}")
            addresses: list[tuple[int, Any]] = [
                (socket.AF_INET, ("127.0.0.2", port)),  # nobody listens there
                (socket.AF_INET, ("127.0.0.1", port)),
            ]
            with await tcp_connect(loop, target, addresses, "127.0.0.7") as sock:
                assert sock.getsockname()[0] == "127.0.0.7"
                assert sock.getpeername() == ("127.0.0.1", port)
            with pytest.raises(ConnectFailed) as caught:
                await tcp_connect(loop, target, addresses[:1], None)
            assert caught.value.kind == "connection_refused"
            assert caught.value.errno == errno.ECONNREFUSED

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "tcp", "connection_refused"),
        (OSError(errno.EHOSTUNREACH, "x"), "tcp", "unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "tcp", "unreachable"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "tcp", "no_source_port"),
        (OSError(errno.EMFILE, "x"), "tcp", "no_descriptors"),
        (OSError(errno.ETIMEDOUT, "x"), "tcp", "connect_timeout"),
        (OSError(errno.EPERM, "x"), "tcp", "connect_failed"),
        (OSError("odd"), "tcp", "connect_failed"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "tls", "tls_failed"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "upgrade", "upgrade_closed"),
        (ssl.SSLError(1, "x"), "tls", "tls_failed"),
    ],
)
def test_kinds_of_failures(error: OSError, phase: str, kind: str) -> None:
    failure = connect_failed(error, parse_target("ws://h:1/p?q"), phase)
    assert (failure.kind, failure.phase, failure.url) == (kind, phase, "ws://h:1/p")
    assert str(failure).endswith("[ws://h:1/p]")
