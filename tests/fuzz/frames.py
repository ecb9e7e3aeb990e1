"""Random and mutated streams of frames, cut at random, through our parsers and a reference.

::

    python -m tests.fuzz.frames --frames 10000000 --seed 1

Each stream goes to a MessageReader frame by frame, and in random pieces (the answer to the upgrade
included) through a socket to a session on the epoll link. Messages, pongs, the close frame that was
sent back and the error of the session must be those of the reference. The first difference ends the
run with the seed of its stream, which ``--seed N --only`` plays again.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import random
import socket
import sys
import termios
import time
from dataclasses import dataclass
from itertools import accumulate

from ghostcore._engine import Engine, Traffic
from ghostcore.errors import ProtocolViolation
from ghostcore.links.epoll_link import Hub
from ghostcore.protocol.codec import Message, PlainCodec
from ghostcore.protocol.handshake import Request, Upgrade, accept_of
from ghostcore.protocol.message import MessageReader
from ghostcore.sessions.session import DispatchingSession, Session
from tests.reference.message_reference import Frame, Reference
from tests.reference.stream_reference import Event, StreamReference

FRAMES_A_STREAM = 60
MAX_MESSAGE_SIZE = 3000
_TEXTS = [text.encode() for text in ("", "a", "ghost" * 9, "é", "日本語", "😀", "x" * 200)]
_BAD_TEXTS = (
    *(b"\xc3", b"\x80", b"\xed\xa0\x80", b"\xed\x9f\xbf", b"\xf4\x90\x80\x80", b"\xe0\x9f\xbf"),
    *(b"\xc1\xbf", b"\xf0\x8f\xbf\xbf", b"\xf5\x80\x80\x80", b"x" * 9 + b"\xff" + b"x" * 9),
)
_SIZES = (0, 1, 2, 7, 8, 9, 124, 125, 126, 127, 300, 2999, 3001)
_CODES = (1000, 1001, 1002, 1011, 3000, 4999, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000)


class Differs(AssertionError):
    """What was parsed is not what the reference says."""


def _frame(frame: Frame) -> bytes:
    size = len(frame.payload)
    first = frame.fin << 7 | frame.reserved << 4 | frame.opcode
    if size < 126:
        return bytes((first, size)) + frame.payload
    return bytes((first, 126)) + size.to_bytes(2, "big") + frame.payload


def _frames(source: random.Random, wrong: float) -> list[Frame]:
    """Mostly right: what is wrong ends a stream, and nothing behind it is looked at."""
    made: list[Frame] = []
    open_kind = 0
    while len(made) < FRAMES_A_STREAM:
        dice = source.random()
        if dice < wrong / 4:
            made.append(Frame(0 if open_kind else 2, source.randbytes(MAX_MESSAGE_SIZE + 1)))
        elif dice < wrong:
            made.append(_odd_frame(source))
        elif dice < 0.25:
            made.append(Frame(source.choice((9, 10)), source.randbytes(source.choice(_SIZES[:8]))))
        else:
            fin = source.random() < 0.6
            kind = open_kind or source.choice((1, 2))
            if kind == 1:
                payload = source.choice(_TEXTS)
            else:
                payload = source.randbytes(source.choice(_SIZES[:11]))
            made.append(Frame(0 if open_kind else kind, payload, fin))
            open_kind = 0 if fin else kind
    if source.random() < 0.3:
        made.append(Frame(8, source.choice(_CODES).to_bytes(2, "big") + source.choice(_TEXTS[:6])))
    return made


def _odd_frame(source: random.Random) -> Frame:
    if source.random() < 0.3:
        return Frame(source.randrange(2), source.choice(_BAD_TEXTS), source.random() < 0.7)
    payload = source.randbytes(source.choice(_SIZES))
    reserved = source.choice((0, 0, 0, 1, 2, 4, 7))
    return Frame(source.randrange(16), payload, source.random() < 0.7, reserved)


def _odd_length(source: random.Random) -> bytes:
    """The header of a frame whose length is at the edge of what its form may say."""
    first = bytes([source.choice((0x80, 0x81, 0x82, 0x02, 0x89))])
    if source.random() < 0.5:
        return first + b"\x7e" + source.choice((0, 124, 125, 126, 127, 3001)).to_bytes(2, "big")
    wide = source.choice((0, 125, 126, 65534, 65535, 65536, 1 << 62, (1 << 63) - 1, 1 << 63))
    return first + b"\x7f" + wide.to_bytes(8, "big")


def make_stream(seed: int) -> tuple[list[Frame], bytes, random.Random]:
    """Frames, the bytes that they make (some of these changed), and the source for what is next."""
    source = random.Random(seed)
    frames = _frames(source, source.choice((0.0, 0.0, 0.01, 0.05)))
    parts = list(map(_frame, frames))
    starts = [0, *accumulate(map(len, parts))]
    data = bytearray(b"".join(parts))
    if source.random() < 0.3:
        for _ in range(source.randrange(1, 4)):
            # What is put at the begin of a frame is read as a header.
            at = min(
                source.choice((source.choice(starts), source.randrange(len(data)))), len(data) - 1
            )
            mutation = source.randrange(5)
            if mutation == 0:
                data[at] ^= 1 << source.randrange(8)
            elif mutation == 1:
                data[at] = source.randrange(256)
            elif mutation == 2:
                data[at:at] = _odd_length(source)
            elif mutation == 3:
                del data[at : at + source.randrange(1, 5)]
            else:
                data[at:at] = source.randbytes(source.randrange(1, 5))
            if not data:
                data += b"\0"
    return frames, bytes(data), source


def check_reader(frames: list[Frame]) -> None:
    reader, reference = MessageReader(MAX_MESSAGE_SIZE), Reference(MAX_MESSAGE_SIZE)
    for number, frame in enumerate(frames):
        got = reader.feed_frame(frame.opcode, frame.payload, frame.fin, frame.reserved)
        wanted = reference.feed(frame)
        if got != wanted:
            raise Differs(f"reader, frame {number}: {got} instead of {wanted}")
    if (reader.close_code, reader.close_reason) != (reference.code, reference.reason):
        raise Differs(f"reader: close code {reader.close_code} instead of {reference.code}")


@dataclass
class Outcome:
    events: list[Event]
    code: int
    violated: bool


class NoAttempt:
    """Hears of the opening of a session, and has nothing to do."""

    def secured(self, elapsed_ns: int) -> None:
        pass

    def upgraded(self, session: Session, tcp_ns: int) -> None:
        pass

    def ready(self, session: Session) -> None:
        pass

    def not_ready(self, session: Session, error: BaseException) -> BaseException:
        return error


class Collector(DispatchingSession):
    """A session that keeps what comes."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, PlainCodec(), Traffic(), MAX_MESSAGE_SIZE, engine.now_ns())
        self.events: list[Event] = []

    def _on_item(self, item: Message) -> None:
        self.events.append((item.kind, item.data))


def _unread(sock: socket.socket) -> bool:
    """Whether the other end of a socket pair has yet to read what was sent."""
    return fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4) != b"\0" * 4


class LinkBench:
    """A hub whose sockets are fed by hand; its loop turns only when it is told to."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = Engine(self._loop)
        self._hub = Hub(self._engine)

    def close(self) -> None:
        self._hub.close()
        self._turn()
        self._engine.close()
        self._loop.close()

    def _turn(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def play(self, data: bytes, source: random.Random) -> Outcome:
        """Send these bytes behind a valid answer to the upgrade, in random pieces."""
        ours, theirs = socket.socketpair()
        with theirs:
            session = Collector(self._engine)
            upgrade = Request("fuzz", "/").upgrade()
            task = self._loop.create_task(self._open(session, upgrade, ours))
            self._turn()
            self._hub._on_ready()
            accept = accept_of(upgrade.key)
            answer = (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            stream, at = answer + data, 0
            largest = source.choice((3, 40, 700, 20_000))
            if largest == 3 and len(stream) > 2000:
                largest = 40
            while at < len(stream):
                size = source.randrange(1, largest + 1)
                theirs.sendall(stream[at : at + size])
                at += size
                self._hub._on_ready()
            for _ in range(len(stream)):
                if not _unread(theirs):
                    break
                # The rest of a frame is read alone, so that what is behind it is left for now.
                self._hub._on_ready()
            sent = self._read(theirs, len(upgrade.request))
            outcome = self._collect(session, sent)
            theirs.shutdown(socket.SHUT_WR)
            self._hub._on_ready()
            self._turn()
            session.abort()
            self._turn()
            assert task.done()
            task.result()
            if session._is_linked:
                raise Differs("the session outlives its connection")
        return outcome

    async def _open(self, session: Collector, upgrade: Upgrade, sock: socket.socket) -> None:
        await self._hub.connect(session, NoAttempt(), 1 << 62, 0, [], None, upgrade, sock)

    @staticmethod
    def _read(theirs: socket.socket, skip: int) -> bytes:
        theirs.setblocking(False)
        data = b""
        try:
            while piece := theirs.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass
        return data[skip:]

    def _collect(self, session: Collector, sent: bytes) -> Outcome:
        events = session.events
        code, at = 0, 0
        while at < len(sent):
            opcode, size = sent[at] & 0x0F, sent[at + 1] & 0x7F
            mask = sent[at + 2 : at + 6]
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(sent[at + 6 : at + 6 + size]))
            at += 6 + size
            if code:
                raise Differs(f"opcode {opcode} was sent after the close frame")
            if opcode == 10:
                events.append(("ping", payload))
            elif opcode == 8:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
            else:
                raise Differs(f"opcode {opcode} was sent")
        return Outcome(events, code, isinstance(session.error, ProtocolViolation))


def check_link(bench: LinkBench, data: bytes, source: random.Random) -> None:
    reference = StreamReference(MAX_MESSAGE_SIZE)
    reference.feed(data)
    outcome = bench.play(data, source)
    for kinds in (("text", "binary"), ("ping",)):
        got = [event for event in outcome.events if event[0] in kinds]
        wanted = [event for event in reference.events if event[0] in kinds]
        if got != wanted:
            raise Differs(f"link: {len(got)} of {kinds} instead of {len(wanted)}, or others")
    if (outcome.code, outcome.violated) != (reference.code, reference.violated):
        raise Differs(
            f"link: close code {outcome.code}, violation {outcome.violated}; the reference says "
            f"{reference.code}, {reference.violated}"
        )


def run(frames: int, seed: int, *, only: bool = False, say: bool = False) -> int:
    """Play streams until that many frames have been made; returns how many streams that took.

    :raises Differs: the first difference, with the seed of its stream.
    """
    bench = LinkBench()
    made = streams = 0
    started_s = said_s = time.monotonic()
    try:
        while made < frames:
            number = seed if only else seed * 1_000_000_007 + streams
            stream, data, source = make_stream(number)
            try:
                check_reader(stream)
                check_link(bench, data, source)
            except Exception as error:
                raise Differs(f"{error} (--only --seed {number})") from error
            made += len(stream)
            streams += 1
            if only:
                break
            if say and time.monotonic() - said_s > 30:
                said_s = time.monotonic()
                print(f"{made} frames, {made / (said_s - started_s):.0f}/s", flush=True)
    finally:
        bench.close()
    return streams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="store_true", help="play the one stream of this seed")
    arguments = parser.parse_args()
    started_s = time.monotonic()
    try:
        streams = run(arguments.frames, arguments.seed, only=arguments.only, say=True)
    except Differs as error:
        sys.exit(f"differs: {error}")
    print(
        f"{streams} streams, {arguments.frames} frames, seed {arguments.seed}: no difference "
        f"in {time.monotonic() - started_s:.0f} s"
    )


if __name__ == "__main__":
    main()
