"""Bad servers that never let a WebSocket come to be: names, TCP, TLS, the HTTP upgrade."""

from __future__ import annotations

import asyncio

from ghostcore.testing._wire import BadServer, Script, Wire

__all__ = ["SERVERS"]

_SHORT = {"timeout": 0.6}
"""For servers that never answer: the deadline of opening is what is seen."""


async def _silence(wire: Wire) -> None:
    await wire.stare()


async def _reset_at_once(wire: Wire) -> None:
    wire.reset()


async def _close_at_once(wire: Wire) -> None:
    pass


async def _close_after_request(wire: Wire) -> None:
    await wire.request()


async def _reset_after_request(wire: Wire) -> None:
    await wire.request()
    wire.reset()


async def _plaintext(wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await wire.hold()


async def _slow_headers(wire: Wire) -> None:
    await wire.request()
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n":
        await wire.send(bytes((byte,)))
        await asyncio.sleep(0.1)


async def _endless_headers(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    for number in range(100_000):
        await wire.send(b"x-filler-%d: %s\r\n" % (number, b"x" * 100))


async def _half_headers_then_close(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs")


async def _half_headers_then_reset(wire: Wire) -> None:
    await _half_headers_then_close(wire)
    await wire.pause()
    wire.reset()


async def _not_http(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n")
    await wire.hold()


async def _endless_status(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 ")
    while True:
        await wire.send(b"1" * 16384)


def _answers(status: str, body: bytes = b"", /, **changed: str | None) -> Script:
    async def script(wire: Wire) -> None:
        await wire.answer(status, body, **changed)
        await wire.hold()

    return script


def _switches(**changed: str | None) -> Script:
    return _answers("101 Switching Protocols", **changed)


def _rejects(name: str, status: str, body: bytes = b"no", **headers: str | None) -> BadServer:
    does = f"answers the upgrade with HTTP {status}"
    return BadServer(name, does, "upgrade_rejected", "upgrade", _answers(status, body, **headers))


def _invalid(name: str, does: str, script: Script) -> BadServer:
    return BadServer(name, does, "upgrade_invalid", "upgrade", script)


def _ends(name: str, does: str, script: Script) -> BadServer:
    return BadServer(name, does, "upgrade_closed", "upgrade", script)


def _certificate(name: str, does: str, certificate: str) -> BadServer:
    return BadServer(
        name, does, "tls_certificate", "tls", _silence, secure=True, certificate=certificate
    )


def _handshake(name: str, does: str, script: Script, certificate: str | None = None) -> BadServer:
    return BadServer(name, does, "tls_failed", "tls", script, secure=True, certificate=certificate)


SERVERS: tuple[BadServer, ...] = (
    BadServer(
        "unknown_name", "has a name that does not resolve", "dns_failure", "dns", listens="unknown"
    ),
    BadServer("refused", "does not listen", "connection_refused", "tcp", listens="refuses"),
    BadServer(
        "unreachable", "is where no route leads", "unreachable", "tcp", listens="unreachable"
    ),
    BadServer(
        "backlog_full",
        "never completes the TCP handshake",
        "connect_timeout",
        "tcp",
        options=_SHORT,
        listens="full",
    ),
    BadServer(
        "silent_after_accept",
        "accepts and never answers the upgrade",
        "connect_timeout",
        "upgrade",
        _silence,
        options=_SHORT,
    ),
    BadServer(
        "slow_headers",
        "answers the upgrade a byte each 0.1 s",
        "connect_timeout",
        "upgrade",
        _slow_headers,
        options=_SHORT,
    ),
    _ends("reset_after_accept", "resets once it has accepted", _reset_at_once),
    _ends("closed_after_accept", "closes once it has accepted", _close_at_once),
    _ends("closed_after_request", "closes instead of answering the upgrade", _close_after_request),
    _ends("reset_after_request", "resets instead of answering the upgrade", _reset_after_request),
    _ends("closed_in_headers", "closes in the middle of its answer", _half_headers_then_close),
    _ends("reset_in_headers", "resets in the middle of its answer", _half_headers_then_reset),
    _rejects("http_200", "200 OK", b"<html>welcome</html>"),
    _rejects("http_301", "301 Moved Permanently", location="https://elsewhere.test/"),
    _rejects("http_400", "400 Bad Request"),
    _rejects("http_401", "401 Unauthorized", www_authenticate="Basic"),
    _rejects("http_403", "403 Forbidden"),
    _rejects("http_404", "404 Not Found"),
    _rejects("http_429", "429 Too Many Requests", retry_after="30"),
    _rejects("http_500", "500 Internal Server Error", b"Traceback: " + b"x" * 4096),
    _rejects("http_503", "503 Service Unavailable"),
    _invalid("not_http", "answers the upgrade in another protocol", _not_http),
    _invalid("endless_headers", "never ends its headers", _endless_headers),
    _invalid("endless_status", "never ends its status line", _endless_status),
    _invalid(
        "wrong_accept",
        "sends the wrong Sec-WebSocket-Accept",
        _switches(sec_websocket_accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ),
    _invalid(
        "missing_accept", "sends no Sec-WebSocket-Accept", _switches(sec_websocket_accept=None)
    ),
    _invalid("missing_upgrade", "sends a 101 without Upgrade", _switches(upgrade=None)),
    _invalid("missing_connection", "sends a 101 without Connection", _switches(connection=None)),
    _invalid("other_upgrade", "upgrades to another protocol", _switches(upgrade="h2c")),
    _invalid(
        "unasked_extension",
        "chooses an extension that was not offered",
        _switches(sec_websocket_extensions="permessage-deflate"),
    ),
    _invalid(
        "unasked_subprotocol",
        "chooses a subprotocol that was not offered",
        _switches(sec_websocket_protocol="surprise"),
    ),
    _certificate("certificate_of_another", "has a certificate for another name", "wrong name"),
    _certificate("certificate_expired", "has a certificate that has expired", "expired"),
    _certificate(
        "certificate_unknown", "has a certificate of an unknown authority", "unknown authority"
    ),
    _handshake("tls_old", "speaks only an older TLS than the client", _silence, "old protocol"),
    _handshake("tls_plaintext", "answers the TLS handshake in plain HTTP", _plaintext),
    _handshake("tls_reset", "resets in the TLS handshake", _reset_at_once),
    _handshake("tls_closed", "closes in the TLS handshake", _close_at_once),
    BadServer(
        "tls_silent",
        "never answers the TLS handshake",
        "connect_timeout",
        "tls",
        _silence,
        options=_SHORT,
        secure=True,
    ),
    BadServer(
        "tls_silent_upgrade",
        "completes TLS and never answers the upgrade",
        "connect_timeout",
        "upgrade",
        _silence,
        options=_SHORT,
        secure=True,
        certificate="good",
    ),
)
