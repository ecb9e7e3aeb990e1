"""Negotiation of permessage-deflate (RFC 7692 section 7.1), the client's side, sans-IO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ghostcore.errors import UsageError

__all__ = ["Deflate", "DeflateOffer"]

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?')
_WINDOW_BITS = re.compile(r"[89]|1[0-5]")


@dataclass(frozen=True, slots=True)
class Deflate:
    """What both sides have agreed on. Window sizes are powers of two, as in RFC 7692."""

    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    client_max_window_bits: int = MAX_WINDOW_BITS
    server_max_window_bits: int = MAX_WINDOW_BITS


@dataclass(frozen=True, slots=True)
class DeflateOffer:
    """What the client offers.

    :ivar client_max_window_bits: True: the server may choose; a number: it may choose up to that;
        None: it has no say.
    :ivar server_max_window_bits: the server must not use more; None: it chooses.
    """

    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    client_max_window_bits: int | bool | None = True
    server_max_window_bits: int | None = None

    @classmethod
    def build(cls, compression: object) -> DeflateOffer | None:
        """From the option ``compression`` of connect(), checked; None: no compression."""
        if compression is None or compression is False:
            return None
        if compression is True or compression == "deflate":
            return cls()
        if not isinstance(compression, Mapping):
            raise UsageError(
                "compression must be True, 'deflate' or a dict of the parameters of "
                f"{NAME}, got {compression!r}"
            )
        for name, value in compression.items():
            if name in ("client_no_context_takeover", "server_no_context_takeover"):
                if not isinstance(value, bool):
                    raise UsageError(f"compression: {name} must be True or False, got {value!r}")
            elif name in ("client_max_window_bits", "server_max_window_bits"):
                if value is True and name == "client_max_window_bits":
                    continue
                if value is not None and (type(value) is not int or not 8 <= value <= 15):
                    raise UsageError(f"compression: {name} must be 8 to 15, got {value!r}")
            else:
                raise UsageError(f"compression: {name!r} is no parameter of {NAME}")
        return cls(**compression)

    def header(self) -> str:
        """The value of Sec-WebSocket-Extensions in the request."""
        parts = [NAME]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits is not None:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits is True:
            parts.append("client_max_window_bits")
        elif self.client_max_window_bits:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts)

    def accept(self, values: Sequence[str]) -> Deflate:
        """Judge the answer: the values of its Sec-WebSocket-Extensions headers.

        :raises ValueError: an answer that RFC 7692 section 7.1 forbids to this offer.
        """
        extensions = [part.strip(" \t") for part in ",".join(values).split(",")]
        if len(extensions) != 1:
            raise ValueError(f"more than one extension: {', '.join(extensions)[:120]}")
        name, *parts = extensions[0].split(";")
        if name.strip(" \t") != NAME:
            raise ValueError(f"an extension that was not offered: {name[:60]}")
        found = _parameters(parts)
        for flag in ("client_no_context_takeover", "server_no_context_takeover"):
            if found.get(flag) is not None:
                raise ValueError(f"{flag} takes no value, but has {found[flag]!r}")
        if self.server_no_context_takeover and "server_no_context_takeover" not in found:
            raise ValueError("server_no_context_takeover was asked for and is not granted")
        client_offer = self.client_max_window_bits
        if "client_max_window_bits" in found and not client_offer:
            raise ValueError("client_max_window_bits, which was not offered")
        if self.server_max_window_bits is not None and "server_max_window_bits" not in found:
            raise ValueError("server_max_window_bits was asked for and is not granted")
        # A limit that the offer named binds this side even if the answer is silent about it.
        client_limit = MAX_WINDOW_BITS if client_offer in (None, True) else int(client_offer or 0)
        server_limit = self.server_max_window_bits or MAX_WINDOW_BITS
        server_bits = _window_bits(found, "server_max_window_bits", server_limit)
        if server_bits > server_limit:
            raise ValueError(
                f"server_max_window_bits={server_bits} is more than the {server_limit} of the offer"
            )
        return Deflate(
            "client_no_context_takeover" in found or self.client_no_context_takeover,
            "server_no_context_takeover" in found,
            # The server may allow more than this side means to use (section 7.1.2.2).
            min(_window_bits(found, "client_max_window_bits", client_limit), client_limit),
            server_bits,
        )


def _parameters(parts: Sequence[str]) -> dict[str, str | None]:
    known = DeflateOffer.__slots__
    found: dict[str, str | None] = {}
    for part in parts:
        match = _PARAMETER.fullmatch(part.strip(" \t"))
        if match is None:
            raise ValueError(f"a malformed extension parameter: {part[:60]!r}")
        name: str = match[1]
        if name not in known:
            raise ValueError(f"an unknown parameter of {NAME}: {name[:60]}")
        if name in found:
            raise ValueError(f"{name} twice")
        found[name] = match[2] or match[3]
    return found


def _window_bits(found: Mapping[str, str | None], name: str, default: int) -> int:
    if name not in found:
        return default
    value = found[name]
    if value is None or _WINDOW_BITS.fullmatch(value) is None:
        raise ValueError(f"{name} must be 8 to 15, not {value}")
    return int(value)
