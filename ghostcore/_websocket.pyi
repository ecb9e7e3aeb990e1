from collections.abc import Awaitable

from ghostcore._codec import Message
from ghostcore._engine import Session

class WebSocketBase(Session):
    def recv(self, timeout: float | str | None = None) -> Awaitable[Message]: ...
    def send(self, data: str | bytes | bytearray | memoryview) -> Awaitable[None]: ...
