from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ghostcore.protocol.codec import RecordingChannel
from ghostcore.protocol.packet import (
    Packet,
    PacketType,
    decode_engine,
    encode_event,
    encode_packet,
    open_packet,
)
from ghostcore.protocol.socketio_codec import ClientCodec, Decoder
from tests.reference import socketio_reference as reference

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
)
binaries = st.binary(max_size=12)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = texts.filter(lambda key: key != "_placeholder")
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


names = texts.filter(lambda name: name not in reference.RESERVED)
namespaces = st.just("/") | st.text(
    st.characters(min_codepoint=33, exclude_characters=',"\x7f', exclude_categories=["Cs"]),
    max_size=8,
).map(lambda name: "/" + name)
ack_ids = st.none() | st.integers(0, 2**53 - 1)
arguments = st.lists(nested(scalars | binaries), max_size=4)


def receive(frames: list[str | bytes]) -> Packet | None:
    """All frames of one packet through a decoder; only the last may complete it."""
    decoder = Decoder()
    packet = None
    for i, frame in enumerate(frames):
        if isinstance(frame, str):
            digit, payload = decode_engine(frame)
            assert digit == 4
            packet = decoder.feed("text", payload)
        else:
            packet = decoder.feed("binary", frame)
        assert (packet is not None) == (i == len(frames) - 1)
    return packet


@given(names, arguments, namespaces, ack_ids)
def test_events_come_back_as_they_were_sent(
    name: str, args: list[Any], namespace: str, ack_id: int | None
) -> None:
    frames = encode_event(name, args, namespace, ack_id)
    assert frames == reference.encode(reference.EVENT, namespace, [name, *args], ack_id)
    packet = receive(frames)
    assert packet is not None
    assert (packet.type, packet.namespace) == (PacketType.EVENT, namespace)
    assert packet.ack_id == (-1 if ack_id is None else ack_id)
    assert packet.data == [name, *args]


@given(arguments, namespaces, st.integers(0, 2**53 - 1))
def test_acks_come_back_as_they_were_sent(args: list[Any], namespace: str, ack_id: int) -> None:
    frames = encode_packet(PacketType.ACK, namespace, args, ack_id)
    assert frames == reference.encode(reference.ACK, namespace, args, ack_id)
    packet = receive(frames)
    assert packet is not None
    assert (packet.type, packet.namespace, packet.ack_id) == (PacketType.ACK, namespace, ack_id)
    assert packet.data == args


@given(
    st.sampled_from([PacketType.CONNECT, PacketType.CONNECT_ERROR]),
    st.dictionaries(texts, nested(scalars), max_size=4),
    namespaces,
)
def test_objects_come_back_as_they_were_sent(
    kind: PacketType, data: dict[str, Any], namespace: str
) -> None:
    frames = encode_packet(kind, namespace, data)
    assert frames == reference.encode(kind, namespace, data, None)
    packet = receive(frames)
    assert packet is not None
    assert (packet.type, packet.namespace, packet.data) == (kind, namespace, data)


PIECES = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "-",
    "/",
    ",",
    "/a,",
    "51-",
    "62-",
    "1000-",
    "1001-",
    "[",
    "]",
    "{",
    "}",
    '"',
    '"x"',
    '"connect"',
    '["x"]',
    "[]",
    "{}",
    '{"sid":"a"}',
    ":",
    "null",
    "true",
    "NaN",
    "1.5",
    "9007199254740991",
    "9007199254740992",
    " ",
    "\n",
    "é",
    "\x00",
    "\\u0041",
    '{"_placeholder":true,"num":0}',
    '{"_placeholder":true,"num":1}',
    '["x",',
]
scraps = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A sound packet with a few characters changed: mostly wrong, but only just."""
    args = draw(st.lists(nested(scalars | binaries), max_size=2))
    frames = encode_event(draw(names), args, draw(namespaces), draw(ack_ids))
    text = str(frames[0])[1:]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 2))
        text = text[:at] + draw(st.sampled_from(["", *PIECES])) + text[at + gone :]
    return text


@given(scraps | damaged() | texts, st.lists(binaries, min_size=1, max_size=1000))
def test_what_is_accepted_is_what_the_reference_accepts(text: str, supply: list[bytes]) -> None:
    decoder = Decoder()
    attachments: list[bytes] = []
    got: Packet | None
    try:
        got = decoder.feed("text", text)
        while got is None:
            attachments.append(supply[len(attachments) % len(supply)])
            got = decoder.feed("binary", attachments[-1])
    except ValueError as error:
        assert decoder.error == str(error)
        got = None
    if got is None:
        # Refused with as many attachments as it could have asked for.
        count = text[1 : text.index("-")] if text[:1] in ("5", "6") and "-" in text else "0"
        wanted = int(count) if count.isascii() and count.isdigit() else 0
        try:
            decoded = reference.decode(text, [b""] * min(wanted, 1001))
        except reference.Refused:
            return
        raise AssertionError(f"{decoder.error!r}, but the reference reads {decoded}")
    decoded = reference.decode(text, attachments)
    assert (got.type, got.namespace, got.ack_id) == (
        decoded.type,
        decoded.namespace,
        decoded.ack_id,
    )
    assert got.data == decoded.data


messages = st.one_of(
    st.tuples(st.just("text"), st.binary(max_size=20)),
    st.tuples(st.just("binary"), st.binary(max_size=20)),
    st.tuples(st.just("text"), scraps.map(str.encode)),
    st.tuples(st.just("text"), scraps.map(lambda text: b"4" + text.encode())),
    st.tuples(st.just("text"), scraps.map(lambda text: b"2" + text.encode())),
)


@given(st.booleans(), st.lists(messages, max_size=8))
def test_a_client_survives_any_server(opened: bool, sent: list[tuple[Any, bytes]]) -> None:
    """Nothing is raised; a violation is the last thing that it says."""
    codec, channel = ClientCodec(), RecordingChannel()
    if opened:
        codec.feed_message(channel, "text", open_packet("s"))
    for kind, data in sent:
        ended = bool(channel.violations)
        before = len(channel.items), len(channel.written), len(channel.watchdogs)
        codec.feed_message(channel, kind, data)
        assert len(channel.violations) <= 1
        if ended:
            after = len(channel.items), len(channel.written), len(channel.watchdogs)
            assert after == before
    answers = [data for _, data in channel.written]
    assert codec.pings == sum(data.startswith(b"3") for data in answers)
    assert answers[:1] == ([b"40"] if codec.handshake else [])
