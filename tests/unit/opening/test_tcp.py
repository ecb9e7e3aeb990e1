"""TCP connections, and the errors of dialling."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest

from ghostcore.errors import ConnectFailed, Phase
from ghostcore.opening.target import parse_target
from ghostcore.opening.tcp import connect_failed, tcp_connect

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_addresses_are_tried_in_order() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            target = parse_target(f"ws://127.0.0.1:{port}")
            addresses: list[tuple[int, Any]] = [
                (socket.AF_INET, ("127.0.0.2", port)),  # nobody listens there
                (socket.AF_INET, ("127.0.0.1", port)),
            ]
            with await tcp_connect(loop, target, addresses, "127.0.0.7") as sock:
                assert sock.getsockname()[0] == "127.0.0.7"
                assert sock.getpeername() == ("127.0.0.1", port)
            with pytest.raises(ConnectFailed) as caught:
                await tcp_connect(loop, target, addresses[:1], None)
            assert caught.value.kind == "connection_refused"
            assert caught.value.errno == errno.ECONNREFUSED

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "tcp", "connection_refused"),
        (OSError(errno.EHOSTUNREACH, "x"), "tcp", "unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "tcp", "unreachable"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "tcp", "no_source_port"),
        (OSError(errno.EMFILE, "x"), "tcp", "no_descriptors"),
        (OSError(errno.ETIMEDOUT, "x"), "tcp", "connect_timeout"),
        (OSError(errno.EPERM, "x"), "tcp", "connect_failed"),
        (OSError("odd"), "tcp", "connect_failed"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "tls", "tls_failed"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "upgrade", "upgrade_closed"),
        (ssl.SSLError(1, "x"), "tls", "tls_failed"),
    ],
)
def test_kinds_of_failures(error: OSError, phase: str, kind: str) -> None:
    failure = connect_failed(error, parse_target("ws://h:1/p?q"), Phase(phase))
    assert (failure.kind, failure.phase, failure.url) == (kind, phase, "ws://h:1/p")
    assert str(failure).endswith("[ws://h:1/p]")
