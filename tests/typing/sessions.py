"""What type checkers know of scenarios and sessions; read by them, run by nobody."""

from __future__ import annotations

from typing import assert_type

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    Event,
    Message,
    Scenario,
    SocketIOSession,
    Trend,
    WebSocketSession,
    scenario,
)

ECHO = Trend("echo_time")


@scenario(load=ConstantVUs(1, "1s"), metrics=[ECHO])
async def echo(vu: VU) -> None:
    async with vu.connect("ws://127.0.0.1:9001") as ws:
        assert_type(ws, WebSocketSession)
        with vu.timer(ECHO):
            await ws.send("hello")
            assert_type(await ws.recv(timeout="5s"), Message)
    async with vu.socketio("ws://127.0.0.1:9001") as sio:
        assert_type(sio, SocketIOSession)
        assert_type(await sio.wait_for("ready", timeout=5), Event)
    assert_type(await vu.sleep(0.1), None)


assert_type(echo, Scenario)


async def alone() -> None:
    async with ghostcore.connect("ws://127.0.0.1:9001") as ws:
        assert_type(ws, WebSocketSession)
        message = await ws.recv()
        assert_type(message, Message)
    async with ghostcore.socketio("ws://127.0.0.1:9001") as sio:
        assert_type(sio, SocketIOSession)
