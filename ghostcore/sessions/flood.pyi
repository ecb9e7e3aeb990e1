from collections.abc import Sequence
from typing import Any

from ghostcore.sessions.plain import WebSocketBase
from ghostcore.sessions.session import Flow, Session

class PacedSends(Flow[int]):
    """Messages at a fixed rate, sent by the engine: what ``session.every()`` returns.

    Awaiting it gives the number that were sent, once that is `count` or it was stopped, or raises
    why the session ended. Cancelling what awaits it stops it.

    :ivar sent: messages (Socket.IO: events) sent so far.
    :ivar late_ns_max: the most that one of them was sent after its time, in ns.
    """

    sent: int
    late_ns_max: int
    def __init__(
        self,
        session: Session,
        operation: str,
        interval: float | str,
        parts: Sequence[str | bytes | bytearray | memoryview],
        count: int | None,
    ) -> None: ...
    @property
    def missed(self) -> int:
        """Messages that were due while the socket was full, and that are not sent any more."""
    def stop(self) -> None:
        """Send no more: whoever awaits it gets the number that were sent. Idempotent."""

class EchoLoop(Flow[int]):
    """Round trips with an echo server: what ``session.echo_loop()`` returns.

    :ivar round_trips: how many were completed so far.
    """

    round_trips: int
    def __init__(
        self,
        session: WebSocketBase,
        frame: str | bytes | bytearray | memoryview,
        count: int | None,
        duration: float | str | None,
        in_flight: int,
        timeout: float | str,
        verify: bool,
        metric: Any,
        observer: Any,
    ) -> None: ...
