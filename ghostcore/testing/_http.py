"""The plain HTTP that a WebSocket server answers beside its upgrades: GET, no body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

__all__ = ["HttpRequest", "HttpResponse", "refusal"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One GET request.

    :ivar path: path without query, percent-decoded.
    :ivar query: first value of each query parameter.
    :ivar headers: the headers; look-ups ignore case.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: WSUpgradeRequest) -> HttpRequest:
        """The request that picows parsed."""
        path, _, query = request.path.decode("latin-1").partition("?")
        values: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            values.setdefault(name, value)
        return cls(unquote(path), values, request.headers)

    @property
    def is_upgrade(self) -> bool:
        """Does the client ask for a WebSocket?"""
        return self.headers.get("upgrade", "").lower() == "websocket"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer: a str body is sent as it is, anything else as JSON.

    :ivar status: HTTP status, any but 101.
    :ivar headers: more headers; a Content-Type here replaces the default.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_picows(self) -> WSUpgradeResponseWithListener:
        """In the form that a picows listener factory returns."""
        if isinstance(self.body, str):
            body, kind = self.body.encode(), "text/html; charset=utf-8"
        else:
            body = json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode()
            kind = "application/json; charset=utf-8"
        response = WSUpgradeResponse.create_ok_response(
            body, {"Content-Type": kind, **self.headers}
        )
        response.status = HTTPStatus(self.status)
        return WSUpgradeResponseWithListener(response, None)


def refusal(status: int, text: str) -> WSUpgradeResponseWithListener:
    """A short plain-text answer."""
    return HttpResponse(status, text, {"Content-Type": "text/plain; charset=utf-8"}).to_picows()
