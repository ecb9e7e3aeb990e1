"""Plays the client side of a recording against the simulator, and compares what the server says.

The simulator's clock is moved by hand to the times of the recording, so that a ring of 15 s takes
no time and every answer must come when it came. Sockets are real. Ids are followed: what the
simulator made up in the place of a recorded id is what the clients go on with.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ghost_greeter.simulator import Simulator
from ghost_greeter.simulator.machine.core import Send
from ghost_greeter.simulator.setup.clock import Clock
from tests.support.raw_client import CLOSE, PING, PONG, SOCKETIO, Closed, Frame, RawClient

LINE = re.compile(r" *([\d.]+) (\S+) +(--|->|<-) (.*)")
MADE_UP = re.compile(r"(?:call|active|visitor)_\d{13}_[0-9a-z]{7}|(?<=\")[A-Za-z0-9_-]{20}(?=\")")
TIME = re.compile(r"\b\d{13}\b|\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z")

STEP_S = 0.005
LATE_S = 0.15
"""How late the real server's timers, and the network, were at the most."""
SLOWER_S = 0.03
"""By how much the simulator may take longer over an event than the real server happened to."""
SAME_MOMENT_S = 0.0035
"""What was recorded closer than this on two connections may have been sent in either order."""


class Line(NamedTuple):
    number: int
    at_s: float
    who: str
    kind: str  # "--", "->" or "<-"
    text: str


class HandClock(Clock):
    """Seconds of the recording; its epoch is set when the recording tells it."""

    def __init__(self) -> None:
        self.at_s = 0.0
        super().__init__()

    def now_s(self) -> float:
        return self.at_s


@dataclass
class Arrived:
    at_s: float
    text: str


@dataclass
class Connection:
    client: RawClient
    frames: list[Arrived] = field(default_factory=list)
    pongs: int = 0
    pinged: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    async def read(self, clock: HandClock) -> None:
        while not self.ended:
            message = await self.client.recv(within_s=60)
            if isinstance(message, Closed):
                self.ended = True
            elif isinstance(message, Frame):
                assert message == Frame(PONG, True, b"all here")
                self.pongs += 1
            else:
                assert isinstance(message, str), message
                self.frames.append(Arrived(clock.at_s, message))
            self.news.set()

    async def settle(self) -> None:
        """All that is under way in either direction has arrived."""
        if self.ended:
            return
        self.client.send_frame(PING, b"all here")
        self.pinged += 1
        async with asyncio.timeout(20):
            while self.pongs < self.pinged and not self.ended:
                self.news.clear()
                await self.news.wait()


def lines_of(path: Path) -> Iterator[Line]:
    for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        found = LINE.fullmatch(text)
        if found is None:
            assert text.startswith("###"), f"{path.name}:{number}: {text}"
            continue
        yield Line(number, float(found[1]), found[2], found[3], found[4])


def epoch_ms(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class Replay:
    """One recording against one simulator."""

    def __init__(self, path: Path, simulator: Simulator, clock: HandClock) -> None:
        self.lines = list(lines_of(path))
        self.name = path.name
        self.simulator = simulator
        self.clock = clock
        self.connections: dict[str, Connection] = {}
        self.ids: dict[str, str] = {}  # recorded id: the simulator's
        self.compared = 0
        self.who_of_socket: dict[str, str] = {}
        self.sent: list[tuple[str, str]] = []  # (who, packet), as the state machine sent it
        self._log_effects()

    async def run(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        self._set_epoch()
        try:
            for line in self.lines:
                where = f"{self.name}:{line.number}"
                if line.kind == "--" and line.text == "ws open":
                    await self._to(line.at_s)
                    client = await RawClient.open(self.simulator.url, SOCKETIO)
                    connection = self.connections[line.who] = Connection(client)
                    tasks.append(asyncio.create_task(connection.read(self.clock)))
                    await self._settle()
                elif line.kind == "--":
                    await self._to(line.at_s)
                    await self._close(line)
                elif line.kind == "->":
                    await self._to(line.at_s)
                    self.connections[line.who].client.send(self._ours(line.text))
                    await self._settle()
                else:
                    await self._expect(line, where)
            await self._to(self.clock.at_s + LATE_S)
            for who, connection in self.connections.items():
                assert not connection.frames, f"{who} got more: {connection.frames}"
            self._check_order()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- time ------------------------------------------------------------------------------------

    async def _to(self, at_s: float) -> None:
        while self.clock.at_s < at_s:
            self.clock.at_s = min(at_s, self.clock.at_s + STEP_S)
            before = len(self.sent), self.simulator.sockets.pings_total
            self.simulator.advance()
            if (len(self.sent), self.simulator.sockets.pings_total) != before:
                await self._settle()

    async def _settle(self) -> None:
        """Let everything that is under way arrive: what clients have sent, then the answers."""
        for _ in range(2):
            for connection in self.connections.values():
                await connection.settle()

    def _set_epoch(self) -> None:
        """Of the first time in a recorded answer: it was taken a moment before."""
        for line in self.lines:
            if line.kind == "<-" and (found := TIME.search(line.text)):
                epoch_s = epoch_ms(found[0]) / 1000 - line.at_s
                self.clock.epoch_offset_s = epoch_s
                self.simulator.state.epoch_offset_s = epoch_s
                return

    # -- out and in ------------------------------------------------------------------------------

    async def _close(self, line: Line) -> None:
        """1006: the client was killed. 1005: it closed."""
        connection = self.connections[line.who]
        assert not connection.frames, f"line {line.number}: {line.who} got {connection.frames}"
        if "code=1006" in line.text:
            await connection.client.abort()
        else:
            assert "code=1005" in line.text
            connection.client.send_frame(CLOSE)
        left = len(self.simulator.sockets.connections) - 1
        async with asyncio.timeout(20):
            while len(self.simulator.sockets.connections) > left:
                await asyncio.sleep(0.001)
        connection.ended = True
        await self._settle()

    def _ours(self, text: str) -> str:
        return MADE_UP.sub(lambda found: self.ids.get(found[0], found[0]), text)

    async def _expect(self, line: Line, where: str) -> None:
        connection = self.connections[line.who]
        while not connection.frames and self.clock.at_s < line.at_s + SLOWER_S:
            await self._to(self.clock.at_s + STEP_S)
        assert connection.frames, f"{where}: {line.who} should get {line.text}"
        arrived = connection.frames.pop(0)
        self._compare(line.text, arrived.text, where)
        late_s = line.at_s - arrived.at_s
        assert -SLOWER_S <= late_s <= LATE_S, f"{where}: came at {arrived.at_s:.3f}"
        if line.text.startswith("40"):
            self.who_of_socket[arrived.text[10:30]] = line.who
        self.compared += 1

    def _compare(self, theirs: str, ours: str, where: str) -> None:
        """Equal but for made-up ids, which must stand for one another, and times, which must be
        those of the recording."""
        assert _masked(ours) == _masked(theirs), where
        for their, our in zip(MADE_UP.findall(theirs), MADE_UP.findall(ours), strict=True):
            assert self.ids.setdefault(their, our) == our, f"{where}: {their} was {self.ids[their]}"
        bare = [MADE_UP.sub("", text) for text in (theirs, ours)]
        for their, our in zip(*map(TIME.findall, bare), strict=True):
            apart_ms = epoch_ms(our) - epoch_ms(their)
            assert abs(apart_ms) <= 1000 * LATE_S, f"{where}: {our} is not {their}"

    # -- who is told first -----------------------------------------------------------------------

    def _log_effects(self) -> None:
        deliver = self.simulator._deliver

        def logged(effects: list[object]) -> None:
            for effect in effects:
                if isinstance(effect, Send):
                    who = self.who_of_socket.get(effect.socket_id, effect.socket_id)
                    self.sent.append((who, _masked(effect.packet)))
            deliver(effects)  # type: ignore[arg-type]

        self.simulator._deliver = logged  # type: ignore[method-assign, assignment]

    def _check_order(self) -> None:
        """Events of different connections that were recorded apart were sent in that order, too."""
        recorded = [line for line in self.lines if line.kind == "<-" and line.text.startswith("4")]
        recorded = [line for line in recorded if not line.text.startswith("40")]
        places: list[int] = []
        left = dict(enumerate(self.sent))
        for line in recorded:
            place = next(n for n, sent in left.items() if sent == (line.who, _masked(line.text)))
            places.append(place)
            del left[place]
        assert not left, f"sent and not recorded: {left}"
        for one in range(1, len(recorded)):
            apart_s = recorded[one].at_s - recorded[one - 1].at_s
            if apart_s > SAME_MOMENT_S:
                assert places[one] > places[one - 1], f"line {recorded[one].number} came too early"


def _masked(text: str) -> str:
    return TIME.sub("TIME", MADE_UP.sub("ID", text))
