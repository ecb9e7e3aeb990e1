"""The options of connect() and socketio(): as a caller gives them, and checked."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypedDict

from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore.errors import UsageError
from ghostcore.opening.proxy import Proxy, parse_proxy
from ghostcore.protocol.deflate_offer import DeflateOffer
from ghostcore.protocol.upgrade import checked_headers, checked_subprotocols

__all__ = ["DEFAULT_OPTIONS", "OpeningOptions", "Options"]

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_SEND_TIMEOUT_S = 30.0
DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024


class OpeningOptions(TypedDict, total=False):
    """The keyword arguments that connect() and socketio() share.

    :ivar headers: extra headers of the upgrade: a mapping, or pairs in order.
    :ivar subprotocols: names to offer in Sec-WebSocket-Protocol.
    :ivar timeout: seconds (or "10s") for all of opening, from the look-up of the name to the last
        answer; 10 unless given.
    :ivar send_timeout: seconds (or "30s") that awaiting a send waits for the server to take what is
        buffered; 30 unless given.
    :ivar max_message_size: bytes; a larger message ends the session with close code 1009. 16 MiB
        unless given.
    :ivar ssl: a context, or the path of a PEM file with CA certificates; the system's unless given.
    :ivar insecure: accept any certificate.
    :ivar compression: permessage-deflate (RFC 7692), off unless given: True or "deflate" to offer
        it as browsers do, or a dict of what to offer: client_no_context_takeover and
        server_no_context_takeover (bool), client_max_window_bits (True or 8 to 15) and
        server_max_window_bits (8 to 15). A session that uses it takes some 300 KiB more.
    :ivar proxy: "http://host:port" (CONNECT) or "socks5://host:port", with user:password@ if need
        be; it resolves the name of the server.
    :ivar local_address: source address to connect from, or several that take turns (one has some
        28,000 ports to one server). Unless given, the system chooses; over loopback, from the
        1,000th open session on, 127.0.0.1, 127.0.0.2 and so on take turns.
    :ivar link: what carries the connection: "epoll" (Linux, the default there) or "picows"
        (everything).
    """

    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None
    subprotocols: Sequence[str]
    timeout: float | str
    send_timeout: float | str
    max_message_size: int
    ssl: ssl_module.SSLContext | str | None
    insecure: bool
    compression: bool | Literal["deflate"] | Mapping[str, bool | int | None] | None
    proxy: str | None
    local_address: str | Sequence[str] | None
    link: Literal["epoll", "picows"] | None


@dataclass(frozen=True, slots=True)
class Options:
    """OpeningOptions, checked and immutable, so that thousands of sessions can share one."""

    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    timeout_ns: int = seconds_to_ns(DEFAULT_TIMEOUT_S)
    send_timeout_ns: int = seconds_to_ns(DEFAULT_SEND_TIMEOUT_S)
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    ssl: ssl_module.SSLContext | str | None = None
    insecure: bool = False
    deflate: DeflateOffer | None = None
    proxy: Proxy | None = None
    local_addresses: tuple[str, ...] = ()
    link: str | None = None

    @classmethod
    def build(
        cls,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        subprotocols: Sequence[str] = (),
        timeout: float | str = DEFAULT_TIMEOUT_S,
        send_timeout: float | str = DEFAULT_SEND_TIMEOUT_S,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        ssl: ssl_module.SSLContext | str | None = None,
        insecure: bool = False,
        compression: bool | str | Mapping[str, bool | int | None] | None = None,
        proxy: str | None = None,
        local_address: str | Sequence[str] | None = None,
        link: str | None = None,
    ) -> Options:
        """From the keyword arguments of connect() and socketio(), checked."""
        if link not in (None, "epoll", "picows"):
            raise UsageError(f"link must be 'epoll' or 'picows', got {link!r}")
        if max_message_size < 1:
            raise UsageError(f"max_message_size must be at least 1 byte, got {max_message_size}")
        return cls(
            checked_headers(headers),
            checked_subprotocols(subprotocols),
            seconds_to_ns(parse_duration(timeout, "timeout")),
            seconds_to_ns(parse_duration(send_timeout, "send_timeout")),
            max_message_size,
            ssl,
            insecure,
            DeflateOffer.build(compression),
            None if proxy is None else parse_proxy(proxy),
            _checked_addresses(local_address),
            link,
        )


DEFAULT_OPTIONS = Options()


def _checked_addresses(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    addresses = (given,) if isinstance(given, str) else tuple(given)
    if not addresses:
        raise UsageError("local_address: an empty list; leave it out for the system's choice")
    for address in addresses:
        try:
            ip_address(address.partition("%")[0])
        except (AttributeError, ValueError):
            raise UsageError(
                f"local_address: {address!r} is no IP address of this machine"
            ) from None
    return addresses
