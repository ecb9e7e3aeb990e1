"""Addresses of hosts: look-ups, made once a minute for all who ask on a loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Any

from ghostcore._engine import Engine
from ghostcore.errors import ConnectFailed, Phase
from ghostcore.opening.target import Target

__all__ = ["DNS_TTL_NS", "Addresses", "Names", "literal_address", "names_of"]

DNS_TTL_NS = 60 * 10**9

Addresses = list[tuple[int, Any]]
"""(family, address) each, in the order in which they are tried."""


def literal_address(target: Target) -> Addresses | None:
    """The (family, address) of a target whose host is an address itself; None: it is a name."""
    host, port = target.host, target.port
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if address.version == 4:
        return [(socket.AF_INET, (host, port))]
    return [(socket.AF_INET6, (host, port, 0, 0))]


def names_of(engine: Engine) -> Names:
    """The names that an engine's loop has looked up."""
    names: Names | None = engine.names
    if names is None:
        names = engine.names = Names(engine.loop)
    return names


@dataclass(slots=True)
class Names:
    """Addresses of the names that a loop has looked up, for DNS_TTL_NS each, and the look-ups that
    are under way."""

    loop: asyncio.AbstractEventLoop
    found: dict[tuple[str, int], tuple[int, Addresses]] = field(default_factory=dict)
    asked: dict[tuple[str, int], asyncio.Task[Addresses]] = field(default_factory=dict)

    def known(self, target: Target, now_ns: int) -> Addresses | None:
        """The addresses of a name that was looked up within the last minute."""
        known = self.found.get((target.host, target.port))
        return known[1] if known is not None and now_ns - known[0] < DNS_TTL_NS else None

    async def resolve(self, target: Target, now_ns: int) -> tuple[Addresses, bool]:
        """The addresses of a target, and whether a look-up was made for it.

        A literal address needs none. A name is looked up once a minute a loop, and once for all who
        ask at the same time, so that 10,000 users do not measure the resolver.

        :raises ConnectFailed: kind ``dns_failure``.
        """
        known = literal_address(target) or self.known(target, now_ns)
        if known is not None:
            return known, False
        key = (target.host, target.port)
        asked = self.asked.get(key)
        first = asked is None
        if asked is None:
            asked = self.asked[key] = self.loop.create_task(self._look_up(key, now_ns))
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # Shielded: who gives up does not take the answer from those who wait for the same.
            return await asyncio.shield(asked), first
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(
                f"the name {target.host!r} could not be resolved: {error}",
                kind="dns_failure",
                phase=Phase.DNS,
                url=target.url,
            ) from None

    async def _look_up(self, key: tuple[str, int], now_ns: int) -> Addresses:
        try:
            infos = await self.loop.getaddrinfo(*key, type=socket.SOCK_STREAM)
            addresses: Addresses = [(family, address) for family, _, _, _, address in infos]
            self.found[key] = (now_ns, addresses)
            return addresses
        finally:
            del self.asked[key]
