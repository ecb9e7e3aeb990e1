"""The client's side of the HTTP upgrade (RFC 6455 section 4), sans-IO: the request, and whether an
answer to it will do."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Sequence
from http import HTTPStatus

from ghostcore.errors import HandshakeRejected

__all__ = ["MAX_HEAD_BYTES", "accept_of", "check_answer", "make_request"]

MAX_HEAD_BYTES = 16 * 1024
"""Of the answer's status line and headers together."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")


def make_request(
    netloc: str, resource: str, headers: Sequence[tuple[str, str]]
) -> tuple[bytes, bytes]:
    """The upgrade request, and the key in it.

    :param netloc: host and port for the Host header, unless `headers` has one.
    :param resource: path and query.
    :param headers: in addition to those that the upgrade needs.
    """
    key = b64encode(os.urandom(16))
    own = any(name.lower() == "host" for name, _ in headers)
    lines = [f"GET {resource} HTTP/1.1"]
    if not own:
        lines.append(f"Host: {netloc}")
    lines += [
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
        "\r\n",
    ]
    return "\r\n".join(lines).encode(), key


def accept_of(key: bytes) -> bytes:
    """What the server must put into Sec-WebSocket-Accept (RFC 6455 section 4.2.2)."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _headers(head: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in head.split(b"\r\n")[1:]:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ValueError(f"malformed header {line[:80]!r}")
        found.setdefault(match[1].decode().lower(), []).append(match[2].decode("latin-1"))
    return found


def check_answer(head: bytes, body: bytes, key: bytes) -> dict[str, list[str]]:
    """Check the answer to an upgrade by the rules of RFC 6455 section 4.1.

    :param head: status line and headers, without the empty line that ends them.
    :param body: what came behind it; told to the user of a refusal.
    :returns: the headers of a valid 101, names in lower case.
    :raises HandshakeRejected: kind ``upgrade_rejected`` for another status, ``upgrade_invalid`` for
        an answer that is none.
    """
    first = head.split(b"\r\n", 1)[0]
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise invalid(f"no HTTP/1.1 status line, but {first[:60]!r}")
    status = int(match[1])
    try:
        headers = _headers(head)
    except ValueError as error:
        raise invalid(str(error), status) from None
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        phrase = (match[2] or b"").decode("latin-1")
        location = headers.get("location", [""])[0]
        hint = f" to {location}" if location else ""
        raise HandshakeRejected(
            f"the upgrade was answered with HTTP {status} {phrase}".rstrip() + hint,
            status=status,
            data=body[:512],
        )
    if [value.lower() for value in headers.get("upgrade", [])] != ["websocket"]:
        raise invalid("a 101 without 'Upgrade: websocket'", status)
    connection = ",".join(headers.get("connection", [])).lower()
    if "upgrade" not in (token.strip() for token in connection.split(",")):
        raise invalid("a 101 without 'Connection: Upgrade'", status)
    accept = headers.get("sec-websocket-accept", [])
    if accept != [accept_of(key).decode()]:
        raise invalid("the Sec-WebSocket-Accept of the answer does not fit the key", status)
    if "sec-websocket-extensions" in headers:
        offered = ", ".join(headers["sec-websocket-extensions"])
        raise invalid(f"an extension that was not offered: {offered}", status)
    if len(headers.get("sec-websocket-protocol", [])) > 1:
        raise invalid("more than one subprotocol", status)
    return headers


def invalid(detail: str, status: int = 0) -> HandshakeRejected:
    """The refusal of an answer that breaks the rules of the upgrade."""
    return HandshakeRejected(
        f"the answer to the upgrade is invalid: {detail}", kind="upgrade_invalid", status=status
    )
