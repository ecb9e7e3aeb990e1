from collections.abc import Awaitable

from ghostcore.protocol.codec import Message
from ghostcore.sessions.session import Session

class WebSocketBase(Session):
    def recv(self, timeout: float | str | None = None) -> Awaitable[Message]: ...
    def send(self, data: str | bytes | bytearray | memoryview) -> Awaitable[None]: ...
