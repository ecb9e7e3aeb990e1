import socket
from collections.abc import Sequence
from typing import Any

from ghostcore._engine import Session
from ghostcore._link import Engine
from ghostcore._timers import Waiter
from ghostcore._upgrade import Upgrade

def available() -> bool: ...

class OpenWaiter(Waiter[None]):
    connected_ns: int

class Hub:
    engine: Engine
    live: int
    closed: bool
    def __init__(self, engine: Engine) -> None: ...
    def open(
        self,
        session: Session,
        address: Sequence[Any],
        local_address: str | None,
        upgrade: Upgrade,
        sock: socket.socket | None = None,
    ) -> OpenWaiter: ...
    def close(self) -> None: ...
