import socket
from ssl import SSLContext

from ghostcore._engine import Session

async def open_link(
    session: Session,
    sock: socket.socket,
    netloc: str,
    resource: str,
    *,
    ssl: SSLContext | None,
    server_hostname: str | None,
    headers: tuple[tuple[str, str], ...],
    subprotocols: tuple[str, ...],
    max_frame_size: int,
) -> bool: ...
