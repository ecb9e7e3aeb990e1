import asyncio
from typing import Any

from ghostcore.loop.timers import TimerQueue
from ghostcore.loop.vitals import Vitals

class Traffic:
    msgs_sent: int
    msgs_received: int
    bytes_sent: int
    bytes_received: int
    discarded: int
    missed: int
    paced: bool
    def take(self) -> tuple[int, int, int, int, int]: ...
    def take_missed(self) -> int | None: ...

class Engine:
    loop: asyncio.AbstractEventLoop
    timers: TimerQueue
    vitals: Vitals
    live_sessions: int
    hub: Any
    names: Any
    closed: bool
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def next_dial(self) -> int: ...
    def loopback_source(self) -> int: ...
    def port_range(self) -> int: ...
    def now_ns(self) -> int: ...
    def close(self) -> None: ...

class Link: ...

def engine_of(loop: asyncio.AbstractEventLoop) -> Engine: ...
