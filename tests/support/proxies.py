"""Tiny proxies, one thread each: CONNECT of HTTP/1.1 and SOCKS 5, with or without a password."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from base64 import b64encode
from types import TracebackType
from typing import Self

DEADLINE_S = 20.0


class Proxy:
    """Listens on a port of its own, takes connections one by one and relays each to its end.

    :param user: what must be presented, "name:password"; None: nobody is asked.
    :param reply: bytes to answer with instead of connecting; the connection is then closed.
    :ivar asked: the targets that clients asked for, as "host:port".
    """

    scheme = ""

    def __init__(self, user: str | None = None, reply: bytes | None = None) -> None:
        self.asked: list[str] = []
        self._user = user
        self._reply = reply
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def url(self, user: str | None = None) -> str:
        credentials = f"{user}@" if user else ""
        return f"{self.scheme}://{credentials}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), DEADLINE_S).close()
        self._thread.join(DEADLINE_S)
        self._listener.close()

    def _run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with client:
                if self._stopping:
                    return
                client.settimeout(DEADLINE_S)
                with contextlib.suppress(OSError):
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        target = self._negotiate(client)
        if target is None:
            return
        self.asked.append(f"{target[0]}:{target[1]}")
        with socket.create_connection(target, DEADLINE_S) as server:
            client.sendall(self.success)
            back = threading.Thread(target=_relay, args=(server, client), daemon=True)
            back.start()
            _relay(client, server)
            back.join(DEADLINE_S)

    success = b""

    def _negotiate(self, client: socket.socket) -> tuple[str, int] | None:
        raise NotImplementedError


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _send_last(client: socket.socket, data: bytes) -> None:
    """Send and end the stream; what the client still sends is read, or a reset would follow."""
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise OSError("the client went away")
        data += piece
    return data


class ConnectProxy(Proxy):
    scheme = "http"
    success = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"

    def _negotiate(self, client: socket.socket) -> tuple[str, int] | None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return None
            head += piece
        if self._reply is not None:
            _send_last(client, self._reply)
            return None
        request, *lines = head.decode().split("\r\n")
        method, authority, _ = request.split(" ")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        assert method == "CONNECT"
        assert headers["host"] == authority
        if self._user is not None:
            wanted = f"Basic {b64encode(self._user.encode()).decode()}"
            if headers.get("proxy-authorization") != wanted:
                answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
                _send_last(client, answer)
                return None
        host, _, port = authority.rpartition(":")
        return host.strip("[]"), int(port)


class SocksProxy(Proxy):
    scheme = "socks5"
    success = b"\x05\x00\x00\x03\x04here\x00\x00"

    def _negotiate(self, client: socket.socket) -> tuple[str, int] | None:
        version, count = _exactly(client, 2)
        assert version == 5
        methods = _exactly(client, count)
        if self._reply is not None:
            _send_last(client, self._reply)
            return None
        if self._user is not None:
            if 2 not in methods:
                _send_last(client, b"\x05\xff")
                return None
            client.sendall(b"\x05\x02")
            _, size = _exactly(client, 2)
            user = _exactly(client, size)
            password = _exactly(client, _exactly(client, 1)[0])
            right = f"{user.decode()}:{password.decode()}" == self._user
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return None
        else:
            client.sendall(b"\x05\x00")
        _, command, _, kind = _exactly(client, 4)
        assert command == 1
        if kind == 3:
            host = _exactly(client, _exactly(client, 1)[0]).decode()
        else:
            host = str(ipaddress.ip_address(_exactly(client, 4 if kind == 1 else 16)))
        return host, int.from_bytes(_exactly(client, 2), "big")
