from __future__ import annotations

from typing import Any

import pytest

from ghostcore._extension import DeflateOffer
from ghostcore._options import Options
from ghostcore._upgrade import Upgrade, accept_of
from ghostcore.errors import HandshakeRejected, UsageError


def test_accept_of_the_example_in_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_request() -> None:
    upgrade = Upgrade("host:1", "/x?y=z", (("Cookie", "a=b"),), ("one", "two"), DeflateOffer())
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
    assert Upgrade("h", "/").key != upgrade.key


def test_a_host_of_the_callers_replaces_ours() -> None:
    request = Upgrade("here", "/", (("host", "there"),)).request.decode()
    assert request.count("ost:") == 1
    assert "host: there" in request


def answer(upgrade: Upgrade) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: a, Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(upgrade.key) + b"\r\nX: 1\r\nX: 2\r\n\r\n"
    )


def test_an_answer_in_any_pieces_and_what_follows_it() -> None:
    upgrade = Upgrade("h", "/")
    whole = answer(upgrade)
    assert all(upgrade.read(whole[:end]) is None for end in range(len(whole)))
    read = upgrade.read(whole + b"\x81\x00")
    assert read is not None
    assert (read.size, read.subprotocol, read.deflate) == (len(whole), "", None)
    assert read.headers["x"] == ["1", "2"]


def test_what_is_no_http_is_refused_by_its_first_byte() -> None:
    with pytest.raises(HandshakeRejected, match="begins with"):
        Upgrade("h", "/").read(b"S")


@pytest.mark.parametrize("size", [16 * 1024 + 1, 100_000])
def test_a_head_without_end_is_refused(size: int) -> None:
    upgrade = Upgrade("h", "/")
    assert upgrade.read(b"HTTP/1.1 101 x\r\nX: ".ljust(16 * 1024, b"y")) is None
    with pytest.raises(HandshakeRejected, match="16384 bytes of headers"):
        upgrade.read(b"HTTP/1.1 101 x\r\nX: ".ljust(size, b"y"))


@pytest.mark.parametrize("end", [b"", b"\0", b"z"])
def test_a_header_of_blanks_costs_no_more_than_another(end: bytes) -> None:
    """Where the cost grows with a power of their number, this does not come to its end."""
    upgrade = Upgrade("h", "/")
    blanks = b" \t" * 8000 + end
    for head in (b"HTTP/1.1 101 x\r\nX:" + blanks, b"HTTP/1.1 101 x\r\nX: y" + blanks):
        with pytest.raises(HandshakeRejected, match="invalid"):
            upgrade.read(head + b"\r\n\r\n")


def test_blanks_around_the_value_of_a_header_are_none_of_it() -> None:
    upgrade = Upgrade("h", "/")
    read = upgrade.read(answer(upgrade).replace(b"X: 1", b"X:\t  a  b \t"))
    assert read is not None
    assert read.headers["x"] == ["a  b", "2"]


def test_another_status_is_told_with_its_body() -> None:
    with pytest.raises(HandshakeRejected) as caught:
        Upgrade("h", "/").read(b"HTTP/1.0 302 Found\r\nLocation: /there\r\n\r\n" + b"b" * 600)
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
