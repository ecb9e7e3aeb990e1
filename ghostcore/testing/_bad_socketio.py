"""Bad servers that accept the upgrade and then break Engine.IO or Socket.IO, or fall silent."""

from __future__ import annotations

from ghostcore.testing._wire import BadServer, Exercise, Script, Wire, frame

__all__ = ["SERVERS"]

_SHORT = {"timeout": 0.6}


async def _silent_after_101(wire: Wire) -> None:
    await wire.answer()
    await wire.hold()


async def _silent_after_open(wire: Wire) -> None:
    await wire.engineio()
    await wire.hold()


async def _reset_after_101(wire: Wire) -> None:
    await wire.answer()
    await wire.pause()
    wire.reset()


async def _reset_after_open(wire: Wire) -> None:
    await wire.engineio()
    await wire.pause()
    wire.reset()


async def _pings_stop(wire: Wire) -> None:
    await wire.socketio(pingInterval=200, pingTimeout=200)
    await wire.text("2")
    await wire.hold()


def _opens_with(*packets: str) -> Script:
    """After the 101: these packets in place of the Engine.IO open packet."""

    async def script(wire: Wire) -> None:
        await wire.answer()
        for packet in packets:
            await wire.text(packet)
        await wire.hold()

    return script


def _admits_with(*packets: str) -> Script:
    """After the open packet: these in place of the answer to the connect packet."""

    async def script(wire: Wire) -> None:
        await wire.engineio()
        await wire.receive()
        for packet in packets:
            await wire.text(packet)
        await wire.hold()

    return script


def _says(*packets: str | bytes, reset: bool = False, hold: bool = True) -> Script:
    """Once the client is in: wait for what it sends, then these packets."""

    async def script(wire: Wire) -> None:
        await wire.socketio()
        await wire.receive()
        for packet in packets:
            data = packet.encode() if isinstance(packet, str) else packet
            await wire.send(frame(1 if isinstance(packet, str) else 2, data))
        if reset:
            await wire.pause()
            wire.reset()
        elif hold:
            await wire.hold()

    return script


def _opening(name: str, does: str, kind: str, phase: str, script: Script) -> BadServer:
    return BadServer(name, does, kind, phase, script, socketio=True, options=_SHORT)


def _breaks_open(name: str, does: str, *packets: str) -> BadServer:
    return _opening(name, does, "protocol_violation", "engineio_open", _opens_with(*packets))


def _breaks_connect(name: str, does: str, *packets: str) -> BadServer:
    return _opening(name, does, "protocol_violation", "socketio_connect", _admits_with(*packets))


def _session(
    name: str,
    does: str,
    kind: str | None,
    script: Script,
    exercise: Exercise = "call",
    close_code: int | None = None,
) -> BadServer:
    return BadServer(
        name, does, kind, script=script, socketio=True, exercise=exercise, close_code=close_code
    )


def _breaks(name: str, does: str, *packets: str | bytes) -> BadServer:
    return _session(name, does, "protocol_violation", _says(*packets))


_BINARY_EVENT = '451-["photo",{"_placeholder":true,"num":0}]'

SERVERS: tuple[BadServer, ...] = (
    _opening(
        "silent_before_open",
        "sends no Engine.IO open packet",
        "open_timeout",
        "engineio_open",
        _silent_after_101,
    ),
    _opening(
        "silent_after_open",
        "never answers the connect packet",
        "open_timeout",
        "socketio_connect",
        _silent_after_open,
    ),
    _opening(
        "reset_before_open",
        "resets instead of sending the open packet",
        "connection_lost",
        "engineio_open",
        _reset_after_101,
    ),
    _opening(
        "reset_after_open",
        "resets instead of answering the connect packet",
        "connection_lost",
        "socketio_connect",
        _reset_after_open,
    ),
    _opening(
        "connect_error",
        "refuses the namespace with a message",
        "connect_error",
        "socketio_connect",
        _admits_with('44{"message":"not authorized","data":{"code":7}}'),
    ),
    _opening(
        "connect_error_bare",
        "refuses the namespace without a word",
        "connect_error",
        "socketio_connect",
        _admits_with("44"),
    ),
    _opening(
        "engine_closed_early",
        "sends an Engine.IO close packet before it lets the client in",
        "closed",
        "socketio_connect",
        _admits_with("1"),
    ),
    _breaks_open("open_not_json", "sends an open packet that is not JSON", "0{sid"),
    _breaks_open(
        "open_without_sid",
        "sends an open packet without a sid",
        '0{"pingInterval":1,"pingTimeout":1}',
    ),
    _breaks_open(
        "open_without_interval",
        "sends an open packet without a pingInterval",
        '0{"sid":"e","upgrades":[]}',
    ),
    _breaks_open("message_before_open", "speaks before the open packet", '42["hello"]'),
    _breaks_connect(
        "connect_without_sid", "lets the client in without a sid, as version 2 did", "40"
    ),
    _breaks_connect(
        "open_twice",
        "sends a second open packet",
        '0{"sid":"f","upgrades":[],"pingInterval":25000,"pingTimeout":20000}',
    ),
    _session("pings_stop", "sends no Engine.IO ping any more", "ping_timeout", _pings_stop, "wait"),
    _session("ack_never", "acknowledges no call", "ack_timeout", _says()),
    _session(
        "ack_for_nothing",
        "acknowledges calls that nobody made",
        "ack_timeout",
        _says("43999[1]", "43998[]"),
    ),
    _session("ack_twice", "acknowledges a call twice", None, _says('430["yes"]', '430["again"]')),
    _session("reply_never", "never replies to a request", "reply_timeout", _says(), "request"),
    _session(
        "reply_other",
        "replies with another event",
        "reply_timeout",
        _says('42["something else"]'),
        "request",
    ),
    _session(
        "reply_twice",
        "sends the reply twice",
        None,
        _says('42["answer",1]', '42["answer",1]'),
        "request",
    ),
    _session(
        "reply_is_error",
        "replies that the request failed",
        "error_reply",
        _says('42["failure",{"code":7}]'),
        "request",
    ),
    _session(
        "disconnect_packet",
        "disconnects the client from its namespace",
        "closed",
        _says("41"),
        close_code=1005,
    ),
    _session(
        "engine_close_packet",
        "sends an Engine.IO close packet",
        "closed",
        _says("1"),
        close_code=1005,
    ),
    _session(
        "reset_in_call",
        "resets instead of acknowledging",
        "connection_lost",
        _says(reset=True),
        close_code=1006,
    ),
    _session(
        "ended_in_call",
        "ends the stream instead of acknowledging",
        "connection_lost",
        _says(hold=False),
        close_code=1006,
    ),
    _session(
        "attachment_missing",
        "announces an attachment and never sends it",
        "ack_timeout",
        _says(_BINARY_EVENT),
    ),
    _breaks(
        "attachment_overtaken",
        "sends text where an attachment is due",
        _BINARY_EVENT,
        '42["photo"]',
    ),
    _breaks("attachment_unasked", "sends an attachment that no packet announced", b"\x00\x01"),
    _breaks(
        "placeholder_wrong",
        "numbers a placeholder beyond its attachments",
        '451-["photo",{"_placeholder":true,"num":3}]',
    ),
    _breaks("engine_type_unknown", "sends an Engine.IO packet of no known type", "9"),
    _breaks("empty_message", "sends an empty Engine.IO packet", ""),
    _breaks("packet_type_unknown", "sends a Socket.IO packet of no known type", "49"),
    _breaks("event_not_json", "sends an event that is not JSON", '42["hello"'),
    _breaks("event_not_array", "sends an event that is no array", '42{"hello":1}'),
    _breaks("event_reserved", "sends an event with a reserved name", '42["connect"]'),
    _breaks("ack_without_id", "sends an acknowledgement of nothing in particular", "43[1]"),
    _breaks("deep_json", "sends JSON nested 100,000 deep", '42["x",' + "[" * 100_000),
    _breaks("server_pong", "sends a pong that nobody asked for", "3"),
)
