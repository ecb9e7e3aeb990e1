from __future__ import annotations

import zlib

import pytest

from ghostcore.protocol.deflate import Deflater, Inflater
from ghostcore.protocol.message import MessageReader

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
RSV1 = 4
LIMIT = 1 << 20

# RFC 7692 section 7.2.3: payloads that all mean "Hello".
HELLO = {
    "one block": "f248cdc9c90700",
    "no compression": "000500faff48656c6c6f00",
    "final block": "f348cdc9c9070000",
    "two blocks": "f248050000 00ffffcac9c907 00".replace(" ", ""),
}


@pytest.mark.parametrize("name", HELLO)
def test_vectors_of_the_rfc(name: str) -> None:
    payload = bytes.fromhex(HELLO[name])
    assert Inflater().inflate(payload, LIMIT) == b"Hello"
    reader = MessageReader(5, Inflater())
    assert reader.feed_frame(TEXT, payload, True, RSV1) == ("message", b"Hello")


def test_the_vector_in_two_frames() -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(TEXT, bytes.fromhex("f248cd"), False, RSV1) == ("nothing", None)
    assert reader.feed_frame(PING, b"between") == ("ping", b"between")
    outcome = reader.feed_frame(CONTINUATION, bytes.fromhex("c9c90700"))
    assert outcome == ("message", b"Hello")


def test_the_vector_of_a_shared_window() -> None:
    inflater = Inflater()
    assert inflater.inflate(bytes.fromhex("f248cdc9c90700"), LIMIT) == b"Hello"
    assert inflater.inflate(bytes.fromhex("f200110000"), LIMIT) == b"Hello"
    alone = Inflater(keeps_context=False)
    assert alone.inflate(bytes.fromhex("f248cdc9c90700"), LIMIT) == b"Hello"
    assert not alone.has_context
    assert alone.inflate(bytes.fromhex("f200110000"), LIMIT) is None
    assert "no deflate stream" in alone.detail


def test_the_vector_of_an_empty_message() -> None:
    assert Deflater().deflate(b"") == b"\x00"
    assert Inflater().inflate(b"\x00", LIMIT) == b""
    reader = MessageReader(1, Inflater())
    assert reader.feed_frame(TEXT, b"\x00", True, RSV1) == ("message", b"")


def test_the_deflater_makes_the_vectors() -> None:
    deflater = Deflater()
    assert deflater.deflate(b"Hello").hex() == "f248cdc9c90700"
    assert deflater.deflate(b"Hello").hex() == "f200110000"
    assert deflater.deflate(b"") == b"\x00"
    alone = Deflater(keeps_context=False)
    assert [alone.deflate(b"Hello").hex() for _ in range(2)] == ["f248cdc9c90700"] * 2
    assert not alone.has_context


@pytest.mark.parametrize("window_bits", range(8, 16))
@pytest.mark.parametrize("keeps_context", [True, False])
def test_there_and_back_within_the_agreed_window(window_bits: int, keeps_context: bool) -> None:
    deflater = Deflater(window_bits, keeps_context)
    inflater = Inflater(window_bits, keeps_context)
    block = bytes(i * i % 251 for i in range(5000))
    for message in (block, b"", block * 20, b"", b"x", block):
        payload = deflater.deflate(message)
        assert inflater.inflate(payload, LIMIT) == message


def test_contexts_are_made_by_the_first_message() -> None:
    inflater, deflater = Inflater(), Deflater()
    assert not inflater.has_context
    assert not deflater.has_context
    inflater.inflate(deflater.deflate(b"x"), LIMIT)
    assert inflater.has_context
    assert deflater.has_context


def compressed(data: bytes) -> bytes:
    return Deflater().deflate(data)


def test_a_bomb_is_stopped_while_it_is_inflated() -> None:
    bomb = compressed(b"\x00" * (64 << 20))
    out = Inflater().inflate(bomb, 1000)
    assert out is not None
    assert len(out) == 1001
    reader = MessageReader(100_000, Inflater())
    assert reader.feed_frame(BINARY, bomb, True, RSV1) == ("violation", None)
    assert reader.close_code == 1009


def test_the_limit_holds_over_fragments_and_is_exact() -> None:
    payload = compressed(b"ab" * 500)
    parts = [payload[:4], payload[4:5], payload[5:]]
    for limit, wanted in ((1000, "message"), (999, "violation")):
        reader = MessageReader(limit, Inflater())
        outcome = "nothing"
        for i, part in enumerate(parts):
            outcome = reader.feed_frame(
                BINARY if i == 0 else CONTINUATION, part, i == 2, RSV1 if i == 0 else 0
            )[0]
            if outcome == "violation":
                break
        assert outcome == wanted
        assert reader.close_code == (0 if wanted == "message" else 1009)


def test_what_does_not_compress_may_take_more_than_the_message() -> None:
    data = b"".join(zlib.crc32(bytes([i])).to_bytes(4, "big") for i in range(250))
    payload = compressed(data)
    assert len(payload) > len(data)
    reader = MessageReader(len(data), Inflater())
    assert reader.feed_frame(BINARY, payload, True, RSV1) == ("message", data)


def test_a_session_may_mix_compressed_messages_with_others() -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(TEXT, b"plain") == ("message", b"plain")
    assert reader.feed_frame(BINARY, compressed(b"x" * 99), True, RSV1) == ("message", b"x" * 99)
    assert reader.feed_frame(TEXT, b"in ", False) == ("nothing", None)
    assert reader.feed_frame(CONTINUATION, b"parts") == ("message", b"in parts")
    assert reader.buffered_bytes == 0


def test_text_is_judged_after_inflation_and_as_it_comes() -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(TEXT, compressed(b"a\xffb"), True, RSV1)[0] == "violation"
    assert reader.close_code == 1007
    flushed = zlib.compressobj(wbits=-15)
    first = flushed.compress(b"ok \xff") + flushed.flush(zlib.Z_SYNC_FLUSH)
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(TEXT, first, False, RSV1)[0] == "violation"
    assert reader.close_code == 1007
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(BINARY, compressed(b"a\xffb"), True, RSV1)[0] == "message"


@pytest.mark.parametrize(
    ("opcode", "reserved", "fin"),
    [(PING, 4, True), (CLOSE, 4, True), (TEXT, 2, True), (TEXT, 1, True), (TEXT, 6, True)],
)
def test_bits_that_stay_reserved(opcode: int, reserved: int, fin: bool) -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(opcode, b"", fin, reserved)[0] == "violation"
    assert reader.close_code == 1002
    assert f"{reserved:03b}" in reader.detail


def test_the_bit_belongs_to_the_first_frame_only() -> None:
    reader = MessageReader(LIMIT, Inflater())
    payload = compressed(b"hello")
    assert reader.feed_frame(TEXT, payload[:3], False, RSV1) == ("nothing", None)
    assert reader.feed_frame(CONTINUATION, payload[3:], True, RSV1)[0] == "violation"
    assert reader.close_code == 1002


@pytest.mark.parametrize("payload", [b"\x07", b"\xff\xff\xff"])
def test_garbage_is_no_deflate_stream(payload: bytes) -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(BINARY, payload, True, RSV1)[0] == "violation"
    assert reader.close_code == 1007
    assert "no deflate stream" in reader.detail


def finished(data: bytes, window: bytes = b"") -> bytes:
    """A stream that ends with a final block; it may refer to `window`."""
    maker = zlib.compressobj(wbits=-15, zdict=window) if window else zlib.compressobj(wbits=-15)
    return maker.compress(data) + maker.flush(zlib.Z_FINISH)


def test_the_window_outlives_a_stream_that_ends() -> None:
    words = b"the quick brown fox jumps over the lazy dog"
    inflater = Inflater()
    assert inflater.inflate(finished(words) + b"\x00", LIMIT) == words
    again = finished(words, words)
    assert len(again) < 10
    assert inflater.inflate(again + b"\x00", LIMIT) == words
    two = finished(words, words * 2) + finished(words, words * 3)
    assert inflater.inflate(two + b"\x00", LIMIT) == words * 2
    assert inflater.inflate(finished(words, words * 4), LIMIT) == words


def test_endless_ends_are_refused() -> None:
    reader = MessageReader(LIMIT, Inflater())
    assert reader.feed_frame(BINARY, b"\x03\x00" * 1000, True, RSV1)[0] == "violation"
    assert reader.close_code == 1007
    assert "streams" in reader.detail
