"""A URL, taken apart: where a session goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ghostcore.errors import UsageError

__all__ = ["Target", "parse_target"]

_SCHEMES = {"ws": (False, 80), "http": (False, 80), "wss": (True, 443), "https": (True, 443)}

_PATH = re.compile(r"[!$->@-~]*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points. ``url`` is for messages: without query and credentials."""

    host: str
    port: int
    secure: bool
    resource: str
    netloc: str
    url: str


def parse_target(url: str, *, socketio_path: str | None = None) -> Target:
    """Take a URL apart.

    :param url: ws, wss, http or https; http means ws, https means wss.
    :param socketio_path: the server's Engine.IO path (``/socket.io/``). Where it is given, the path
        and the query that Engine.IO 4 over WebSocket wants are added to a URL that names neither.
    :raises UsageError: not such a URL.
    """
    if not isinstance(url, str) or "://" not in url:
        raise UsageError(f"not a URL: {url!r}. Expected something like ws://127.0.0.1:3001")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not a URL: {url!r} ({error})") from None
    if parts.scheme not in _SCHEMES:
        raise UsageError(f"{url!r}: the scheme must be ws, wss, http or https")
    if not parts.hostname:
        raise UsageError(f"{url!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise UsageError("credentials in a URL end up in logs: pass them with headers= or auth=")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise UsageError(f"{url!r} contains white space or control characters: escape them")
    if not url.isascii():
        raise UsageError(f"{url!r} is not ASCII: escape the path, give the host in its xn-- form")
    if port == 0:
        raise UsageError(f"{url!r}: nothing can listen on port 0")
    if "#" in url:
        raise UsageError(f"{url!r}: a WebSocket URL has no fragment; '#' is written %23")
    secure, default_port = _SCHEMES[parts.scheme]
    path, query = parts.path, parts.query
    if socketio_path is not None:
        path, query = _engineio_resource(url, path, query, socketio_path)
    resource = (path or "/") + (f"?{query}" if query else "")
    netloc = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
    if port is not None and port != default_port:
        netloc = f"{netloc}:{port}"
    scheme = "wss" if secure else "ws"
    return Target(
        parts.hostname, port or default_port, secure, resource, netloc, f"{scheme}://{netloc}{path}"
    )


def _engineio_resource(url: str, path: str, query: str, socketio_path: str) -> tuple[str, str]:
    if not isinstance(socketio_path, str) or _PATH.fullmatch(socketio_path) is None:
        raise UsageError(
            f"path={socketio_path!r}: expected a path of ASCII, as /socket.io/, without query, "
            "fragment, white space and control characters"
        )
    stripped = socketio_path.strip("/")
    wanted = f"/{stripped}/" if stripped else "/"
    if path in ("", "/") or path.rstrip("/") + "/" == wanted:
        path = wanted
    else:
        raise UsageError(
            f"{url!r}: the path must be empty or {wanted}. For a server mounted elsewhere pass "
            f"path={path!r}; for a namespace pass namespace={path!r}"
        )
    if "EIO=" not in query:
        query = (query + "&" if query else "") + "EIO=4&transport=websocket"
    return path, query
