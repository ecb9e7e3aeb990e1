import socket
import ssl
from typing import Any, TypeVar

from ghostcore._engine import Engine
from ghostcore.protocol.handshake import Upgrade
from ghostcore.sessions.session import Attempt, Opener, Session

_SessionT = TypeVar("_SessionT", bound=Session)

def available() -> bool:
    """Whether this platform has what the link needs."""

class EpollOpener(Opener[_SessionT]):
    """Dials before it waits for the upgrade."""

class Hub:
    """The epoll links of one engine.

    :ivar engine: whose loop the links run on.
    :ivar live: links whose descriptor is open.
    :ivar closed: :meth:`close` was called.
    """

    engine: Engine
    live: int
    closed: bool
    def __init__(self, engine: Engine) -> None: ...
    def connect(
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
    ) -> EpollOpener[_SessionT]:
        """Connect and upgrade; awaiting what is returned gives the session when it is ready.

        :param attempt, limit_ns: as for Opener.
        :param since_ns: when the connection began, for the time that TCP took.
        :param addresses: (family, (host, port)) or (family, (host, port, flow, scope)), the hosts
            as numerals; they are tried in order.
        :param local_address: numeral of the address to connect from, or None.
        :param upgrade: the Upgrade to ask for.
        :param sock: a connected socket to use instead of connecting to an address; the link takes
            its descriptor.
        :param tls_context: SSLContext of a connection by TLS.
        :param server_hostname: whom the certificate must be for.
        """
    def close(self) -> None:
        """Close every connection and give the descriptor back. Idempotent."""
    def _on_ready(self) -> None: ...
