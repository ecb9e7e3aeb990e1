from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.protocol.packet import (
    MAX_ATTACHMENTS,
    RESERVED_EVENTS,
    Event,
    Packet,
    PacketType,
    connect_packet,
    decode_engine,
    encode_event,
    encode_packet,
    open_packet,
)
from ghostcore.protocol.socketio_codec import Decoder

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "socketio_encode.json").read_text("utf-8")
)


def from_hex(value: Any) -> Any:
    """The vectors write bytes as {"hex": ".."}."""
    if isinstance(value, dict):
        if value.keys() == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: from_hex(item) for key, item in value.items()}
    return [from_hex(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    frames = encode_packet(
        PacketType[vector["type"]], vector["namespace"], from_hex(vector["data"]), vector["ack_id"]
    )
    assert frames == from_hex(vector["frames"])


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v["type"] == "EVENT"], ids=lambda vector: vector["name"]
)
def test_encode_event_gives_the_same_as_encode_packet(vector: dict[str, Any]) -> None:
    name, *args = from_hex(vector["data"])
    frames = encode_event(name, args, vector["namespace"], vector["ack_id"])
    assert frames == from_hex(vector["frames"])


def test_all_kinds_of_buffers_become_attachments() -> None:
    strided = memoryview(b"a-b-c")[::2]
    data = [b"1", bytearray(b"2"), memoryview(b"3"), strided]
    text, *attachments = encode_event("x", data)
    assert isinstance(text, str)
    assert text.startswith('454-["x",{"_placeholder":true,"num":0},')
    assert attachments == [b"1", b"2", b"3", b"abc"]
    assert {type(item) for item in attachments} == {bytes}


def test_tuples_travel_as_arrays_and_args_may_be_missing() -> None:
    assert encode_event("x", ((1, (2,)),)) == ['42["x",[1,[2]]]']
    assert encode_event("x") == ['42["x"]']


def test_callers_data_is_left_as_it_was() -> None:
    data = {"a": [b"x", {"b": b"y"}]}
    encode_event("x", [data])
    assert data == {"a": [b"x", {"b": b"y"}]}


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
def test_reserved_events_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="reserved by Socket"):
        encode_event(name)
    with pytest.raises(UsageError, match="reserved by Socket"):
        encode_packet(PacketType.EVENT, data=[name])


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("arg", "problem"),
    [
        (float("nan"), "Out of range float"),
        ({"a": [float("inf")]}, "Out of range float"),
        ({(1, 2): 3}, "keys must be"),
        ({b"a": 3}, "keys must be"),
        (object(), "a value of type object cannot be sent"),
        ({1, 2}, "a value of type set cannot be sent"),
        ([b"x", {"a": {1}}], "a value of type set cannot be sent"),
        ([b"x", float("nan")], "Out of range float"),
        ("\ud800", "UTF-8 cannot carry"),
        ([b"x", "\udfff"], "UTF-8 cannot carry"),
        (CYCLE, "contains itself"),
        ([b"x", CYCLE], "contains itself"),
        (DEEP, "nested too deeply"),
        (10**5000, "JSON cannot carry"),
    ],
    ids=range(14),
)
def test_data_that_cannot_be_sent(arg: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        encode_event("x", [arg])
    assert encode_event("x", [1]) == ['42["x",1]']  # and no trace of it is left


def test_too_many_attachments() -> None:
    assert len(encode_event("x", [b""] * MAX_ATTACHMENTS)) == MAX_ATTACHMENTS + 1
    with pytest.raises(UsageError, match=f"{MAX_ATTACHMENTS + 1} binary attachments"):
        encode_event("x", [b""] * (MAX_ATTACHMENTS + 1))


@pytest.mark.parametrize("name", [None, 1.5, True, b"x", ["x"]])
def test_event_names_are_strings(name: Any) -> None:
    with pytest.raises(UsageError, match="an event's name is a str"):
        encode_event(name)


@pytest.mark.parametrize("args", ["ab", {"a": 1}, None, b"x", {1}])
def test_event_arguments_are_a_list_or_tuple(args: Any) -> None:
    with pytest.raises(UsageError, match="args is a list or tuple"):
        encode_event("x", args)


@pytest.mark.parametrize("namespace", ["", "admin", "/a,b", '/a"', "/a\n", "/\x7f", None])
def test_bad_namespaces(namespace: Any) -> None:
    with pytest.raises(UsageError, match="it must begin with '/'"):
        encode_event("x", [], namespace)
    with pytest.raises(UsageError, match="it must begin with '/'"):
        connect_packet(namespace)


@pytest.mark.parametrize("ack_id", [-1, 2**53, 10**30, True, 1.0, "1"])
def test_bad_ack_ids(ack_id: Any) -> None:
    with pytest.raises(UsageError, match="it must be an int from 0"):
        encode_event("x", [], "/", ack_id)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((PacketType.EVENT,), "data of an EVENT packet is a list or tuple, not NoneType"),
        ((PacketType.EVENT, "/", []), "begins with the event's name"),
        ((PacketType.EVENT, "/", [None]), "an event's name is a str"),
        ((PacketType.ACK, "/", {}, 1), "data of an ACK packet is a list or tuple, not dict"),
        ((PacketType.ACK, "/", []), "needs the ack_id"),
        ((PacketType.CONNECT, "/", []), "CONNECT packet is a dict or None, not list"),
        ((PacketType.CONNECT, "/", {"a": b""}), "CONNECT packet cannot carry binary data"),
        ((PacketType.CONNECT, "/", None, 1), "a CONNECT packet carries no ack_id"),
        ((PacketType.DISCONNECT, "/", {}), "a DISCONNECT packet carries no data"),
        ((PacketType.CONNECT_ERROR, "/", []), "CONNECT_ERROR packet is a dict or str, not list"),
        ((PacketType.CONNECT_ERROR,), "CONNECT_ERROR packet is a dict or str, not NoneType"),
        ((5, "/", ["x"]), "packet type 5: it must be 0"),
        ((PacketType.ENGINE_OPEN,), "packet type 10: it must be 0"),
        ((-1,), "packet type -1: it must be 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_packets_that_do_not_exist(arguments: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        encode_packet(*arguments)


def test_connect_packet() -> None:
    assert connect_packet() == "40"
    assert connect_packet(auth={"token": "x"}) == '40{"token":"x"}'
    assert connect_packet("/admin") == "40/admin,"
    assert connect_packet("/admin", {}) == "40/admin,{}"
    with pytest.raises(UsageError, match="is a dict or None"):
        connect_packet(auth="token")  # type: ignore[arg-type]


def test_open_packet() -> None:
    assert open_packet("s1", 300, 200, 4096) == (
        '0{"sid":"s1","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":4096}'
    )
    for arguments in (("", 1, 1, 1), ("s", 0, 1, 1), ("s", 1, -1, 1), ("s", 1, 1, 0)):
        with pytest.raises(UsageError, match="an open packet needs"):
            open_packet(*arguments)


def test_decode_engine() -> None:
    assert decode_engine("40") == (4, "0")
    assert decode_engine(b"2probe") == (2, "probe")
    assert decode_engine("6") == (6, "")
    assert decode_engine('42["é"]'.encode()) == (4, '2["é"]')
    for data, problem in (("", "empty"), ("7", "type '7'"), ("x1", "type 'x'"), (b"\xff", "utf-8")):
        with pytest.raises(ValueError, match=problem):
            decode_engine(data)


def decoded(text: str) -> Packet:
    packet = Decoder().feed("text", text, 5)
    assert packet is not None
    return packet


def test_packets_are_made_by_the_codec_only() -> None:
    for made in (Packet, Event):
        with pytest.raises(TypeError, match="made by the codec"):
            made()


def test_event_properties() -> None:
    event = decoded('2/a,3["x",1,{"b":2}]')
    assert isinstance(event, Event)
    assert (event.type, event.name, event.args) == (PacketType.EVENT, "x", (1, {"b": 2}))
    assert (event.namespace, event.ack_id, event.arrived_ns) == ("/a", 3, 5)
    assert event.elapsed_ms != event.elapsed_ms  # NaN: it answers nothing yet
    event.elapsed_ms = 1.5
    assert event.elapsed_ms == 1.5
    with pytest.raises(AttributeError):
        event.arrived_ns = 6  # type: ignore[misc]


@pytest.mark.parametrize(("text", "name"), [("2[7]", "7"), ("2[1.5]", "1.5"), ("2[2.0]", "2")])
def test_the_name_of_an_event_named_by_a_number(text: str, name: str) -> None:
    event = decoded(text)
    assert isinstance(event, Event)
    assert event.name == name


def test_an_ack_is_no_event() -> None:
    packet = decoded('35[{"success":true}]')
    assert type(packet) is Packet
    assert (packet.type, packet.ack_id, packet.data) == (PacketType.ACK, 5, [{"success": True}])


def test_reprs() -> None:
    event = decoded('2/a,3["x",1]')
    assert repr(event) == "<Event 'x' (1,) /a ack_id=3>"
    assert isinstance(event, Event)
    event.elapsed_ms = 1.25
    assert repr(event) == "<Event 'x' (1,) /a ack_id=3 1.250 ms>"
    assert repr(decoded("1/a,")) == "<Packet DISCONNECT /a>"
    assert repr(decoded("35[1]")) == "<Packet ACK ack_id=5 [1]>"
    assert len(repr(decoded('2["x","' + "y" * 5000 + '"]'))) < 120


def test_packet_type_numbers_are_those_of_the_wire() -> None:
    wire = {member.name: member.value for member in PacketType if member < 10}
    assert wire == {"CONNECT": 0, "DISCONNECT": 1, "EVENT": 2, "ACK": 3, "CONNECT_ERROR": 4}
