from collections.abc import Sequence
from typing import Any

from ghostcore.sessions.plain import WebSocketBase
from ghostcore.sessions.session import Flow, Session

class PacedSends(Flow[int]):
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
    def missed(self) -> int: ...
    def stop(self) -> None: ...

class EchoLoop(Flow[int]):
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
