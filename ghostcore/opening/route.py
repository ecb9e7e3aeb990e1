"""Where sessions go and how: what all who open them with the same arguments have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ghostcore.opening.dial import Target, literal_address, parse_target
from ghostcore.opening.options import Options, options_of
from ghostcore.protocol.handshake import Request

__all__ = ["Route", "route_of"]


class Route:
    """The arguments of connect() or socketio(), checked, and what follows from them alone.

    :ivar request: makes the HTTP upgrade of each attempt.
    :ivar addresses: where the host is the numeral of one, as (family, address); else None.
    :ivar direct: it can do with the epoll link from the first step, where there is one.
    """

    __slots__ = ("addresses", "direct", "options", "request", "target")

    def __init__(self, target: Target, options: Options) -> None:
        self.target = target
        self.options = options
        self.addresses = literal_address(target)
        self.direct = options.proxy is None and options.link != "picows"
        self.request = Request(
            target.netloc, target.resource, options.headers, options.subprotocols, options.deflate
        )


def route_of(url: str, socketio_path: str | None, given: Mapping[str, Any]) -> Route:
    """The route for a URL and keyword arguments of connect() and socketio().

    Users give the same ones over and over: they share what was made of them, if it can be looked
    up. What differs in its type only, as 1 and True, is not the same.

    :param socketio_path: as for :func:`parse_target`.
    :raises UsageError: a value that cannot be. :raises TypeError: no such argument.
    """
    try:
        return _shared(url, socketio_path, **given)
    except TypeError:  # a dict of headers cannot be looked up; anything else is told below
        pass
    return _make(url, socketio_path, **given)


def _make(url: str, path: str | None, /, **given: Any) -> Route:
    return Route(parse_target(url, socketio_path=path), options_of(given))


_shared = lru_cache(maxsize=256, typed=True)(_make)
