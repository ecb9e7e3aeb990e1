"""The rules of the HTTP upgrade for the client's side (RFC 6455 section 4), sans-IO: what is asked,
and whether an answer to it will do. ``protocol.handshake`` makes an attempt of it."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1 as _sha1
from http import HTTPStatus

from ghostcore.errors import HandshakeRejected, UsageError
from ghostcore.protocol.deflate_offer import Deflate, DeflateOffer

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_HEAD_BYTES",
    "Answer",
    "accept_of",
    "checked_headers",
    "checked_subprotocols",
    "read_answer",
    "request_parts",
]

MAX_HEAD_BYTES = 16 * 1024
"""Bytes that the status line and headers of an answer may have together."""

MAX_BODY_BYTES = 512
"""Bytes of a refusal's body that are kept for its error."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([^\r\n]*))?")
# The blanks around a value are cut off afterwards: a pattern that leaves them out tries every way
# to share them, and a server that sends nothing but blanks would stop the loop for minutes.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)")

_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r\n")

_RESERVED_HEADERS = {
    "upgrade": "belongs to the upgrade itself",
    "connection": "belongs to the upgrade itself",
    "sec-websocket-key": "belongs to the upgrade itself",
    "sec-websocket-version": "belongs to the upgrade itself",
    "sec-websocket-protocol": "is made from subprotocols=",
    "sec-websocket-extensions": "is made from compression=",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A valid 101: the size of its head, what the server chose, and all headers (names in lower
    case). Attempts that were answered with the same words share one: the accept value in it is that
    of the first."""

    size: int
    subprotocol: str
    deflate: Deflate | None
    headers: dict[str, list[str]]


def accept_of(key: bytes) -> bytes:
    """What the server must put into Sec-WebSocket-Accept (RFC 6455 section 4.2.2): for servers;
    ``protocol.handshake`` has it in C."""
    return b2a_base64(_sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)


def checked_headers(
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None,
) -> tuple[tuple[str, str], ...]:
    """The option ``headers`` of connect() as pairs.

    :raises UsageError: a header that HTTP forbids, or that the upgrade makes itself.
    """
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UsageError(f"headers: expected pairs of name and value, got {pair!r}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageError(f"headers: names and values must be str, got {name!r}: {value!r}")
        reason = _RESERVED_HEADERS.get(name.lower())
        if reason is not None:
            raise UsageError(f"headers: {name} {reason}")
        if _TOKEN.fullmatch(name) is None:
            raise UsageError(f"headers: {name!r} is no name of a header")
        if _CONTROL.search(value):
            raise UsageError(f"headers: line breaks and control characters in {name!r}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"headers: UTF-8 cannot carry half a surrogate pair in {name!r}")
    return pairs


def checked_subprotocols(names: Sequence[str]) -> tuple[str, ...]:
    """The option ``subprotocols`` of connect() (RFC 6455 section 4.1: tokens, all different).

    :raises UsageError: names that cannot be offered.
    """
    if isinstance(names, str):
        raise UsageError("subprotocols: expected a list of names, got one str")
    if len(set(names)) != len(names):
        raise UsageError(f"subprotocols: a name twice in {list(names)}")
    for name in names:
        if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
            raise UsageError(f"subprotocols: {name!r} is no token of HTTP")
    return tuple(names)


def request_parts(
    netloc: str,
    resource: str,
    headers: Sequence[tuple[str, str]],
    subprotocols: Sequence[str],
    deflate: DeflateOffer | None,
) -> tuple[bytes, bytes]:
    """The request, before and after the key: all that differs among thousands of users."""
    lines = [f"GET {resource} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(f"Host: {netloc}")
    lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: "]
    before = "\r\n".join(lines)
    lines = ["", "Sec-WebSocket-Version: 13"]
    if subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
    if deflate is not None:
        lines.append(f"Sec-WebSocket-Extensions: {deflate.header()}")
    lines += (f"{name}: {value}" for name, value in headers)
    lines.append("\r\n")
    return before.encode(), "\r\n".join(lines).encode()


def read_answer(
    data: bytes,
    accept: bytes,
    subprotocols: Sequence[str],
    deflate: DeflateOffer | None,
    head_limit: int = MAX_HEAD_BYTES,
) -> Answer | HandshakeRejected | None:
    """Judge an answer by the rules of RFC 6455 section 4.1.

    :param data: all bytes that have come so far.
    :param accept: what Sec-WebSocket-Accept must be.
    :param subprotocols: the names that the request offered.
    :param deflate: the compression that it offered, or None.
    :param head_limit: most bytes of its head.
    :returns: None while the answer is not whole; a refusal, to be raised if no more comes, while
        the body whose length it tells has not come as far as it is kept.
    :raises HandshakeRejected: kind ``upgrade_rejected`` for another status, ``upgrade_invalid`` for
        an answer that is none.
    """
    if not data.startswith(b"HTTP/"[: len(data)]):
        raise _invalid(f"it begins with {data[:40]!r}")
    begin, end = 0, data.find(b"\r\n\r\n", 0, head_limit + 4)
    if end < 0:
        if len(data) > head_limit:
            raise _invalid(f"more than {MAX_HEAD_BYTES} bytes of headers")
        if b"\n\n" in data:
            raise _invalid("its lines end with a line feed alone")
        return None
    # Those that say that the answer is to come (RFC 9110 section 15.2).
    while end >= 0 and _INTERIM.match(data, begin):
        begin = end + 4
        end = data.find(b"\r\n\r\n", begin, head_limit + 4)
    if begin:
        behind = read_answer(data[begin:], accept, subprotocols, deflate, head_limit - begin)
        return replace(behind, size=behind.size + begin) if type(behind) is Answer else behind
    status, phrase = _status(data[:end])
    headers = _headers(data[:end], status)
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        return _refused(status, phrase, headers, data[end + 4 :])
    _check(headers, accept)
    try:
        agreed = _accepted_extensions(headers, deflate)
    except ValueError as error:
        raise _invalid(str(error), status) from None
    return Answer(end + 4, _accepted_subprotocol(headers, subprotocols), agreed, headers)


def _refused(
    status: int, phrase: str, headers: dict[str, list[str]], body: bytes
) -> HandshakeRejected:
    """Raise a refusal, or return it if its body is still coming."""
    content, whole = _body(status, headers, body)
    location = headers.get("location", [""])[0]
    hint = f" to {location}" if location else ""
    refusal = HandshakeRejected(
        f"the upgrade was answered with HTTP {status} {phrase}".rstrip() + hint,
        status=status,
        data=content[:MAX_BODY_BYTES],
    )
    if whole:
        raise refusal
    return refusal


def _check(headers: dict[str, list[str]], accept: bytes) -> None:
    if [value.lower() for value in headers.get("upgrade", [])] != ["websocket"]:
        raise _invalid("a 101 without 'Upgrade: websocket'", 101)
    connection = ",".join(headers.get("connection", [])).lower()
    if "upgrade" not in (token.strip(" \t") for token in connection.split(",")):
        raise _invalid("a 101 without 'Connection: Upgrade'", 101)
    if headers.get("sec-websocket-accept", []) != [accept.decode()]:
        raise _invalid("the Sec-WebSocket-Accept of the answer does not fit the key", 101)


def _accepted_subprotocol(headers: dict[str, list[str]], offered: Sequence[str]) -> str:
    chosen = headers.get("sec-websocket-protocol", [])
    if len(chosen) > 1:
        raise _invalid("more than one subprotocol", 101)
    if chosen and chosen[0] not in offered:
        raise _invalid(
            f"the server chose the subprotocol {chosen[0][:60]!r}, which was not offered", 101
        )
    return chosen[0] if chosen else ""


def _accepted_extensions(
    headers: dict[str, list[str]], offer: DeflateOffer | None
) -> Deflate | None:
    values = headers.get("sec-websocket-extensions")
    if values is None:
        return None
    if offer is None:
        raise ValueError(f"an extension that was not offered: {', '.join(values)[:120]}")
    return offer.accept(values)


def _status(head: bytes) -> tuple[int, str]:
    """Status and phrase of an answer."""
    first = head.split(b"\r\n", 1)[0]
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise _invalid(f"no HTTP/1.1 status line, but {first[:60]!r}")
    status = int(match[2])
    if status == HTTPStatus.SWITCHING_PROTOCOLS and match[1] != b"1":
        raise _invalid("a 101 of HTTP/1.0, which knows no upgrade", status)
    return status, (match[3] or b"").decode("latin-1")


def _body(status: int, headers: Mapping[str, list[str]], came: bytes) -> tuple[bytes, bool]:
    """The content of a refusal as far as it came, and whether no more need be waited for.

    One whose length is not told ends with the connection (RFC 9112 section 6.3), which many a
    server then keeps: it is not waited for.
    """
    enough = len(came) >= MAX_BODY_BYTES or status in (
        HTTPStatus.NO_CONTENT,
        HTTPStatus.NOT_MODIFIED,
    )
    if headers.get("transfer-encoding", [""])[-1].lower().endswith("chunked"):
        content, ended = _unchunked(came)
        return content, ended or enough
    length = headers.get("content-length", [""])[0]
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        return came, True
    return came[: int(length)], enough or len(came) >= int(length)


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    """The content of a chunked body (RFC 9112 section 7.1), and whether the body is over: its last
    chunk has come, or something that is no chunk."""
    content = b""
    at = 0
    while match := _CHUNK_SIZE.match(data, at):
        size = int(match[1], 16)
        if size == 0:
            return content, True
        content += data[match.end() : match.end() + size]
        at = match.end() + size + 2
        if at > len(data):
            return content, False
    return content, b"\r\n" in data[at:]


def _headers(head: bytes, status: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in head.split(b"\r\n")[1:]:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _invalid(f"malformed header {line[:80]!r}", status)
        found.setdefault(match[1].decode().lower(), []).append(
            match[2].strip(b" \t").decode("latin-1")
        )
    return found


def _invalid(detail: str, status: int = 0) -> HandshakeRejected:
    """The refusal of an answer that breaks the rules of the upgrade."""
    return HandshakeRejected(
        f"the answer to the upgrade is invalid: {detail}", kind="upgrade_invalid", status=status
    )
