"""Connections through a proxy: CONNECT of HTTP/1.1 (RFC 9110 section 9.3.6) and SOCKS 5 (RFC 1928,
RFC 1929)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ghostcore.errors import ConnectFailed, TargetError, UsageError
from ghostcore.opening.names import Names
from ghostcore.opening.target import Target
from ghostcore.opening.tcp import tcp_connect

__all__ = ["Proxy", "dial_through", "parse_proxy"]

MAX_ANSWER_BYTES = 16 * 1024
_PORTS = {"http": 8080, "socks5": 1080}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?")

_SOCKS_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. ``name`` is for messages: scheme, host and port, never the credentials."""

    scheme: str
    host: str
    port: int
    name: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)


def parse_proxy(url: str) -> Proxy:
    """Take the URL of a proxy apart.

    :param url: http://host:port or socks5://host:port, with user:password@ if need be.
    :raises UsageError: not such a URL; the message does not repeat it, for it may hold a password.
    """
    expected = "expected http://host:port or socks5://host:port"
    if not isinstance(url, str):
        raise UsageError(f"proxy: {expected}, got {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"proxy: not a URL; {expected}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"proxy: {expected}, got the scheme {parts.scheme[:20]!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"proxy: a path or query in the URL; {expected}")
    user = None if parts.username is None else unquote(parts.username)
    password = unquote(parts.password or "")
    if user is not None:
        limit = 255 if parts.scheme == "socks5" else 4096
        if not 1 <= len(user.encode()) <= limit or len(password.encode()) > limit:
            raise UsageError(f"proxy: user and password must have at most {limit} bytes")
        if parts.scheme == "http" and ":" in user:
            raise UsageError("proxy: a user with a colon cannot be sent (RFC 7617 section 2)")
    port = port or _PORTS[parts.scheme]
    name = f"{parts.scheme}://{_authority(parts.hostname, port)}"
    return Proxy(parts.scheme, parts.hostname, port, name, user, password)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def dial_through(
    proxy: Proxy,
    names: Names,
    target: Target,
    local_address: str | None,
) -> socket.socket:
    """A non-blocking socket that the proxy has connected to the target.

    :param names: looks up the proxy's own.

    :raises ConnectFailed: kind ``proxy_failed``: the proxy cannot be reached or says no.
    """
    hop = Target(proxy.host, proxy.port, False, "", "", proxy.name)
    loop = names.loop
    try:
        addresses, _ = await names.resolve(hop, loop_ns(loop))
        sock = await tcp_connect(loop, hop, addresses, local_address)
    except TargetError as error:
        raise _failed(proxy, target, error.detail) from None
    stream = _Stream(loop, sock)
    try:
        if proxy.scheme == "http":
            await _connect(stream, proxy, target)
        else:
            await _socks5(stream, proxy, target)
    except (OSError, EOFError, ValueError) as error:
        sock.close()
        raise _failed(proxy, target, _told(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def loop_ns(loop: asyncio.AbstractEventLoop) -> int:
    """The loop's clock in ns; asyncio and uvloop use CLOCK_MONOTONIC, as the engine does."""
    return int(loop.time() * 1e9)


def _told(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ended the connection instead of answering"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)


def _failed(proxy: Proxy, target: Target, detail: str) -> ConnectFailed:
    return ConnectFailed(
        f"the proxy {proxy.name} did not connect to {_authority(target.host, target.port)}: "
        f"{detail}",
        kind="proxy_failed",
        url=target.url,
    )


class _Stream:
    """Reads exactly what belongs to the proxy: what follows belongs to the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self._loop.sock_recv(self._sock, size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    async def read_head(self) -> tuple[bytes, bytes]:
        """Up to the empty line, and what has come behind it."""
        data = b""
        while b"\r\n\r\n" not in data:
            if len(data) > MAX_ANSWER_BYTES:
                raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes of headers")
            piece = await self._loop.sock_recv(self._sock, 4096)
            if not piece:
                raise EOFError
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest


async def _connect(stream: _Stream, proxy: Proxy, target: Target) -> None:
    authority = _authority(target.host, target.port)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.user is not None:
        credentials = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    await stream.send("\r\n".join([*lines, "\r\n"]).encode())
    head, rest = await stream.read_head()
    first = head.split(b"\r\n", 1)[0]
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise ValueError(f"no HTTP/1.1 status line, but {first[:60]!r}")
    if not 200 <= int(match[1]) < 300:
        phrase = (match[2] or b"").decode("latin-1")
        raise ValueError(f"HTTP {match[1].decode()} {phrase}".rstrip())
    if rest:  # a WebSocket or TLS server speaks only when it is spoken to
        raise ValueError(f"{len(rest)} bytes behind its answer, before the server was asked")


async def _socks5(stream: _Stream, proxy: Proxy, target: Target) -> None:
    methods = b"\x00" if proxy.user is None else b"\x00\x02"
    await stream.send(b"\x05" + bytes([len(methods)]) + methods)
    version, method = await stream.read(2)
    if version != 5:
        raise ValueError(f"it speaks SOCKS version {version}, not 5")
    if method == 2 and proxy.user is not None:
        user, password = proxy.user.encode(), proxy.password.encode()
        await stream.send(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if (await stream.read(2))[1] != 0:
            raise ValueError("it refused user and password")
    elif method != 0:
        raise ValueError("it wants another way of authentication")
    await stream.send(b"\x05\x01\x00" + _socks_address(target))
    version, reply, _, kind = await stream.read(4)
    if version != 5:
        raise ValueError(f"it answered in SOCKS version {version}, not 5")
    if reply != 0:
        raise ValueError(_SOCKS_REPLIES.get(reply, f"SOCKS reply {reply}"))
    sizes = {1: 4, 4: 16}
    if kind == 3:
        size = (await stream.read(1))[0]
    elif kind in sizes:
        size = sizes[kind]
    else:
        raise ValueError(f"an address of the unknown type {kind}")
    await stream.read(size + 2)


def _socks_address(target: Target) -> bytes:
    port = target.port.to_bytes(2, "big")
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        name = target.host.encode("idna")
        if len(name) > 255:
            raise ValueError("a host name of more than 255 bytes") from None
        return b"\x03" + bytes([len(name)]) + name + port
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed + port
