"""Every error that ghostcore raises, as one tree that says whose fault it was.

::

    GhostError
    |-- UsageError (also ValueError)   the caller's fault: wrong argument, wrong moment
    |   |-- InvalidPlan                a run that cannot start; carries every problem found
    |   `-- DataExhausted              a start for which a feeder of unique rows has none left
    |-- TargetError                    the server's or the network's fault: counted
    |   |-- ConnectFailed              no connection: name, route, refusal, TLS
    |   |-- HandshakeRejected          connected, but not upgraded or not let in
    |   |-- ClosedByPeer               the other side closed or reset an open connection
    |   |-- ErrorReply                 the server answered that a request failed
    |   |-- ProtocolViolation          the other side broke WebSocket, Engine.IO or Socket.IO
    |   `-- Timeout (also TimeoutError)  no answer within the deadline
    `-- EngineError                    ours, always a bug worth a report

    ScriptAborted (BaseException)      vu.abort(): ends the run, exit code 108

A :class:`TargetError` carries fields, not only text: ``kind`` is the stable name under which the
error is counted (the table in ``KINDS``), ``phase`` says how far the connection had come. Errors
that are not the server's are counted under the kinds in ``OWN_KINDS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, TypedDict, Unpack

__all__ = [
    "DATA_EXHAUSTED",
    "KINDS",
    "OWN_KINDS",
    "SCRIPT_ERROR",
    "ClosedByPeer",
    "ConnectFailed",
    "DataExhausted",
    "EngineError",
    "ErrorReply",
    "GhostError",
    "HandshakeRejected",
    "InvalidPlan",
    "OwnKind",
    "Phase",
    "ProtocolViolation",
    "ScriptAborted",
    "TargetError",
    "Timeout",
    "UsageError",
    "meaning_of",
]

KINDS: dict[str, str] = {
    "dns_failure": "the host name could not be resolved",
    "connection_refused": "nothing listens at that address and port",
    "unreachable": "no route to the host or network",
    "no_source_port": "this machine has no free source address and port left for that target",
    "no_descriptors": "this process may not open more files",
    "connect_failed": "the TCP connection failed for another reason",
    "proxy_failed": "the proxy could not be reached, or did not make the connection",
    "connect_timeout": "no TCP connection, TLS session or upgrade within the connect deadline",
    "tls_failed": "the TLS handshake failed",
    "tls_certificate": "the server's certificate was not accepted",
    "upgrade_rejected": "an HTTP answer other than 101",
    "upgrade_invalid": "an answer to the upgrade that breaks RFC 6455 (or is no HTTP at all)",
    "upgrade_closed": "the connection ended before the upgrade was answered",
    "open_timeout": "no Engine.IO open packet or Socket.IO connect answer within the deadline",
    "connect_error": "the Socket.IO namespace refused the connection",
    "closed": "the server closed the connection with a close frame",
    "connection_lost": "the connection ended without a close frame (reset or end of stream)",
    "ping_timeout": "the server's Engine.IO pings stopped",
    "protocol_violation": "the server sent what its protocol forbids",
    "message_too_big": "a message over max_message_size",
    "receive_timeout": "no message within the deadline",
    "send_timeout": "the server took nothing of what was sent within the deadline",
    "error_reply": "an event that says that a request failed",
    "reply_timeout": "no reply to a request within the deadline",
    "ack_timeout": "no acknowledgement of a call within the deadline",
    "not_connected": "an operation on a session that had ended",
}
"""The kinds under which target errors are counted, and what each means."""

SCRIPT_ERROR = "script_error"
DATA_EXHAUSTED = "data_exhausted"


class OwnKind(NamedTuple):
    """A kind of error that is not the server's.

    :ivar counter: the built-in metric that counts it; ``ws_errors`` does not.
    :ivar meaning: what it means, in one line.
    """

    counter: str
    meaning: str


OWN_KINDS: dict[str, OwnKind] = {
    SCRIPT_ERROR: OwnKind("script_errors", "an error of the script's own, not of the server's"),
    DATA_EXHAUSTED: OwnKind("data_exhausted", "a feeder of unique rows had none left for a start"),
}
"""The kinds that are listed among the errors of a run and are not the server's."""


def meaning_of(kind: str) -> str:
    """What a kind of error means, in one line; "" for a kind that is in neither table."""
    own = OWN_KINDS.get(kind)
    return KINDS.get(kind, "") if own is None else own.meaning


class Phase(StrEnum):
    """How far a connection has come: the phases of opening a session, in order, then the session.

    Errors (``phase``) and metrics (``ws_dns`` to ``ws_upgrade``, ``engineio_open``,
    ``socketio_connect``) use the same words.
    """

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    UPGRADE = "upgrade"
    ENGINEIO_OPEN = "engineio_open"
    SOCKETIO_CONNECT = "socketio_connect"
    SESSION = "session"

    @property
    def unfinished(self) -> str:
        """What is known where an attempt got no further than this."""
        return _UNFINISHED[self]


_UNFINISHED = {
    Phase.DNS: "the name of the host was not resolved",
    Phase.TCP: "the TCP connection was not answered",
    Phase.TLS: "the TLS handshake did not end",
    Phase.UPGRADE: "the upgrade was not answered",
    Phase.ENGINEIO_OPEN: "upgraded, but no Engine.IO open packet came",
    Phase.SOCKETIO_CONNECT: "the Engine.IO session is open, but the namespace was not joined",
    Phase.SESSION: "the session is open",
}


class GhostError(Exception):
    """Root of all errors of ghostcore (but :class:`ScriptAborted`)."""


class UsageError(GhostError, ValueError):
    """The caller asked for something that cannot be: the message says what was expected."""


class InvalidPlan(UsageError):
    """A run that cannot start. ``problems`` lists everything that is wrong, not only the first."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class DataExhausted(UsageError):
    """A feeder whose rows are given once each has none left for this start.

    Where a scenario lets it escape, it is counted as ``data_exhausted``, its user makes no more
    starts, and the run is inconclusive: less load was made than planned.
    """


class TargetFields(TypedDict, total=False):
    """What every TargetError may be given; see there."""

    kind: str | None
    phase: Phase | None
    url: str
    elapsed_ms: float
    age_s: float


class TargetError(GhostError):
    """The server or the network failed. Counted under ``kind`` at the boundary of an iteration.

    :ivar kind: a key of ``KINDS``.
    :ivar phase: a :class:`Phase`, which is a str: how far the connection had come.
    :ivar url: the URL of the session, without its query.
    :ivar elapsed_ms: time since the operation that failed began, in ms; NaN where none applies.
    :ivar age_s: age of the connection in seconds, from the 101 to the error; NaN without one.
    """

    default_kind = "connect_failed"
    default_phase = Phase.SESSION

    def __init__(
        self,
        detail: str,
        *,
        kind: str | None = None,
        phase: Phase | None = None,
        url: str = "",
        elapsed_ms: float = float("nan"),
        age_s: float = float("nan"),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind or self.default_kind
        self.phase = self.default_phase if phase is None else Phase(phase)
        self.url = url
        self.elapsed_ms = elapsed_ms
        self.age_s = age_s

    def __str__(self) -> str:
        return f"{self.detail} [{self.url}]" if self.url else self.detail


class ConnectFailed(TargetError):
    """No connection could be made. ``errno`` is the system's number where there is one."""

    default_phase = Phase.TCP

    def __init__(
        self, detail: str, *, errno: int | None = None, **fields: Unpack[TargetFields]
    ) -> None:
        super().__init__(detail, **fields)
        self.errno = errno


class HandshakeRejected(TargetError):
    """The server answered the upgrade or the Socket.IO connect with a refusal.

    :ivar status: HTTP status, 0 where there was no HTTP answer.
    :ivar data: what the server said: the HTTP body (its first 512 bytes, if it tells its length or
        came with the head) or the payload of the Socket.IO connect error.
    """

    default_kind = "upgrade_rejected"
    default_phase = Phase.UPGRADE

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        data: object = None,
        **fields: Unpack[TargetFields],
    ) -> None:
        super().__init__(detail, **fields)
        self.status = status
        self.data = data


class ClosedByPeer(TargetError):
    """The connection ended and we did not end it.

    :ivar code: close code of RFC 6455 section 7.1.5: 1005 for a close frame without a code, 1006
        for no close frame at all.
    :ivar reason: the reason in the close frame.
    """

    default_kind = "closed"

    def __init__(
        self,
        detail: str,
        *,
        code: int = 1006,
        reason: str = "",
        **fields: Unpack[TargetFields],
    ) -> None:
        super().__init__(detail, **fields)
        self.code = code
        self.reason = reason


class ErrorReply(TargetError):
    """A request was answered with an event that says that it failed. ``event`` is that event."""

    default_kind = "error_reply"

    def __init__(
        self, detail: str, *, event: object = None, **fields: Unpack[TargetFields]
    ) -> None:
        super().__init__(detail, **fields)
        self.event = event


class ProtocolViolation(TargetError):
    """The server sent what its protocol forbids. ``code`` is the close code that we answer with."""

    default_kind = "protocol_violation"

    def __init__(self, detail: str, *, code: int = 1002, **fields: Unpack[TargetFields]) -> None:
        super().__init__(detail, **fields)
        self.code = code


class Timeout(TargetError, TimeoutError):
    """No answer within the deadline. ``limit_s`` is the deadline in seconds."""

    default_kind = "receive_timeout"

    def __init__(
        self, detail: str, *, limit_s: float = float("nan"), **fields: Unpack[TargetFields]
    ) -> None:
        super().__init__(detail, **fields)
        self.limit_s = limit_s


class EngineError(GhostError):
    """A fault of ghostcore itself. Always a bug: please report it with its traceback."""


class ScriptAborted(BaseException):
    """Raised by ``vu.abort()``; a BaseException, so that ``except Exception`` cannot hide it."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
