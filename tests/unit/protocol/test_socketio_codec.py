from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ghostcore.protocol.packet as packet_module
import ghostcore.protocol.socketio_codec as socketio_module
from ghostcore.errors import UsageError
from ghostcore.protocol.codec import RecordingChannel
from ghostcore.protocol.packet import (
    Event,
    Packet,
    PacketType,
    decode_engine,
    encode_packet,
    open_packet,
)
from ghostcore.protocol.socketio_codec import ClientCodec, Decoder

VECTORS_DIR = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((VECTORS_DIR / "socketio_decode.json").read_text("utf-8"))
OPEN = '0{"sid":"s1","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":4096}'


def feed(decoder: Decoder, frame: str | dict[str, str], arrived_ns: int = 0) -> Packet | None:
    if isinstance(frame, str):
        return decoder.feed("text", frame, arrived_ns)
    if "text_hex" in frame:
        return decoder.feed("text", bytes.fromhex(frame["text_hex"]), arrived_ns)
    return decoder.feed("binary", bytes.fromhex(frame["hex"]), arrived_ns)


def from_hex(value: Any) -> Any:
    """The vectors write bytes as {"hex": ".."}."""
    if isinstance(value, dict):
        if value.keys() == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: from_hex(item) for key, item in value.items()}
    return [from_hex(item) for item in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------- Decoder


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if "error" not in v], ids=lambda vector: vector["name"]
)
def test_sound_packets(vector: dict[str, Any]) -> None:
    decoder = Decoder()
    *first, last = vector["frames"]
    for frame in first:
        assert feed(decoder, frame) is None
    packet = feed(decoder, last, 42)
    assert packet is not None
    assert PacketType(packet.type).name == vector["type"]
    assert isinstance(packet, Event) == (vector["type"] == "EVENT")
    assert (packet.namespace, packet.ack_id) == (vector["namespace"], vector["ack_id"])
    assert packet.data == from_hex(vector["data"])
    assert packet.arrived_ns == 42
    assert decoder.error is None


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if "error" in v], ids=lambda vector: vector["name"]
)
def test_refused_packets(vector: dict[str, Any]) -> None:
    decoder = Decoder()
    *first, last = vector["frames"]
    for frame in first:
        assert feed(decoder, frame) is None
    with pytest.raises(ValueError) as caught:
        feed(decoder, last)
    assert vector["error"] in str(caught.value)
    assert decoder.error == str(caught.value)
    after = decoder.feed("text", '2["next"]')  # it is as new
    assert isinstance(after, Event)
    assert after.name == "next"
    assert decoder.error is None


def test_what_is_nested_deeper_than_python_reads_is_refused() -> None:
    decoder = Decoder()
    depth = 1_000_000  # Python's limit is 1,000 in 3.11, and has grown with almost every version
    with pytest.raises(ValueError, match="JSON nested too deeply"):
        feed(decoder, '2["foo",' + "[" * depth + "]" * depth + "]")
    assert decoder.error == "JSON nested too deeply"


def test_the_arrival_is_that_of_the_last_attachment() -> None:
    decoder = Decoder()
    text = '52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    assert decoder.feed("text", text, 1) is None
    assert decoder.feed("binary", b"a", 2) is None
    packet = decoder.feed("binary", b"b", 3)
    assert packet is not None
    assert packet.arrived_ns == 3


def test_one_decoder_takes_packet_after_packet() -> None:
    decoder = Decoder()
    text = '51-["x",{"_placeholder":true,"num":0}]'
    for payload in (b"1", b"2"):
        assert decoder.feed("text", text) is None
        packet = decoder.feed("binary", payload)
        assert isinstance(packet, Event)
        assert packet.args == (payload,)
        plain = decoder.feed("text", '2["y"]')
        assert isinstance(plain, Event)
        assert plain.name == "y"


def test_the_module_offers_the_packets_too() -> None:
    for name in packet_module.__all__:
        assert getattr(socketio_module, name) is getattr(packet_module, name)
    assert set(packet_module.__all__) | {"ClientCodec", "Decoder"} == set(socketio_module.__all__)


# --------------------------------------------------------------------------------- ClientCodec


def opened(**options: Any) -> tuple[ClientCodec, RecordingChannel]:
    codec, channel = ClientCodec(**options), RecordingChannel()
    codec.feed_message(channel, "text", OPEN, 5)
    return codec, channel


def test_open_is_answered_with_the_connect_packet() -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    assert (codec.handshake, codec.opened_ns) == (None, 0)
    codec.feed_message(channel, "text", OPEN, 5)
    assert channel.written == [("text", b"40")]
    assert channel.watchdogs == [500_000_000]
    assert channel.violations == []
    [packet] = channel.items
    assert (packet.type, packet.arrived_ns) == (PacketType.ENGINE_OPEN, 5)
    assert packet.data == json.loads(OPEN[1:])
    assert codec.opened_ns == 5
    assert codec.handshake == {
        "sid": "s1",
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 4096,
    }


@pytest.mark.parametrize(
    ("options", "connect"),
    [
        ({"auth": {"token": "é"}}, '40{"token":"é"}'),
        ({"namespace": "/admin"}, "40/admin,"),
        ({"namespace": "/admin", "auth": {}}, "40/admin,{}"),
    ],
)
def test_auth_and_namespace(options: dict[str, Any], connect: str) -> None:
    _, channel = opened(**options)
    assert channel.written == [("text", connect.encode())]


@pytest.mark.parametrize("options", [{"auth": "x"}, {"auth": {"a": b""}}, {"namespace": "admin"}])
def test_what_cannot_be_asked_for(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ClientCodec(**options)


def test_servers_before_max_payload() -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    codec.feed_message(channel, "text", '0{"sid":"a","pingInterval":1,"pingTimeout":2}')
    assert codec.handshake == {"sid": "a", "pingInterval": 1, "pingTimeout": 2}
    assert channel.watchdogs == [3_000_000]


SOUND = {"sid": "a", "pingInterval": 1, "pingTimeout": 1, "maxPayload": 1}


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        ("", "invalid JSON"),
        ("{", "invalid JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ({**SOUND, "sid": ""}, "sid is ''"),
        ({**SOUND, "sid": 5}, "sid is 5"),
        ({**SOUND, "pingInterval": 0}, "pingInterval is 0; it must be an int from 1"),
        ({**SOUND, "pingInterval": -1}, "pingInterval is -1"),
        ({**SOUND, "pingInterval": True}, "pingInterval is True"),
        ({**SOUND, "pingInterval": 1.5}, "pingInterval is 1.5"),
        ({**SOUND, "pingInterval": None}, "pingInterval is None"),
        ({**SOUND, "pingInterval": 2**31}, "pingInterval is 2147483648"),
        ({**SOUND, "pingTimeout": "5"}, "pingTimeout is '5'"),
        ({**SOUND, "pingTimeout": 10**30}, "pingTimeout is 1000"),
        ({**SOUND, "maxPayload": 0}, "maxPayload is 0"),
        ({**SOUND, "maxPayload": None}, "maxPayload is None"),
        ({"sid": "a"}, "pingInterval is None"),
    ],
    ids=str,
)
def test_bad_open_packets(payload: Any, detail: str) -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    text = payload if isinstance(payload, str) else json.dumps(payload)
    codec.feed_message(channel, "text", "0" + text, 5)
    [violation] = channel.violations
    assert violation.startswith("the Engine.IO open packet: ")
    assert detail in violation
    assert (channel.written, channel.items, channel.watchdogs) == ([], [], [])
    assert (codec.handshake, codec.opened_ns) == (None, 0)


@pytest.mark.parametrize("payload", ["", "probe", "é", "x" * 127, "x" * 128, "x" * 100_000])
def test_pings_are_answered_with_their_payload(payload: str) -> None:
    codec, channel = opened()
    channel.clear()
    codec.feed_message(channel, "text", "2" + payload, 6)
    assert channel.written == [("text", b"3" + payload.encode())]
    assert channel.watchdogs == [500_000_000]
    assert (channel.items, channel.violations) == ([], [])
    assert codec.pings == 1


def test_a_ping_between_a_packet_and_its_attachment() -> None:
    codec, channel = opened()
    channel.clear()
    codec.feed_message(channel, "text", '451-["x",{"_placeholder":true,"num":0}]')
    codec.feed_message(channel, "text", "2")
    codec.feed_message(channel, "binary", b"a", 9)
    assert channel.written == [("text", b"3")]
    [event] = channel.items
    assert (event.args, event.arrived_ns) == ((b"a",), 9)


def test_noop_is_ignored() -> None:
    codec, channel = opened()
    channel.clear()
    codec.feed_message(channel, "text", "6")
    assert (channel.written, channel.items, channel.violations) == ([], [], [])


def test_packets_are_delivered_in_order() -> None:
    codec, channel = opened()
    channel.clear()
    texts = ['40{"sid":"q"}', '42["a"]', '431["b"]', '44/x,{"message":"no"}', "41"]
    for at, text in enumerate(texts):
        codec.feed_message(channel, "text", text, at)
    expected = ["CONNECT", "EVENT", "ACK", "CONNECT_ERROR", "DISCONNECT"]
    assert [PacketType(packet.type).name for packet in channel.items] == expected
    assert [packet.arrived_ns for packet in channel.items] == [0, 1, 2, 3, 4]
    assert channel.violations == []


def test_close_is_delivered_and_ends_it() -> None:
    codec, channel = opened()
    channel.clear()
    for text in ("1", '42["late"]', "2", "9"):
        codec.feed_message(channel, "text", text, 8)
    [packet] = channel.items
    assert (packet.type, packet.data, packet.arrived_ns) == (PacketType.ENGINE_CLOSE, None, 8)
    assert (channel.written, channel.violations) == ([], [])


@pytest.mark.parametrize(
    ("kind", "data", "detail"),
    [
        ("text", "", "an empty Engine.IO packet"),
        ("text", "7", "unknown Engine.IO packet type '7'"),
        ("text", "x", "unknown Engine.IO packet type 'x'"),
        ("text", "é", "unknown Engine.IO packet type 'Ã'"),
        ("text", "3", "an Engine.IO pong without a ping"),
        ("text", "3probe", "an Engine.IO pong without a ping"),
        ("text", "5", "an Engine.IO upgrade packet, which only a client may send"),
        ("text", OPEN, "a second Engine.IO open packet"),
        ("text", "4", "an empty Socket.IO packet"),
        ("text", "42{}", "the payload of an EVENT must be a JSON array"),
        ("text", "40", "a CONNECT from a server without a sid"),
        ("text", '40{"sid":5}', "a CONNECT from a server without a sid"),
        ("binary", b"x", "a binary message, but no packet waits for an attachment"),
    ],
)
def test_violations_end_it(kind: Any, data: str | bytes, detail: str) -> None:
    codec, channel = opened()
    channel.clear()
    codec.feed_message(channel, kind, data)
    [violation] = channel.violations
    assert violation.startswith(detail)
    codec.feed_message(channel, "text", '42["late"]')
    codec.feed_message(channel, "text", "2")
    codec.feed_message(channel, kind, data)
    assert len(channel.violations) == 1
    assert (channel.items, channel.written) == ([], [])


@pytest.mark.parametrize("data", ["1", "2", "3", "40", '42["x"]', "5", "6"])
def test_nothing_may_come_before_open(data: str) -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    codec.feed_message(channel, "text", data)
    assert channel.violations == [f"Engine.IO packet {data[0]} before the open packet"]
    assert (channel.items, channel.written) == ([], [])


def test_no_binary_before_open() -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    codec.feed_message(channel, "binary", b"0")
    assert channel.violations == ["a binary message before the Engine.IO open packet"]


def test_the_open_packet_of_our_own_server_side() -> None:
    codec, channel = ClientCodec(), RecordingChannel()
    codec.feed_message(channel, "text", open_packet("abc"))
    assert codec.handshake == {
        "sid": "abc",
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000000,
    }


# --------------------------------------------------------------- transcripts of a real server


def transcript(path: Path) -> Iterator[tuple[str, str, str]]:
    """(connection, "<-" or "->", frame) of every frame."""
    for line in path.read_text("utf-8").splitlines():
        fields = line.split(maxsplit=3)
        if len(fields) == 4 and fields[2] in ("<-", "->"):
            yield fields[1], fields[2], fields[3]


TRANSCRIPTS = sorted((VECTORS_DIR / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_every_server_frame_of_a_transcript_is_understood(path: Path) -> None:
    codecs: dict[str, tuple[ClientCodec, RecordingChannel]] = {}
    frames = pings = 0
    for connection, direction, frame in transcript(path):
        if direction == "->":
            continue
        if frame.startswith("0"):
            codecs[connection] = ClientCodec(), RecordingChannel()
        codec, channel = codecs[connection]
        channel.clear()
        codec.feed_message(channel, "text", frame)
        assert channel.violations == []
        frames += 1
        if frame == "2":
            pings += 1
            assert channel.written == [("text", b"3")]
            continue
        [packet] = channel.items
        assert json.loads(frame.lstrip("0123456789")) == packet.data
    assert frames > 20
    assert sum(codec.pings for codec, _ in codecs.values()) == pings


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_client_frames_of_a_transcript_come_out_the_same(path: Path) -> None:
    encoded = 0
    for _, direction, frame in transcript(path):
        if direction == "<-" or frame == "3":
            continue
        digit, payload = decode_engine(frame)
        assert digit == 4
        packet = Decoder().feed("text", payload)
        assert packet is not None
        ack_id = packet.ack_id if packet.ack_id >= 0 else None
        assert encode_packet(packet.type, packet.namespace, packet.data, ack_id) == [frame]
        encoded += 1
    assert encoded > 10


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) == 3
