"""The plain HTTP that a WebSocket server answers beside its upgrades."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from multidict import CIMultiDict
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

__all__ = [
    "WEBSOCKET_ONLY",
    "BadRequest",
    "HttpRequest",
    "HttpResponse",
    "parse_head",
    "refusal",
]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. Servers without `full_http` take GET requests only, without body.

    :ivar path: path without query, percent-decoded.
    :ivar query: first value of each query parameter.
    :ivar headers: the headers; look-ups ignore case.
    :ivar peer: address of the client; empty where it is not known.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""
    peer: str = ""

    @classmethod
    def at(
        cls, target: str, headers: Mapping[str, str], method: str = "GET", peer: str = ""
    ) -> HttpRequest:
        """The request for a target: path and query as they came."""
        path, _, query = target.partition("?")
        values: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            values.setdefault(name, value)
        return cls(unquote(path), values, headers, method, peer=peer)

    @classmethod
    def of(cls, request: WSUpgradeRequest) -> HttpRequest:
        """The request that picows parsed."""
        return cls.at(request.path.decode("latin-1"), request.headers)

    @property
    def is_upgrade(self) -> bool:
        """Does the client ask for a WebSocket?"""
        return self.headers.get("upgrade", "").lower() == "websocket"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer: a str or bytes body is sent as it is, anything else as JSON.

    :ivar status: HTTP status, any but 101.
    :ivar headers: more headers; a Content-Type here replaces the default.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> tuple[bytes, str]:
        """The body in bytes, and its type."""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/html; charset=utf-8"
        text = json.dumps(self.body, separators=(",", ":"), ensure_ascii=False)
        body = text.encode(errors="backslashreplace")  # half of a surrogate pair: as \ud800
        return body, "application/json; charset=utf-8"

    def to_picows(self) -> WSUpgradeResponseWithListener:
        """In the form that a picows listener factory returns."""
        body, kind = self.content()
        response = WSUpgradeResponse.create_ok_response(
            body, {"Content-Type": kind, **self.headers}
        )
        response.status = HTTPStatus(self.status)
        return WSUpgradeResponseWithListener(response, None)

    def to_bytes(self, *, keep_alive: bool, with_body: bool) -> bytes:
        """As it goes over the wire."""
        body, kind = self.content()
        fields = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Connection": "keep-alive" if keep_alive else "close",
            **self.headers,
        }
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        head += [f"{name}: {value}" for name, value in fields.items()]
        text = "\r\n".join([*head, "", ""]).encode("latin-1")
        return text + body if with_body else text


_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}

WEBSOCKET_ONLY = HttpResponse(426, "This server speaks WebSocket only.", _PLAIN)


def refusal(status: int, text: str) -> WSUpgradeResponseWithListener:
    """A short plain-text answer."""
    return HttpResponse(status, text, _PLAIN).to_picows()


class BadRequest(ValueError):
    """What came is no HTTP request."""


def parse_head(head: bytes) -> tuple[str, str, str, CIMultiDict[str]]:
    """Method, target, version and headers of a request's head (RFC 9112 section 3 and 5).

    :raises BadRequest: it is none.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[0].isalpha() or not parts[1]:
        raise BadRequest(f"malformed request line {first[:100]!r}")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(f"unknown version {version[:20]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(f"malformed header {line[:100]!r}")
        headers.add(name, value.strip(" \t"))
    return method, target, version, headers
