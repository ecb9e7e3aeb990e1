"""One connection to a server, looked at closely."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ghostcore.errors import KINDS, Phase, TargetError
from ghostcore.opening.connect import connect, socketio
from ghostcore.opening.target import Target, parse_target
from ghostcore.opening.tls import TlsContexts
from ghostcore.results.text import clean, three_digits
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.session import Session

__all__ = ["ServerCheck", "check_server"]

TIMEOUT_S = 10.0
GUESS_S = 3.0
"""For Socket.IO to answer where it is only a guess that it is spoken."""
LISTEN_S = 0.5
PINGS = 5


@dataclass
class ServerCheck:
    """What was found, in lines. ``answered``: a session could be opened."""

    answered: bool = False
    lines: list[str] = field(default_factory=list)


class _Phases(NullObserver):
    """Keeps what each phase of opening took, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[Phase, float] = {}

    def phase(self, name: Phase, elapsed_ns: int) -> None:
        self.taken[name] = elapsed_ns / 1e6

    def opened(self, session: Session, tcp_ns: int) -> None:
        self.taken[Phase.TCP] = tcp_ns / 1e6
        self.taken[Phase.UPGRADE] = (session.opened_ns - session._upgrading_ns) / 1e6


async def check_server(url: str, *, insecure: bool = False) -> ServerCheck:
    """Resolve the name, look at TLS, open a session and tell which protocol it speaks.

    :raises UsageError: not a URL.
    """
    target = parse_target(url)
    found = ServerCheck()
    if not await _resolve(target, found):
        return found
    if target.secure and not await _tls(target, found, insecure):
        return found
    kinds: list[Callable[..., Coroutine[Any, Any, None]]] = [_websocket]
    if urlsplit(url).path.rstrip("/") in ("", "/socket.io"):
        kinds.insert(0, _socketio)
    refusals: list[str] = []
    for kind in kinds:
        try:
            await kind(url, found, insecure)
        except TargetError as error:
            what = "connection" if error.phase in ("tcp", "tls") else NAMES[kind]
            refusals.append(f"no {what}: {error.kind} ({KINDS.get(error.kind, '')})")
            refusals.append(f"    {clean(error.detail)}")
            if error.phase in ("tcp", "tls"):
                break
        else:
            found.answered = True
            return found
    found.lines += refusals
    return found


async def _resolve(target: Target, found: ServerCheck) -> bool:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        addresses = await loop.getaddrinfo(target.host, target.port, type=1)
    except OSError as error:
        found.lines.append(f"the name {target.host} does not resolve: {error}")
        return False
    took_ms = 1000 * (loop.time() - began_s)
    shown = ", ".join(dict.fromkeys(str(one[4][0]) for one in addresses))
    name = "" if shown == target.host else f"{target.host} is {shown} ({took_ms:.0f} ms)"
    if name:
        found.lines.append(name)
    return True


async def _tls(target: Target, found: ServerCheck, insecure: bool) -> bool:
    context = TlsContexts().context(None, insecure)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                target.host, target.port, ssl=context, server_hostname=target.host
            )
    except (OSError, TimeoutError) as error:
        found.lines.append(f"no TLS: {clean(str(error)) or 'no answer in time'}")
        return False
    session: ssl.SSLObject = writer.get_extra_info("ssl_object")
    cipher = session.cipher()
    certificate = session.getpeercert() or {}
    text = f"TLS: {session.version()}, {cipher[0] if cipher else 'no cipher'}"
    if certificate.get("notAfter"):
        text += f", certificate until {certificate['notAfter']}"
    elif insecure:
        text += ", certificate not looked at (--insecure)"
    found.lines.append(text)
    writer.close()
    return True


async def _socketio(url: str, found: ServerCheck, insecure: bool) -> None:
    phases = _Phases()
    session = await socketio(url, observer=phases, timeout=GUESS_S, insecure=insecure)
    _tell_phases(found, "Socket.IO 5 over Engine.IO 4", phases)
    await _ping(session, found)
    await session.disconnect()


async def _websocket(url: str, found: ServerCheck, insecure: bool) -> None:
    phases = _Phases()
    session = await connect(url, observer=phases, timeout=TIMEOUT_S, insecure=insecure)
    _tell_phases(found, "WebSocket", phases)
    try:
        message = await session.recv(timeout=LISTEN_S)
    except TargetError:
        pass  # it says nothing by itself, or has closed: the ping will tell
    else:
        shown = clean(repr(message.data[:60]))
        found.lines.append(f"the first message came by itself: {shown}")
        if message.text.startswith("0{"):
            found.lines.append("that is Engine.IO: vu.socketio() speaks it")
    await _ping(session, found)
    await session.close()


def _tell_phases(found: ServerCheck, protocol: str, phases: _Phases) -> None:
    names = {
        Phase.DNS: "name",
        Phase.TCP: "TCP",
        Phase.TLS: "TLS",
        Phase.UPGRADE: "upgrade",
        Phase.ENGINEIO_OPEN: "Engine.IO open",
        Phase.SOCKETIO_CONNECT: "Socket.IO connect",
    }
    taken = ", ".join(
        f"{label} {three_digits(phases.taken[name])}"
        for name, label in names.items()
        if name in phases.taken
    )
    found.lines.append(f"it speaks {protocol}; opened in ms: {taken}")


async def _ping(session: Session, found: ServerCheck) -> None:
    """Round trips of WebSocket pings, which every server has to answer (RFC 6455 section 5.5.2)."""
    times: list[float] = []
    try:
        for _ in range(PINGS):
            times.append(await session.ping(timeout=TIMEOUT_S / PINGS))
    except TargetError as error:
        found.lines.append(f"a ping was not answered: {error.kind}, {clean(error.detail)}")
        return
    times.sort()
    found.lines.append(
        f"round trip of a ping: {three_digits(times[len(times) // 2])} ms "
        f"({three_digits(times[0])} to {three_digits(times[-1])})"
    )


NAMES = {_socketio: "Socket.IO", _websocket: "WebSocket"}
