"""Bad servers that accept the upgrade and then break WebSocket, or fall silent, or go away."""

from __future__ import annotations

import asyncio

from ghostcore.testing._wire import BadServer, Exercise, Script, Wire, frame

__all__ = ["SERVERS"]

_LIMIT = {"max_message_size": 65536}
_TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9


def _sends(*pieces: bytes, reset: bool = False, hold: bool = True) -> Script:
    """After the 101: these bytes; then wait for the client to go, or end it."""

    async def script(wire: Wire) -> None:
        await wire.answer()
        for piece in pieces:
            await wire.send(piece)
        if reset:
            await wire.pause()
            wire.reset()
        elif hold:
            await wire.hold()

    return script


async def _stare(wire: Wire) -> None:
    await wire.answer()
    await wire.stare()


async def _half_open(wire: Wire) -> None:
    await wire.answer()
    await wire.receive()
    await wire.stare()


async def _drip(wire: Wire) -> None:
    await wire.answer()
    for byte in frame(_TEXT, b"x" * 120):
        await wire.send(bytes((byte,)))
        await asyncio.sleep(0.1)


async def _ping_flood(wire: Wire) -> None:
    await wire.answer()
    pings = frame(_PING, b"x" * 125) * 200
    while True:
        await wire.send(pings)


async def _endless_message(wire: Wire) -> None:
    await wire.answer()
    await wire.send(frame(_BINARY, b"x" * 4096, fin=False))
    while True:
        await wire.send(frame(0, b"x" * 4096, fin=False))


async def _closes_and_stays(wire: Wire) -> None:
    await wire.answer()
    await wire.frame(_CLOSE, b"\x03\xe8")
    await wire.stare()


def _lost(name: str, does: str, script: Script) -> BadServer:
    return BadServer(
        name, does, "connection_lost", script=script, exercise="receive", close_code=1006
    )


def _breaks(name: str, does: str, *pieces: bytes) -> BadServer:
    return BadServer(name, does, "protocol_violation", script=_sends(*pieces), exercise="receive")


def _silent(name: str, does: str, script: Script, exercise: Exercise = "receive") -> BadServer:
    deaf = exercise != "ping"
    return BadServer(name, does, "receive_timeout", script=script, exercise=exercise, deaf=deaf)


def _closes(name: str, does: str, payload: bytes, code: int) -> BadServer:
    return BadServer(
        name,
        does,
        "closed",
        script=_sends(frame(_CLOSE, payload)),
        exercise="receive",
        close_code=code,
    )


def _too_big(name: str, does: str, script: Script) -> BadServer:
    return BadServer(
        name, does, "message_too_big", script=script, exercise="receive", options=_LIMIT
    )


_HEAD = frame(_TEXT, b"x" * 1000)

SERVERS: tuple[BadServer, ...] = (
    _silent("silent_after_101", "accepts the upgrade and says nothing more", _stare),
    _silent("half_open", "takes a message, then vanishes without a FIN", _half_open),
    _silent("dripping_frame", "sends its message a byte each 0.1 s", _drip),
    _silent("ping_flood", "sends pings without end and reads no pong", _ping_flood),
    _silent("pong_never", "answers no ping", _sends(), "ping"),
    BadServer(
        "window_zero",
        "reads nothing of what it is sent",
        "send_timeout",
        deaf=True,
        script=_stare,
        exercise="send",
        options={"send_timeout": 0.4},
    ),
    BadServer(
        "close_unanswered",
        "never answers a close frame",
        None,
        deaf=True,
        script=_stare,
        exercise="close",
    ),
    _lost("reset_after_101", "resets right after the upgrade", _sends(reset=True)),
    _lost("ended_after_101", "ends the stream right after the upgrade", _sends(hold=False)),
    _lost(
        "reset_after_one_byte", "resets after one byte of a frame", _sends(_HEAD[:1], reset=True)
    ),
    _lost("reset_in_mid_frame", "resets in the middle of a frame", _sends(_HEAD[:500], reset=True)),
    _lost(
        "ended_in_mid_frame",
        "ends the stream in the middle of a frame",
        _sends(_HEAD[:500], hold=False),
    ),
    _lost(
        "reset_in_mid_message",
        "resets between two fragments of a message",
        _sends(frame(_TEXT, b"begin", fin=False), reset=True),
    ),
    _lost(
        "ended_in_mid_message",
        "ends the stream between two fragments of a message",
        _sends(frame(_TEXT, b"begin", fin=False), hold=False),
    ),
    _closes("close_normal", "closes with 1000", b"\x03\xe8", 1000),
    _closes("close_going_away", "closes with 1001 and a reason", b"\x03\xe9restarting", 1001),
    _closes("close_server_error", "closes with 1011", b"\x03\xf3", 1011),
    _closes("close_private", "closes with 4999", b"\x13\x87", 4999),
    _closes("close_without_code", "closes without a code", b"", 1005),
    BadServer(
        "close_and_stay",
        "closes, but never ends the TCP connection",
        "closed",
        deaf=True,
        script=_closes_and_stays,
        exercise="receive",
        close_code=1000,
    ),
    _too_big(
        "frame_too_big",
        "announces a frame over max_message_size",
        _sends(b"\x82\x7f" + (1 << 40).to_bytes(8, "big")),
    ),
    _too_big("message_too_big", "never ends its message", _endless_message),
    _breaks("garbage", "sends bytes that are no frames", b"\xff" * 512),
    _breaks("masked_frame", "masks its frames", b"\x81\x81\x00\x00\x00\x00x"),
    _breaks("reserved_bit", "sets a reserved bit", frame(_TEXT, b"x", rsv=4)),
    _breaks("reserved_opcode", "uses a reserved opcode", frame(3, b"x")),
    _breaks("fragmented_ping", "fragments a control frame", frame(_PING, b"x", fin=False)),
    _breaks("long_ping", "sends a control frame of 126 bytes", frame(_PING, b"x" * 126)),
    _breaks("stray_continuation", "continues a message that never began", frame(0, b"x")),
    _breaks(
        "interleaved_message",
        "begins a message inside another",
        frame(_TEXT, b"x", fin=False),
        frame(_TEXT, b"y"),
    ),
    _breaks("broken_utf8", "sends text that is not UTF-8", frame(_TEXT, b"\xc3\x28")),
    _breaks(
        "long_length",
        "writes a short length in eight bytes",
        b"\x81\x7f" + (5).to_bytes(8, "big") + b"hello",
    ),
    _breaks(
        "negative_length",
        "sets the top bit of a length",
        b"\x82\xff"[:1] + b"\x7f" + b"\x80" + b"\x00" * 7,
    ),
    _breaks("close_one_byte", "sends a close frame of one byte", frame(_CLOSE, b"\x03")),
    _breaks(
        "close_reserved_code",
        "closes with 1006, which no frame may carry",
        frame(_CLOSE, b"\x03\xee"),
    ),
    _breaks(
        "close_broken_reason",
        "gives a reason that is not UTF-8",
        frame(_CLOSE, b"\x03\xe8\xff\xfe"),
    ),
)
