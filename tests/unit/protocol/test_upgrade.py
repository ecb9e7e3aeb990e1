from __future__ import annotations

from typing import Any

import pytest

from ghostcore.errors import HandshakeRejected, UsageError
from ghostcore.opening.options import Options
from ghostcore.protocol.deflate_offer import DeflateOffer
from ghostcore.protocol.handshake import Request, Upgrade, accept_of


def test_accept_of_the_example_in_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_request() -> None:
    common = Request("host:1", "/x?y=z", (("Cookie", "a=b"),), ("one", "two"), DeflateOffer())
    upgrade = common.upgrade()
    lines = upgrade.request.decode().split("\r\n")
    assert lines == [
        "GET /x?y=z HTTP/1.1",
        "Host: host:1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {upgrade.key.decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: one, two",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Cookie: a=b",
        "",
        "",
    ]
    assert Request("h", "/").upgrade().key != upgrade.key


def test_a_host_of_the_callers_replaces_ours() -> None:
    request = Request("here", "/", (("host", "there"),)).upgrade().request.decode()
    assert request.count("ost:") == 1
    assert "host: there" in request


def answer(upgrade: Upgrade) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: a, Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(upgrade.key) + b"\r\nX: 1\r\nX: 2\r\n\r\n"
    )


def test_an_answer_in_any_pieces_and_what_follows_it() -> None:
    upgrade = Request("h", "/").upgrade()
    whole = answer(upgrade)
    assert all(upgrade.read(whole[:end]) is None for end in range(len(whole)))
    read = upgrade.read(whole + b"\x81\x00")
    assert read is not None
    assert (read.size, read.subprotocol, read.deflate) == (len(whole), "", None)
    assert read.headers["x"] == ["1", "2"]


def test_what_is_no_http_is_refused_by_its_first_byte() -> None:
    with pytest.raises(HandshakeRejected, match="begins with"):
        Request("h", "/").upgrade().read(b"S")


@pytest.mark.parametrize("size", [16 * 1024 + 1, 100_000])
def test_a_head_without_end_is_refused(size: int) -> None:
    upgrade = Request("h", "/").upgrade()
    assert upgrade.read(b"HTTP/1.1 101 x\r\nX: ".ljust(16 * 1024, b"y")) is None
    with pytest.raises(HandshakeRejected, match="16384 bytes of headers"):
        upgrade.read(b"HTTP/1.1 101 x\r\nX: ".ljust(size, b"y"))


def test_an_interim_answer_is_passed_over() -> None:
    """RFC 9110 section 15.2: a client must be able to, even if it asked for none."""
    upgrade = Request("h", "/").upgrade()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: </a>\r\n\r\n"
    whole = interim + answer(upgrade)
    assert all(upgrade.read(whole[:end]) is None for end in range(len(whole)))
    read = upgrade.read(whole + b"\x81\x00")
    assert read is not None
    assert read.size == len(whole)
    with pytest.raises(HandshakeRejected, match="HTTP 403"):
        Request("h", "/").upgrade().read(interim + b"HTTP/1.1 403 No\r\n\r\n")
    with pytest.raises(HandshakeRejected, match="16384 bytes of headers"):
        Request("h", "/").upgrade().read(interim * 400)


REFUSED = b"HTTP/1.1 403 No\r\nX: y\r\n"
CHUNKED = REFUSED + b"Transfer-Encoding: gzip, chunked\r\n\r\n"


def length(number: object) -> bytes:
    return REFUSED + f"Content-Length: {number}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("whole", "content"),
    [
        (length(6) + b"sorry!", b"sorry!"),
        (length(10_000) + b"x" * 512, b"x" * 512),
        (CHUNKED + b"5\r\nsorry\r\n1;a=b\r\n!\r\n0\r\n", b"sorry!"),
        (CHUNKED + b"5\r\nsorry\r\nno size\r\n", b"sorry"),
    ],
)
def test_the_body_of_a_refusal_is_waited_for(whole: bytes, content: bytes) -> None:
    """It need not come in one piece with the head."""
    upgrade = Request("h", "/").upgrade()
    assert all(upgrade.read(whole[:end]) is None for end in range(len(whole)))
    assert upgrade.refusal is not None
    data = upgrade.refusal.data
    assert isinstance(data, bytes)
    assert content.startswith(data)
    with pytest.raises(HandshakeRejected) as caught:
        upgrade.read(whole)
    assert (caught.value.status, caught.value.data) == (403, content)


@pytest.mark.parametrize(
    "head",
    [REFUSED + b"\r\n", length(0), length(-1), length("x"), length(9).replace(b"403", b"204")],
    ids=["no length", "empty", "negative", "no number", "no content"],
)
def test_a_body_whose_length_is_not_told_is_not_waited_for(head: bytes) -> None:
    with pytest.raises(HandshakeRejected, match="HTTP"):
        Request("h", "/").upgrade().read(head)


def test_lines_without_carriage_returns_are_told() -> None:
    upgrade = Request("h", "/").upgrade()
    with pytest.raises(HandshakeRejected, match="line feed alone"):
        upgrade.read(answer(upgrade).replace(b"\r", b""))


@pytest.mark.parametrize("end", [b"", b"\0", b"z"])
def test_a_header_of_blanks_costs_no_more_than_another(end: bytes) -> None:
    """Where the cost grows with a power of their number, this does not come to its end."""
    upgrade = Request("h", "/").upgrade()
    blanks = b" \t" * 8000 + end
    for head in (b"HTTP/1.1 101 x\r\nX:" + blanks, b"HTTP/1.1 101 x\r\nX: y" + blanks):
        with pytest.raises(HandshakeRejected, match="invalid"):
            upgrade.read(head + b"\r\n\r\n")


def test_blanks_around_the_value_of_a_header_are_none_of_it() -> None:
    upgrade = Request("h", "/").upgrade()
    read = upgrade.read(answer(upgrade).replace(b"X: 1", b"X:\t  a  b \t"))
    assert read is not None
    assert read.headers["x"] == ["a  b", "2"]


def test_another_status_is_told_with_its_body() -> None:
    with pytest.raises(HandshakeRejected) as caught:
        Request("h", "/").upgrade().read(
            b"HTTP/1.0 302 Found\r\nLocation: /there\r\n\r\n" + b"b" * 600
        )
    error = caught.value
    assert (error.kind, error.status, error.data) == ("upgrade_rejected", 302, b"b" * 512)
    assert "HTTP 302 Found to /there" in str(error)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"headers": {"Upgrade": "x"}}, "belongs to the upgrade"),
        ({"headers": {"sec-websocket-key": "x"}}, "belongs to the upgrade"),
        ({"headers": {"Sec-WebSocket-Protocol": "x"}}, "subprotocols="),
        ({"headers": {"Sec-WebSocket-Extensions": "x"}}, "compression="),
        ({"headers": {"X Y": "x"}}, "no name of a header"),
        ({"headers": {"": "x"}}, "no name of a header"),
        ({"headers": {"X": "a\r\nY: b"}}, "line breaks"),
        ({"headers": {"X": "a\0"}}, "control characters"),
        ({"headers": {"X": 1}}, "must be str"),
        ({"headers": {"X": "\ud800"}}, "UTF-8"),
        ({"headers": [("X",)]}, "pairs"),
        ({"subprotocols": "chat"}, "one str"),
        ({"subprotocols": ["a", "a"]}, "twice"),
        ({"subprotocols": ["a b"]}, "no token"),
        ({"subprotocols": [""]}, "no token"),
        ({"subprotocols": [1]}, "no token"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Options.build(**options)
