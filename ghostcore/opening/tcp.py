"""The TCP connection, and what went wrong on the way in the terms of errors.py."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from contextlib import suppress
from typing import Any, Protocol

from ghostcore.errors import ConnectFailed, Phase, TargetError
from ghostcore.opening.target import Target

__all__ = ["connect_failed", "tcp_connect"]

_KIND_OF_ERRNO = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EADDRNOTAVAIL: "no_source_port",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ETIMEDOUT: "connect_timeout",
}


class Sources(Protocol):
    """Spreads connections over source addresses and ports: the engine of the loop."""

    def loopback_source(self) -> int:
        """The next connection over loopback should come from 127.0.0.1 plus this."""
        ...

    def port_range(self) -> int:
        """What the next connection should give as IP_LOCAL_PORT_RANGE; 0: nothing."""
        ...


async def tcp_connect(
    loop: asyncio.AbstractEventLoop,
    target: Target,
    addresses: list[tuple[int, Any]],
    local_address: str | None,
    sources: Sources | None = None,
) -> socket.socket:
    """A connected, non-blocking socket: the addresses are tried in order.

    :param local_address: numeral of the address to connect from, or None.
    :param sources: how to keep the search for a free port short.
    :raises ConnectFailed: none of them took the connection; the last refusal is told.
    """
    failure: OSError = OSError("no address to connect to")
    for family, address in addresses:
        sock = None
        source = local_address
        if source is None and sources is not None and address[0].startswith("127."):
            nth = sources.loopback_source()
            source = f"127.0.0.{1 + nth}" if nth else None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if source is not None:
                # Leaves the choice of the port to connect(), which may then share ports between
                # targets: bind() alone would reserve one for every target.
                sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                sock.bind((source, 0))
            ports = 0 if sources is None else sources.port_range()
            if ports:
                with suppress(OSError):  # an older kernel, which is slow
                    sock.setsockopt(socket.IPPROTO_IP, 51, ports)  # IP_LOCAL_PORT_RANGE
            await loop.sock_connect(sock, address)
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            return sock
    raise connect_failed(failure, target, Phase.TCP) from failure


def connect_failed(error: OSError, target: Target, phase: Phase) -> TargetError:
    """The TargetError for an OSError (ssl.SSLError is one) of a phase of the handshake."""
    if phase is Phase.TCP and error.errno in (errno.ECONNRESET, errno.EPIPE):
        # A refusal has a number of its own: this is a connection that was made, and reset before
        # we came to look.
        phase = Phase.TLS if target.secure else Phase.UPGRADE
    if isinstance(error, ssl.SSLCertVerificationError):
        kind, detail = "tls_certificate", f"the certificate was refused: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        kind = "tls_failed"
        detail = f"the TLS handshake failed: {getattr(error, 'reason', None) or error}"
    elif phase is Phase.TLS:
        kind, detail = "tls_failed", f"the connection ended in the TLS handshake: {error}"
    elif phase is Phase.UPGRADE:
        kind, detail = "upgrade_closed", f"the connection ended before the upgrade: {error}"
    else:
        kind = _KIND_OF_ERRNO.get(error.errno or 0, "connect_failed")
        # The system's words: asyncio puts "Connect call failed" in their place.
        reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
        detail = f"cannot connect to {target.host}:{target.port}: {reason}"
    return ConnectFailed(detail, kind=kind, phase=phase, url=target.url, errno=error.errno)
