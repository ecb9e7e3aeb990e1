from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.protocol.message import MessageReader, close_payload, valid_close_code

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "message.json").read_text("utf-8"))
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    reader = MessageReader(vector.get("max_message_size", 1 << 20))
    outcomes = []
    for frame in vector["frames"]:
        outcome, payload = reader.feed_frame(
            frame["opcode"],
            bytes.fromhex(frame["hex"]),
            frame.get("fin", True),
            frame.get("reserved", 0),
        )
        outcomes.append([outcome, None if payload is None else payload.hex()])
    assert outcomes == vector["outcomes"]
    assert reader.close_code == vector.get("code", 0)
    assert reader.detail.startswith(vector["detail"]) if "detail" in vector else not reader.detail
    assert reader.close_reason == vector.get("reason", "")
    if "kind" in vector:
        assert reader.kind == vector["kind"]


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def accepts(data: bytes) -> bool:
    return MessageReader().feed_frame(TEXT, data)[0] == "message"


def test_utf8_of_all_pairs_of_bytes() -> None:
    wrong = [
        pair for pair in map(bytes, product(range(256), repeat=2)) if accepts(pair) != is_utf8(pair)
    ]
    assert wrong == []


EDGES = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF)


@pytest.mark.parametrize("lead", range(0xDF, 0xF6))
def test_utf8_of_long_sequences_at_the_edges_of_every_class(lead: int) -> None:
    sequences = [bytes((lead, *tail)) for n in (2, 3) for tail in product(EDGES, repeat=n)]
    wrong = [sequence for sequence in sequences if accepts(sequence) != is_utf8(sequence)]
    assert wrong == []


@pytest.mark.parametrize("at", range(20))
def test_a_bad_byte_is_found_at_any_place_of_the_eight_byte_stride(at: int) -> None:
    text = bytearray(b"a" * 20)
    text[at] = 0xFF
    assert not accepts(bytes(text))
    assert accepts(b"a" * at + "é".encode() + b"a" * (20 - at))


def test_unfragmented_messages_take_no_buffer() -> None:
    reader = MessageReader()
    reader.feed_frame(BINARY, b"x" * 1000)
    assert reader.buffered_bytes == 0


def test_the_buffer_lives_only_while_a_message_comes_in_parts() -> None:
    reader = MessageReader()
    reader.feed_frame(TEXT, b"x" * 1000, fin=False)
    assert reader.buffered_bytes >= 1000
    reader.feed_frame(PING, b"")
    assert reader.buffered_bytes >= 1000
    assert reader.feed_frame(CONTINUATION, b"y") == ("message", b"x" * 1000 + b"y")
    assert reader.buffered_bytes == 0


@pytest.mark.parametrize("opcode", [CLOSE, BINARY], ids=["close", "violation"])
def test_the_end_frees_the_buffer_of_an_unfinished_message(opcode: int) -> None:
    reader = MessageReader()
    reader.feed_frame(TEXT, b"x" * 1000, fin=False)
    assert reader.feed_frame(opcode, b"")[0] in ("close", "violation")
    assert reader.buffered_bytes == 0


def test_the_buffer_never_outgrows_the_largest_message() -> None:
    reader = MessageReader(1500)
    for _ in range(15):
        assert (
            reader.feed_frame(
                BINARY if not reader.buffered_bytes else CONTINUATION, b"x" * 100, fin=False
            )[0]
            == "nothing"
        )
        assert reader.buffered_bytes <= 1500
    assert reader.feed_frame(CONTINUATION, b"") == ("message", b"x" * 1500)


@pytest.mark.parametrize("size", [0, -1])
def test_a_reader_needs_room_for_a_message(size: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        MessageReader(size)


def test_valid_close_codes() -> None:
    valid = {code for code in range(-10, 70000) if valid_close_code(code)}
    assert valid == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_close_payload() -> None:
    assert close_payload(1000) == b"\x03\xe8"
    assert close_payload(4000, "gone") == b"\x0f\xa0gone"
    assert close_payload(1005) == b""


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "é" * 62, "x" + "é" * 61),
        ("日" * 42, "日" * 41),
        ("x" * 122 + "😀", "x" * 122),
        ("x" * 119 + "😀", "x" * 119 + "😀"),
    ],
)
def test_close_payload_cuts_at_whole_characters(reason: str, kept: str) -> None:
    payload = close_payload(1000, reason)
    assert payload[2:].decode() == kept
    assert MessageReader().feed_frame(CLOSE, payload)[0] == "close"


def test_close_payload_replaces_what_utf8_cannot_carry() -> None:
    assert close_payload(1000, "a\ud800b") == b"\x03\xe8a?b"


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000, 70000])
def test_close_payload_refuses_codes_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(UsageError, match=f"{code} cannot stand in a close frame"):
        close_payload(code)


def test_close_payload_refuses_a_reason_without_a_code() -> None:
    with pytest.raises(UsageError, match="without a code"):
        close_payload(1005, "why")
