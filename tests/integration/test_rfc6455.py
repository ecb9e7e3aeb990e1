"""RFC 6455 as a client lives it, over both links and over TLS, against a server that breaks every
rule."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import trustme
import uvloop

from ghostcore import connect
from ghostcore.errors import (
    ClosedByPeer,
    GhostError,
    HandshakeRejected,
    ProtocolViolation,
    TargetError,
)
from ghostcore.sessions.websocket_session import WebSocketSession
from tests.support.hostile import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Hangup,
    HostileServer,
    Pause,
    Step,
    WaitFor,
    close_frame,
    dribble,
    frame,
    upgrade_answer,
)

LinkName = Literal["epoll", "picows", "epoll+tls"]
SERVER_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["epoll", "picows", "epoll+tls"])
def link(request: pytest.FixtureRequest) -> LinkName:
    name: LinkName = request.param
    return name


@pytest.fixture(scope="module", autouse=True)
def server_context(authority: trustme.CA) -> None:
    authority.issue_cert("127.0.0.1").configure_cert(SERVER_CONTEXT)


def over(link: LinkName, server: HostileServer) -> dict[str, Any]:
    """The options of a session over that link; tells the server of TLS."""
    if not link.endswith("+tls"):
        return {"link": link}
    server.secure(SERVER_CONTEXT)
    return {"link": link.removesuffix("+tls"), "insecure": True}


@dataclass
class Meeting:
    """What a session came to."""

    messages: list[str | bytes] = field(default_factory=list)
    error: GhostError | None = None
    close_code: int = 0
    close_reason: str = ""


async def listen(session: WebSocketSession, meeting: Meeting) -> None:
    """Receive to the end."""
    try:
        while True:
            message = await session.recv(timeout=20)
            text = message.kind == "text"
            meeting.messages.append(message.text if text else message.data)
    except GhostError as error:
        meeting.error = error
    meeting.close_code = session.close_code
    meeting.close_reason = session.close_reason


def meet(
    server: HostileServer,
    link: LinkName,
    talk: Callable[[WebSocketSession, Meeting], Awaitable[None]] = listen,
    **options: Any,
) -> Meeting:
    """Connect, talk, close; the server has seen the end when this returns."""
    meeting = Meeting()
    options |= over(link, server)

    async def main() -> None:
        session = await connect(server.url, **options)
        await talk(session, meeting)
        await session.close()

    with server:
        uvloop.run(main())
    assert all(one.mask is not None for one in server.frames), "a frame that is not masked"
    assert not server.was_reset, "our end of the connection was a reset"
    if server.closes:
        assert server.frames[-1].opcode == CLOSE, "something was sent after the close frame"
        assert len(server.closes) == 1, "two close frames"
    return meeting


def violation(meeting: Meeting) -> ProtocolViolation:
    assert isinstance(meeting.error, ProtocolViolation)
    return meeting.error


# ---- what a server must not send ---------------------------------------------------------------

BAD_TEXT = b"ab\xed\xa0\x80"

VIOLATIONS: dict[str, tuple[int, list[Step]]] = {
    **{
        f"reserved bits {bits:03b}": (1002, [frame(TEXT, b"x", reserved=bits)])
        for bits in range(1, 8)
    },
    "reserved bits on a ping": (1002, [frame(PING, b"x", reserved=4)]),
    "reserved bits on a continuation": (
        1002,
        [frame(TEXT, b"x", fin=False), frame(CONTINUATION, b"x", reserved=4)],
    ),
    "reserved bits on a close frame": (1002, [frame(CLOSE, b"\x03\xe8", reserved=1)]),
    **{
        f"opcode {opcode}": (1002, [frame(opcode, b"x")])
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{
        f"control frame {opcode} in fragments": (1002, [frame(opcode, b"", fin=False)])
        for opcode in (CLOSE, PING, PONG)
    },
    **{
        f"control frame {opcode} of 126 bytes": (1002, [frame(opcode, b"x" * 126)])
        for opcode in (CLOSE, PING, PONG)
    },
    "a ping of 65536 bytes, header only": (1002, [frame(PING, length=65536)]),
    "a masked frame": (1002, [frame(TEXT, b"hello", mask=b"\1\2\3\4")]),
    "a masked empty frame": (1002, [frame(PING, mask=b"\0\0\0\0")]),
    "a continuation of nothing": (1002, [frame(CONTINUATION, b"x")]),
    "a last continuation of nothing": (1002, [frame(CONTINUATION, b"x", fin=False)]),
    "a message inside a message": (1002, [frame(TEXT, b"x", fin=False), frame(TEXT, b"y")]),
    "binary inside text": (1002, [frame(TEXT, b"x", fin=False), frame(BINARY, b"y", fin=False)]),
    "16 bits for 125": (1002, [frame(BINARY, b"x" * 125, length_bytes=2)]),
    "16 bits for 0": (1002, [frame(BINARY, length_bytes=2)]),
    "64 bits for 65535": (1002, [frame(BINARY, length=65535, length_bytes=8)]),
    "64 bits for 5": (1002, [frame(BINARY, b"12345", length_bytes=8)]),
    "the highest bit of the length": (1002, [frame(BINARY, length=1 << 63)]),
    "text that is not UTF-8": (1007, [frame(TEXT, BAD_TEXT)]),
    "text that ends inside a character": (1007, [frame(TEXT, "é".encode()[:1])]),
    "fragments that end inside a character": (
        1007,
        [frame(TEXT, "é".encode()[:1], fin=False), frame(CONTINUATION)],
    ),
    "a bad fragment of a text that goes on": (
        1007,
        [frame(TEXT, "é".encode()[:1], fin=False), frame(CONTINUATION, b"z", fin=False)],
    ),
    "half a close code": (1002, [frame(CLOSE, b"\x03")]),
    **{
        f"close code {code}": (1002, [close_frame(code)])
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a close reason that is not UTF-8": (1007, [close_frame(1000, BAD_TEXT)]),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_fails_the_connection(name: str, link: LinkName) -> None:
    code, steps = VIOLATIONS[name]
    server = HostileServer(frame(TEXT, b"before"), *steps)
    meeting = meet(server, link)
    assert meeting.messages == ["before"]
    assert (violation(meeting).kind, violation(meeting).code) == ("protocol_violation", code)
    assert server.closes == [code]


@pytest.mark.parametrize("name", VIOLATIONS)
def test_nothing_of_one_segment_is_lost_before_a_violation(name: str, link: LinkName) -> None:
    """Whatever came whole before it is handed out, whatever comes behind it is not."""
    code, steps = VIOLATIONS[name]
    script = b"".join(step for step in steps if isinstance(step, bytes))
    tail = frame(TEXT, b"after") if "header only" not in name else b""
    server = HostileServer(frame(TEXT, b"one") + frame(BINARY, b"two") + script + tail, glued=True)
    meeting = meet(server, link)
    assert meeting.messages == ["one", b"two"]
    assert violation(meeting).code == code
    assert server.closes == [code]


@pytest.mark.parametrize(
    "steps",
    [
        [frame(BINARY, length=1001)],
        [frame(TEXT, length=1 << 40)],
        [frame(BINARY, b"x" * 600, fin=False), frame(CONTINUATION, b"x" * 401, fin=False)],
        [frame(BINARY, b"x" * 1001)],
        [*[frame(BINARY if i == 0 else CONTINUATION, b"x" * 200, fin=False) for i in range(6)]],
    ],
    ids=["header", "huge header", "two fragments", "whole", "fragments"],
)
def test_a_message_that_is_too_big(steps: list[Step], link: LinkName) -> None:
    server = HostileServer(frame(BINARY, b"x" * 1000), *steps)
    meeting = meet(server, link, max_message_size=1000)
    assert meeting.messages == [b"x" * 1000]
    assert (violation(meeting).kind, violation(meeting).code) == ("message_too_big", 1009)
    assert server.closes == [1009]


def test_a_fragment_that_is_too_big_is_refused_by_its_header_on_epoll() -> None:
    """picows knows one limit for all frames: it refuses this fragment when it is whole."""
    server = HostileServer(frame(BINARY, b"x" * 600, fin=False), frame(CONTINUATION, length=401))
    assert violation(meet(server, "epoll", max_message_size=1000)).code == 1009
    assert server.closes == [1009]


@pytest.mark.parametrize("first", [frame(3, length=9), frame(PING, length=9, fin=False)])
def test_a_bad_header_needs_no_payload_to_be_refused(first: bytes, link: LinkName) -> None:
    server = HostileServer(first)
    assert violation(meet(server, link)).code == 1002
    assert server.closes == [1002]


def test_a_flood_behind_a_violation_does_not_take_our_close_frame_away(link: LinkName) -> None:
    server = HostileServer(frame(3) + b"\xff" * 3_000_000)
    assert violation(meet(server, link)).code == 1002
    assert server.closes == [1002]


# ---- what it may send ------------------------------------------------------------------------


def test_control_frames_between_fragments(link: LinkName) -> None:
    script = (
        frame(TEXT, "gé".encode()[:2], fin=False)
        + frame(PING, b"1")
        + frame(CONTINUATION, "é".encode()[1:] + b"st", fin=False)
        + frame(PONG, b"nobody asked")
        + frame(PING)
        + frame(CONTINUATION)
        + frame(PING, b"x" * 125)
    )
    expected = [b"1", b"", b"x" * 125]
    for steps in ([script], dribble(script)):
        server = HostileServer(*steps, close_frame(1000))
        meeting = meet(server, link)
        assert meeting.messages == ["gést"]
        assert [one.payload for one in server.frames if one.opcode == PONG] == expected
        assert server.closes == [1000]


def test_empty_messages(link: LinkName) -> None:
    script = (
        frame(TEXT)
        + frame(BINARY)
        + frame(TEXT, fin=False)
        + frame(CONTINUATION, fin=False)
        + frame(CONTINUATION)
    )
    server = HostileServer(script, close_frame(1000))
    assert meet(server, link).messages == ["", b"", ""]


SIZES = (1, 125, 126, 127, 65535, 65536, 16 * 1024 * 1024)


@pytest.mark.parametrize("size", SIZES)
def test_payload_sizes_both_ways(size: int, link: LinkName) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]

    async def talk(session: WebSocketSession, meeting: Meeting) -> None:
        await session.send(payload)
        await session.send("t" * size)
        await listen(session, meeting)

    server = HostileServer(
        WaitFor(TEXT), frame(BINARY, payload), frame(TEXT, b"t" * size), close_frame(1000)
    )
    meeting = meet(server, link, talk)
    assert meeting.messages == [payload, "t" * size]
    sent = [(one.opcode, one.payload, one.fin, one.reserved) for one in server.frames[:2]]
    assert sent == [(BINARY, payload, True, 0), (TEXT, b"t" * size, True, 0)]


def test_every_frame_has_a_mask_of_its_own(link: LinkName) -> None:
    async def talk(session: WebSocketSession, meeting: Meeting) -> None:
        for _ in range(64):
            await session.send(b"the same")

    server = HostileServer()
    meet(server, link, talk)
    assert len({one.mask for one in server.frames}) > 60
    assert {one.payload for one in server.frames[:64]} == {b"the same"}


# ---- the closing handshake -------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_the_servers_close_frame_is_answered_with_its_code(code: int, link: LinkName) -> None:
    server = HostileServer(close_frame(code, "Grüße".encode()))
    meeting = meet(server, link)
    assert isinstance(meeting.error, ClosedByPeer)
    assert (meeting.error.kind, meeting.error.code, meeting.error.reason) == (
        "closed",
        code,
        "Grüße",
    )
    assert (meeting.close_code, meeting.close_reason) == (code, "Grüße")
    assert server.closes == [code]


def test_a_close_frame_without_a_code(link: LinkName) -> None:
    server = HostileServer(close_frame())
    meeting = meet(server, link)
    assert isinstance(meeting.error, ClosedByPeer)
    assert (meeting.error.code, meeting.error.reason) == (1005, "")
    assert server.closes == [1005]


@pytest.mark.parametrize(
    "after",
    [
        frame(TEXT, b"late"),
        close_frame(4000),
        frame(PING, b"late"),
        frame(3),
        b"\xff" * 100,
        frame(BINARY, length=1 << 62) + b"x" * 1000,
    ],
    ids=["data", "close", "ping", "opcode", "garbage", "huge"],
)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_what_follows_the_close_frame_is_ignored(
    after: bytes, together: bool, link: LinkName
) -> None:
    first = close_frame(1001, b"bye")
    steps = [first + after] if together else [first, WaitFor(CLOSE), after]
    server = HostileServer(*steps)
    meeting = meet(server, link)
    assert isinstance(meeting.error, ClosedByPeer)
    assert meeting.error.code == 1001
    assert meeting.messages == []
    assert server.closes == [1001]
    assert len(server.frames) == 1


def test_a_close_frame_inside_a_message_discards_it(link: LinkName) -> None:
    server = HostileServer(frame(TEXT, b"half", fin=False) + close_frame(1000))
    meeting = meet(server, link)
    assert meeting.messages == []
    assert isinstance(meeting.error, ClosedByPeer)
    assert server.closes == [1000]


async def close_first(session: WebSocketSession, meeting: Meeting) -> None:
    ending = session.close(4001, "enough")
    assert not session.is_open
    await ending
    await listen(session, meeting)


def test_our_close_then_data_still_coming(link: LinkName) -> None:
    """What was on its way is handed out; nothing is answered any more (section 5.5.1)."""
    server = HostileServer(
        WaitFor(CLOSE),
        frame(TEXT, b"on its way") + frame(PING, b"not answered"),
        close_frame(4001, b"enough"),
    )
    meeting = meet(server, link, close_first)
    assert meeting.messages == ["on its way"]
    assert not isinstance(meeting.error, TargetError)
    assert meeting.close_code == 4001
    assert [one.payload for one in server.frames] == [struct.pack(">H", 4001) + b"enough"]


@pytest.mark.parametrize(
    "after", [frame(TEXT, b"late"), close_frame(1000), frame(3)], ids=["data", "close", "opcode"]
)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_what_follows_the_answer_to_our_close_is_ignored(
    after: bytes, together: bool, link: LinkName
) -> None:
    answer = close_frame(4001)
    steps: list[Step] = [answer + after] if together else [answer, Pause(0.05), after]
    server = HostileServer(WaitFor(CLOSE), *steps)
    meeting = meet(server, link, close_first)
    assert meeting.messages == []
    assert not isinstance(meeting.error, TargetError)
    assert meeting.close_code == 4001
    assert len(server.frames) == 1


def test_a_violation_after_our_close_frame_is_told_but_not_answered(link: LinkName) -> None:
    server = HostileServer(WaitFor(CLOSE), frame(TEXT, b"x", reserved=2))
    meeting = meet(server, link, close_first)
    assert violation(meeting).code == 1002
    assert server.closes == [4001]


@pytest.mark.parametrize("reset", [False, True], ids=["end of stream", "reset"])
def test_our_close_answered_by_the_end_of_the_stream(reset: bool, link: LinkName) -> None:
    server = HostileServer(WaitFor(CLOSE), Hangup(reset))
    meeting = meet(server, link, close_first)
    assert not isinstance(meeting.error, TargetError)
    assert meeting.close_code == 1006


@pytest.mark.parametrize("reset", [False, True], ids=["end of stream", "reset"])
def test_a_connection_that_ends_without_a_close_frame(reset: bool, link: LinkName) -> None:
    server = HostileServer(frame(TEXT, b"last"), Pause(0.1), Hangup(reset))
    meeting = meet(server, link)
    assert meeting.messages == ["last"]
    assert isinstance(meeting.error, ClosedByPeer)
    assert (meeting.error.kind, meeting.error.code) == ("connection_lost", 1006)
    assert server.frames == []


def test_the_end_of_the_stream_inside_a_frame(link: LinkName) -> None:
    server = HostileServer(frame(TEXT, b"x" * 100, length=200), Pause(0.05), Hangup())
    meeting = meet(server, link)
    assert isinstance(meeting.error, ClosedByPeer)
    assert meeting.error.kind == "connection_lost"


def test_the_last_messages_come_before_the_error(link: LinkName) -> None:
    server = HostileServer(frame(TEXT, b"1") + frame(TEXT, b"2") + close_frame(1011), glued=True)
    meeting = meet(server, link)
    assert meeting.messages == ["1", "2"]
    assert isinstance(meeting.error, ClosedByPeer)
    assert meeting.error.code == 1011


def test_frames_in_single_bytes(link: LinkName) -> None:
    script = frame(TEXT, b"a" * 130) + frame(BINARY, b"b" * 3) + close_frame(1000, b"bye")
    server = HostileServer(*dribble(script))
    meeting = meet(server, link)
    assert meeting.messages == ["a" * 130, b"bbb"]
    assert meeting.close_reason == "bye"


# ---- the upgrade -----------------------------------------------------------------------------


def edited(old: str, new: str) -> Callable[[dict[str, str]], bytes]:
    """The right answer with one thing changed."""

    def answer(headers: dict[str, str]) -> bytes:
        right = upgrade_answer(headers).decode()
        assert old in right
        return right.replace(old, new).encode()

    return answer


GOOD_ANSWERS = {
    "connection list": edited("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
    "two connection headers": edited(
        "Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"
    ),
    "upgrade in capitals": edited("Upgrade: websocket", "UPGRADE: WebSocket"),
    "interim answer": edited("HTTP/1.1 101", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101"),
    "no phrase": edited("101 Switching Protocols", "101"),
    "empty phrase": edited("101 Switching Protocols", "101 "),
    "more headers": edited("\r\n\r\n", "\r\nServer: x\r\nSet-Cookie: a=b\r\nX-Empty:\r\n\r\n"),
    "no blank behind the colon": edited("Upgrade: websocket", "Upgrade:websocket"),
}


@pytest.mark.parametrize("name", GOOD_ANSWERS)
def test_answers_that_will_do(name: str, link: LinkName) -> None:
    server = HostileServer(
        frame(TEXT, b"hi"), close_frame(1000), answer=GOOD_ANSWERS[name], glued=True
    )
    assert meet(server, link).messages == ["hi"]


BAD_ANSWERS = {
    "HTTP/1.0": edited("HTTP/1.1", "HTTP/1.0"),
    "HTTP/2": edited("HTTP/1.1", "HTTP/2"),
    "no HTTP": lambda headers: b"SSH-2.0-OpenSSH_9.6\r\n",
    "line feeds": lambda headers: upgrade_answer(headers).replace(b"\r", b""),
    "two digits": edited("101 ", "10 "),
    "no upgrade": edited("Upgrade: websocket\r\n", ""),
    "another upgrade": edited("Upgrade: websocket", "Upgrade: h2c"),
    "two upgrades": edited("Upgrade: websocket", "Upgrade: websocket, h2c"),
    "no connection": edited("Connection: Upgrade\r\n", ""),
    "another connection": edited("Connection: Upgrade", "Connection: upgraded, close"),
    "no accept": edited("Sec-WebSocket-Accept", "X-Accept"),
    "wrong accept": edited("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: A"),
    "two accepts": edited("\r\n\r\n", "\r\nSec-WebSocket-Accept: x\r\n\r\n"),
    "subprotocol": edited("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
    "empty subprotocol": edited("\r\n\r\n", "\r\nSec-WebSocket-Protocol:\r\n\r\n"),
    "extension": edited("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    "blank before colon": edited("Upgrade: websocket", "Upgrade : websocket"),
    "folded header": edited("\r\n\r\n", "\r\nX: y\r\n  z\r\n\r\n"),
    "no colon": edited("\r\n\r\n", "\r\nnonsense\r\n\r\n"),
    "too long": edited("\r\n\r\n", "\r\nX: " + "y" * 17000 + "\r\n\r\n"),
}


def refused(server: HostileServer, link: LinkName, **options: Any) -> TargetError:
    options |= over(link, server)

    async def main() -> TargetError:
        with pytest.raises(TargetError) as caught:
            await connect(server.url, **options)
        return caught.value

    with server:
        return uvloop.run(main())


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_answers_that_break_the_rules(name: str, link: LinkName) -> None:
    server = HostileServer(answer=BAD_ANSWERS[name])
    error = refused(server, link)
    assert (error.kind, error.phase) == ("upgrade_invalid", "upgrade")
    assert server.frames == []


@pytest.mark.parametrize(
    ("steps", "content"),
    [([Pause(0.05), b"sorry!"], b"sorry!"), ([b"sor", Hangup()], b"sor"), ([], b"")],
    ids=["in parts", "cut short", "never"],
)
def test_the_body_of_a_refusal(steps: list[Step], content: bytes, link: LinkName) -> None:
    """Whatever came of it is told, and a body that never comes does not hide the refusal."""
    head = b"HTTP/1.1 503 Not now\r\nContent-Length: 6\r\n\r\n"
    error = refused(HostileServer(*steps, answer=lambda _: head), link, timeout=0.5)
    assert isinstance(error, HandshakeRejected)
    assert (error.kind, error.phase, error.status) == ("upgrade_rejected", "upgrade", 503)
    assert error.data == content


def test_the_subprotocol_must_be_one_of_ours(link: LinkName) -> None:
    def choose(name: str) -> Callable[[dict[str, str]], bytes]:
        return lambda headers: upgrade_answer(headers, f"Sec-WebSocket-Protocol: {name}")

    server = HostileServer(answer=choose("c"))
    error = refused(server, link, subprotocols=["a", "b"])
    assert error.kind == "upgrade_invalid"
    assert server.headers["sec-websocket-protocol"] == "a, b"

    async def main(url: str, **options: Any) -> str:
        async with connect(url, subprotocols=["a", "b"], **options) as session:
            return session.subprotocol

    server = HostileServer(answer=choose("b"))
    options = over(link, server)
    with server:
        assert uvloop.run(main(server.url, **options)) == "b"


def test_the_request(link: LinkName) -> None:
    server = HostileServer(close_frame(1000))
    meet(server, link, headers={"Cookie": "a=b; c=d", "X-Name": "ghost"})
    assert server.request_line == "GET /hostile HTTP/1.1"
    host = server.url.split("/")[2]
    key = server.headers.pop("sec-websocket-key")
    assert len(key) == 24
    assert server.headers == {
        "host": host,
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "cookie": "a=b; c=d",
        "x-name": "ghost",
    }
