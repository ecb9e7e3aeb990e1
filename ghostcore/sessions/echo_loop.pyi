from typing import Any

from ghostcore.sessions.plain import WebSocketBase
from ghostcore.sessions.session import Flow

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
