"""From a URL to a connected socket, and what went wrong on the way in the terms of errors.py."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import socket
import ssl as ssl_module
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ghostcore.errors import ConnectFailed, TargetError, UsageError

__all__ = [
    "Target",
    "connect_failed",
    "known_addresses",
    "literal_address",
    "parse_target",
    "resolve",
    "tcp_connect",
    "tls_context",
]

DNS_TTL_NS = 60 * 10**9

_SCHEMES = {"ws": (False, 80), "http": (False, 80), "wss": (True, 443), "https": (True, 443)}

_PATH = re.compile(r"[!$->@-~]*")

_KIND_OF_ERRNO = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EADDRNOTAVAIL: "no_source_port",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ETIMEDOUT: "connect_timeout",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points. ``url`` is for messages: without query and credentials."""

    host: str
    port: int
    secure: bool
    resource: str
    netloc: str
    url: str


def parse_target(url: str, *, socketio_path: str | None = None) -> Target:
    """Take a URL apart.

    :param url: ws, wss, http or https; http means ws, https means wss.
    :param socketio_path: the server's Engine.IO path (``/socket.io/``). Where it is given, the path
        and the query that Engine.IO 4 over WebSocket wants are added to a URL that names neither.
    :raises UsageError: not such a URL.
    """
    if not isinstance(url, str) or "://" not in url:
        raise UsageError(f"not a URL: {url!r}. Expected something like ws://127.0.0.1:3001")
    return _parse(url, socketio_path)


@lru_cache(maxsize=256)
def _parse(url: str, socketio_path: str | None) -> Target:
    """Thousands of users open the same URL: they share one Target and its strings."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not a URL: {url!r} ({error})") from None
    if parts.scheme not in _SCHEMES:
        raise UsageError(f"{url!r}: the scheme must be ws, wss, http or https")
    if not parts.hostname:
        raise UsageError(f"{url!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise UsageError("credentials in a URL end up in logs: pass them with headers= or auth=")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise UsageError(f"{url!r} contains white space or control characters: escape them")
    if not url.isascii():
        raise UsageError(f"{url!r} is not ASCII: escape the path, give the host in its xn-- form")
    if port == 0:
        raise UsageError(f"{url!r}: nothing can listen on port 0")
    if "#" in url:
        raise UsageError(f"{url!r}: a WebSocket URL has no fragment; '#' is written %23")
    secure, default_port = _SCHEMES[parts.scheme]
    path, query = parts.path, parts.query
    if socketio_path is not None:
        path, query = _engineio_resource(url, path, query, socketio_path)
    resource = (path or "/") + (f"?{query}" if query else "")
    netloc = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
    if port is not None and port != default_port:
        netloc = f"{netloc}:{port}"
    scheme = "wss" if secure else "ws"
    return Target(
        parts.hostname, port or default_port, secure, resource, netloc, f"{scheme}://{netloc}{path}"
    )


def _engineio_resource(url: str, path: str, query: str, socketio_path: str) -> tuple[str, str]:
    if not isinstance(socketio_path, str) or _PATH.fullmatch(socketio_path) is None:
        raise UsageError(
            f"path={socketio_path!r}: expected a path of ASCII, as /socket.io/, without query, "
            "fragment, white space and control characters"
        )
    stripped = socketio_path.strip("/")
    wanted = f"/{stripped}/" if stripped else "/"
    if path in ("", "/") or path.rstrip("/") + "/" == wanted:
        path = wanted
    else:
        raise UsageError(
            f"{url!r}: the path must be empty or {wanted}. For a server mounted elsewhere pass "
            f"path={path!r}; for a namespace pass namespace={path!r}"
        )
    if "EIO=" not in query:
        query = (query + "&" if query else "") + "EIO=4&transport=websocket"
    return path, query


@dataclass(slots=True)
class _Names:
    """Addresses of the names that a loop has looked up, for DNS_TTL_NS each, and the look-ups that
    are under way."""

    found: dict[tuple[str, int], tuple[int, list[tuple[int, Any]]]] = field(default_factory=dict)
    asked: dict[tuple[str, int], asyncio.Task[list[tuple[int, Any]]]] = field(default_factory=dict)


def literal_address(target: Target) -> list[tuple[int, Any]] | None:
    """The (family, address) of a target whose host is an address itself; None: it is a name."""
    return _literal(target.host, target.port)


@lru_cache(maxsize=256)
def _literal(host: str, port: int) -> list[tuple[int, Any]] | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if address.version == 4:
        return [(socket.AF_INET, (host, port))]
    return [(socket.AF_INET6, (host, port, 0, 0))]


def known_addresses(
    loop: asyncio.AbstractEventLoop, target: Target, now_ns: int
) -> list[tuple[int, Any]] | None:
    """Addresses of a target as (family, address), if no look-up is needed: it is a literal address,
    or its name was looked up within the last minute."""
    literal = literal_address(target)
    if literal is not None:
        return literal
    known = _names_of(loop).found.get((target.host, target.port))
    return known[1] if known is not None and now_ns - known[0] < DNS_TTL_NS else None


def _names_of(loop: asyncio.AbstractEventLoop) -> _Names:
    names: _Names | None = getattr(loop, "_ghostcore_names", None)
    if names is None:
        names = _Names()
        # On the loop itself, as the engine is: it lives as long.
        loop._ghostcore_names = names  # type: ignore[attr-defined]
    return names


async def resolve(
    loop: asyncio.AbstractEventLoop, target: Target, now_ns: int
) -> tuple[list[tuple[int, Any]], bool]:
    """Addresses of a target as (family, address), and whether a look-up was made for it.

    A literal address needs none; a name is looked up once a minute a loop, and once for all who ask
    at the same time, so that 10,000 users do not measure the resolver.

    :raises ConnectFailed: kind ``dns_failure``.
    """
    known = known_addresses(loop, target, now_ns)
    if known is not None:
        return known, False
    names = _names_of(loop)
    key = (target.host, target.port)
    asked = names.asked.get(key)
    first = asked is None
    if asked is None:
        asked = names.asked[key] = loop.create_task(_look_up(loop, names, key, now_ns))
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        # Shielded: who gives up does not take the answer from those who wait for the same.
        return await asyncio.shield(asked), first
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(
            f"the name {target.host!r} could not be resolved: {error}",
            kind="dns_failure",
            phase="dns",
            url=target.url,
        ) from None


async def _look_up(
    loop: asyncio.AbstractEventLoop, names: _Names, key: tuple[str, int], now_ns: int
) -> list[tuple[int, Any]]:
    try:
        infos = await loop.getaddrinfo(*key, type=socket.SOCK_STREAM)
        addresses: list[tuple[int, Any]] = [(family, address) for family, _, _, _, address in infos]
        names.found[key] = (now_ns, addresses)
        return addresses
    finally:
        del names.asked[key]


class Sources(Protocol):
    """Spreads connections over source addresses and ports: the engine of the loop."""

    def loopback_source(self) -> int:
        """The next connection over loopback should come from 127.0.0.1 plus this."""
        ...

    def port_range(self) -> int:
        """What the next connection should give as IP_LOCAL_PORT_RANGE; 0: nothing."""
        ...


async def tcp_connect(
    loop: asyncio.AbstractEventLoop,
    target: Target,
    addresses: list[tuple[int, Any]],
    local_address: str | None,
    sources: Sources | None = None,
) -> socket.socket:
    """A connected, non-blocking socket: the addresses are tried in order.

    :param local_address: numeral of the address to connect from, or None.
    :param sources: how to keep the search for a free port short.
    :raises ConnectFailed: none of them took the connection; the last refusal is told.
    """
    failure: OSError = OSError("no address to connect to")
    for family, address in addresses:
        sock = None
        source = local_address
        if source is None and sources is not None and address[0].startswith("127."):
            nth = sources.loopback_source()
            source = f"127.0.0.{1 + nth}" if nth else None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if source is not None:
                # Leaves the choice of the port to connect(), which may then share ports between
                # targets: bind() alone would reserve one for every target.
                sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                sock.bind((source, 0))
            ports = 0 if sources is None else sources.port_range()
            if ports:
                with suppress(OSError):  # an older kernel, which is slow
                    sock.setsockopt(socket.IPPROTO_IP, 51, ports)  # IP_LOCAL_PORT_RANGE
            await loop.sock_connect(sock, address)
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            return sock
    raise connect_failed(failure, target, "tcp") from failure


def connect_failed(error: OSError, target: Target, phase: str) -> TargetError:
    """The TargetError for an OSError (ssl.SSLError is one) of a phase of the handshake."""
    if phase == "tcp" and error.errno in (errno.ECONNRESET, errno.EPIPE):
        # A refusal has a number of its own: this is a connection that was made, and reset before
        # we came to look.
        phase = "tls" if target.secure else "upgrade"
    if isinstance(error, ssl_module.SSLCertVerificationError):
        kind, detail = "tls_certificate", f"the certificate was refused: {error.verify_message}"
    elif isinstance(error, ssl_module.SSLError):
        kind = "tls_failed"
        detail = f"the TLS handshake failed: {getattr(error, 'reason', None) or error}"
    elif phase == "tls":
        kind, detail = "tls_failed", f"the connection ended in the TLS handshake: {error}"
    elif phase == "upgrade":
        kind, detail = "upgrade_closed", f"the connection ended before the upgrade: {error}"
    else:
        kind = _KIND_OF_ERRNO.get(error.errno or 0, "connect_failed")
        # The system's words: asyncio puts "Connect call failed" in their place.
        reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
        detail = f"cannot connect to {target.host}:{target.port}: {reason}"
    return ConnectFailed(detail, kind=kind, phase=phase, url=target.url, errno=error.errno)


_contexts: dict[str, ssl_module.SSLContext] = {}


def tls_context(
    verify: ssl_module.SSLContext | str | None, insecure: bool
) -> ssl_module.SSLContext:
    """The TLS context of a session; made once for each choice, since one costs milliseconds.

    :param verify: a context of the caller, the path of a file with CA certificates, or None for the
        system's.
    :param insecure: accept any certificate.
    """
    if isinstance(verify, ssl_module.SSLContext):
        if insecure:
            raise UsageError("insecure=True contradicts ssl=: configure the context instead")
        return verify
    key = "insecure" if insecure else f"ca:{verify or ''}"
    context = _contexts.get(key)
    if context is None:
        if verify is not None and not Path(verify).is_file():
            raise UsageError(
                f"ssl={verify!r}: no such file; expected a PEM file of CA certificates"
            )
        try:
            context = ssl_module.create_default_context(cafile=verify)
        except ssl_module.SSLError as error:
            raise UsageError(f"ssl={verify!r} is no PEM file of certificates: {error}") from None
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl_module.CERT_NONE
        _contexts[key] = context
    return context
