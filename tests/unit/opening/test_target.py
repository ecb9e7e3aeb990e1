"""URLs, taken apart."""

from __future__ import annotations

from typing import Any

import pytest

from ghostcore import socketio
from ghostcore.errors import UsageError
from ghostcore.opening.target import parse_target

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
