from __future__ import annotations

import json

import pytest

from ghostcore.errors import EngineError, UsageError
from ghostcore.protocol.codec import Channel, Codec, Message, PlainCodec, RecordingChannel


def test_message_from_text() -> None:
    message = Message("text", "hé", 7)
    assert (message.kind, message.data, message.text) == ("text", b"h\xc3\xa9", "hé")
    assert message.arrived_ns == 7
    assert len(message) == 3


@pytest.mark.parametrize("data", [b"\x01\xff", bytearray(b"\x01\xff"), memoryview(b"\x01\xff")])
def test_message_from_any_buffer(data: bytes | bytearray | memoryview) -> None:
    message = Message("binary", data)
    assert (message.kind, message.data, message.arrived_ns) == ("binary", b"\x01\xff", 0)


def test_text_of_a_binary_message_is_its_utf8() -> None:
    assert Message("binary", "日本".encode()).text == "日本"
    with pytest.raises(UnicodeDecodeError):
        _ = Message("binary", b"\xff").text


def test_json_of_a_message() -> None:
    assert Message("text", '{"a": [1, "é"]}').json() == {"a": [1, "é"]}
    assert Message("binary", b"[true]").json() == [True]
    with pytest.raises(json.JSONDecodeError):
        Message("text", "{").json()


def test_an_empty_message_is_still_a_message() -> None:
    assert Message("text", "")
    assert len(Message("text", "")) == 0


def test_message_repr_is_short() -> None:
    assert repr(Message("text", "hi")) == "<Message text 2 B 'hi'>"
    assert repr(Message("binary", b"\xff")) == "<Message binary 1 B b'\\xff'>"
    long = repr(Message("text", "é" * 5000))
    assert long.startswith("<Message text 10000 B 'éé")
    assert long.endswith("...>")
    assert len(long) < 120


def test_message_cannot_be_changed() -> None:
    message = Message("text", "a")
    for name in ("data", "arrived_ns", "kind", "text"):
        with pytest.raises(AttributeError):
            setattr(message, name, b"b")


def test_message_without_init_is_empty() -> None:
    assert Message.__new__(Message).data == b""


@pytest.mark.parametrize("kind", ["TEXT", "", "ping"])
def test_unknown_kind_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="'text' or 'binary'"):
        Message(kind, b"")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'text' or 'binary'"):
        PlainCodec().feed_message(RecordingChannel(), kind, b"")  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [None, 5, ["a"]])
def test_what_is_no_payload_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match="expected str, bytes"):
        Message("text", data)  # type: ignore[arg-type]


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(UsageError, match="UTF-8 cannot carry"):
        Message("text", "\ud800")


def test_plain_codec_delivers_every_message_and_does_nothing_else() -> None:
    channel = RecordingChannel()
    codec = PlainCodec()
    codec.feed_message(channel, "text", "é", 11)
    codec.feed_message(channel, "binary", b"\xff", 12)
    seen = [(item.kind, item.data, item.arrived_ns) for item in channel.items]
    assert seen == [("text", b"\xc3\xa9", 11), ("binary", b"\xff", 12)]
    assert (channel.written, channel.violations, channel.watchdogs) == ([], [], [])


def test_recording_channel_forgets_on_demand() -> None:
    channel = RecordingChannel()
    PlainCodec().feed_message(channel, "text", "a")
    assert len(channel.items) == 1
    channel.clear()
    assert channel.items == []


def test_messages_from_the_freelist_do_not_share_anything() -> None:
    channel = RecordingChannel()
    codec = PlainCodec()
    for _ in range(3):
        for i in range(600):
            codec.feed_message(channel, "text", str(i), i)
        assert [(int(m.data), m.arrived_ns) for m in channel.items] == [(i, i) for i in range(600)]
        channel.clear()


def test_a_channel_or_codec_without_its_methods_is_a_bug_of_ours() -> None:
    with pytest.raises(EngineError, match=r"Channel does not implement Channel\.deliver"):
        PlainCodec().feed_message(Channel(), "text", "a")
    with pytest.raises(EngineError, match=r"Codec does not implement Codec\.feed"):
        Codec().feed_message(RecordingChannel(), "text", "a")
