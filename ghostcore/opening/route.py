"""Where sessions go and how: what all who open them with the same arguments have in common."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from ghostcore.opening.names import literal_address
from ghostcore.opening.options import DEFAULT_OPTIONS, Options
from ghostcore.opening.target import Target, parse_target
from ghostcore.opening.tls import TlsContexts
from ghostcore.protocol.handshake import Judge, Request
from ghostcore.sessions.socketio_session import SocketIOSession

__all__ = ["Route", "Routes"]

ROUTES_KEPT = 256
CHOICES_KEPT = 64


class Route:
    """The arguments of connect() or socketio(), checked, and what follows from them alone.

    :ivar request: makes the HTTP upgrade of each attempt.
    :ivar addresses: where the host is the numeral of one, as (family, address); else None.
    :ivar direct: it can do with the epoll link from the first step, where there is one.
    """

    __slots__ = ("_contexts", "addresses", "direct", "options", "request", "target")

    def __init__(
        self, target: Target, options: Options, request: Request, contexts: TlsContexts
    ) -> None:
        self.target = target
        self.options = options
        self.request = request
        self.addresses = literal_address(target)
        self.direct = options.proxy is None and options.link != "picows"
        self._contexts = contexts

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS context of the next session; None for a target without TLS.

        :raises UsageError: there can be none with these options.
        """
        if not self.target.secure:
            return None
        return self._contexts.context(self.options.ssl, self.options.insecure)


class Routes:
    """The routes of those who share them: the users of a scenario; outside of runs, the process.

    Users give the same arguments over and over, and thousands of them share what was made of these.
    Where only the URL differs, as with a token in its query, they still share the options, the TLS
    context and what is known of the server's answers.
    """

    __slots__ = ("_contexts", "_judges", "_options", "_shared", "socketio_maker")

    def __init__(self) -> None:
        self._contexts = TlsContexts()
        self._judges = lru_cache(maxsize=CHOICES_KEPT)(Judge)
        # What differs in its type only, as 1 and True, is not the same.
        self._options = lru_cache(maxsize=CHOICES_KEPT, typed=True)(Options.build)
        self._shared = lru_cache(maxsize=ROUTES_KEPT, typed=True)(
            partial(_make, self._contexts, self._judges, self._options)
        )
        self.socketio_maker: Callable[[str], Callable[..., SocketIOSession]]
        self.socketio_maker = lru_cache(maxsize=CHOICES_KEPT)(_socketio_maker)

    def route(self, url: str, socketio_path: str | None, given: Mapping[str, Any]) -> Route:
        """The route for a URL and keyword arguments of connect() and socketio().

        :param socketio_path: as for :func:`parse_target`.
        :raises UsageError: a value that cannot be. :raises TypeError: no such argument.
        """
        try:
            return self._shared(url, socketio_path, **given)
        except TypeError:
            if _hashable((url, socketio_path, *given.values())):
                raise
        # A dict of headers or a list of addresses, which cannot be looked up.
        return _make(self._contexts, self._judges, Options.build, url, socketio_path, **given)


def _make(
    contexts: TlsContexts,
    judges: Callable[..., Judge],
    options_of: Callable[..., Options],
    url: str,
    path: str | None,
    /,
    **given: Any,
) -> Route:
    target = parse_target(url, socketio_path=path)
    options = options_of(**given) if given else DEFAULT_OPTIONS
    request = Request(
        target.netloc,
        target.resource,
        options.headers,
        options.subprotocols,
        options.deflate,
        judges(options.subprotocols, options.deflate),
    )
    return Route(target, options, request, contexts)


def _socketio_maker(namespace: str) -> Callable[..., SocketIOSession]:
    """Makes sessions without a payload of their own in the connect packet."""
    return partial(SocketIOSession, None, namespace)


def _hashable(given: tuple[Any, ...]) -> bool:
    try:
        hash(given)
    except TypeError:
        return False
    return True
