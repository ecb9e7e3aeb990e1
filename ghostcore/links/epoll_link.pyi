import socket
import ssl
from typing import Any, TypeVar

from ghostcore._engine import Engine
from ghostcore.protocol.handshake import Upgrade
from ghostcore.sessions.session import Attempt, Opener, Session

_SessionT = TypeVar("_SessionT", bound=Session)

def available() -> bool: ...

class EpollOpener(Opener[_SessionT]): ...

class Hub:
    engine: Engine
    live: int
    closed: bool
    def __init__(self, engine: Engine) -> None: ...
    def open(
        self,
        session: _SessionT,
        attempt: Attempt[_SessionT],
        limit_ns: int,
        since_ns: int,
        addresses: list[tuple[int, Any]],
        local_address: str | None,
        upgrade: Upgrade,
        sock: socket.socket | None = None,
        tls_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> EpollOpener[_SessionT]: ...
    def close(self) -> None: ...
    def _on_ready(self) -> None: ...
