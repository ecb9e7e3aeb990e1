from collections.abc import Sequence

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
