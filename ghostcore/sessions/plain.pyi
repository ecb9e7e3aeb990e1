from collections.abc import Awaitable

from ghostcore.protocol.codec import Message
from ghostcore.sessions.session import Session

class WebSocketBase(Session):
    """A plain WebSocket: messages in the order in which they came, none lost."""

    def recv(self, timeout: float | str | None = None) -> Awaitable[Message]:
        """The next :class:`Message`. Awaitable, by one task at a time.

        Messages that had come before the session ended are handed out first.

        :param timeout: seconds (or "2s") to wait; None waits until the session ends.
        :raises Timeout: when awaited, kind ``receive_timeout``: no message came in time.
        :raises ClosedByPeer: when awaited: the connection ended.
        :raises ProtocolViolation: when awaited: the server broke the protocol.
        :raises UsageError: when awaited: another task is receiving from this session already, the
            session is not connected yet, or this side has closed it.
        """
    def send(self, data: str | bytes | bytearray | memoryview) -> Awaitable[None]:
        """Send one message at once.

        :param data: str as text, bytes-like as binary.
        :returns: an awaitable that completes when the socket has room again, at once as a rule:
            awaiting it is back-pressure.
        :raises UsageError: the session is not connected yet, or this side has closed it.
        :raises TargetError: the session has ended; nothing was sent or counted.
        :raises Timeout: when awaited, kind ``send_timeout``: the server reads nothing.
        """
    def _pump(self) -> None: ...
