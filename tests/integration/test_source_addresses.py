"""Source addresses: one has too few ports, and looking for a free one is slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

import ghostcore
from ghostcore.errors import UsageError
from ghostcore.testing import EchoServer, ServerProcess
from tests.support.waiting import gone

LINKS: list[Literal["epoll", "picows"]] = ["epoll", "picows"]


def local_ends(url: str) -> Iterator[tuple[str, int]]:
    """Address and port of each connection to that server that this machine has open now."""
    port = urlsplit(url).port
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if state == "01" and remote.endswith(f":{port:04X}"):
            address, _, local_port = local.partition(":")
            octets = bytes.fromhex(address)[::-1]
            yield ".".join(map(str, octets)), int(local_port, 16)


def sources(url: str) -> Counter[str]:
    return Counter(address for address, _ in local_ends(url))


def parities(url: str) -> Counter[int]:
    return Counter(port % 2 for _, port in local_ends(url))


@pytest.mark.parametrize("link", LINKS)
def test_several_addresses_take_turns(run: Any, link: Literal["epoll", "picows"]) -> None:
    async def main(url: str) -> None:
        own = ["127.0.0.3", "127.0.0.4", "127.0.0.5"]
        sessions = [await ghostcore.connect(url, local_address=own, link=link) for _ in range(9)]
        assert sources(url) == dict.fromkeys(own, 3)
        for session in sessions:
            session.abort()
            await gone(session)

    with ServerProcess(EchoServer) as server:
        run(main(server.url))


@pytest.mark.parametrize("link", LINKS)
def test_thousands_over_loopback_spread_by_themselves(
    run: Any, link: Literal["epoll", "picows"]
) -> None:
    async def main(url: str) -> None:
        sessions = [await ghostcore.connect(url, link=link) for _ in range(1000)]
        assert sources(url) == {"127.0.0.1": 1000}
        sessions += [await ghostcore.connect(url, link=link) for _ in range(200)]
        assert sources(url) == {"127.0.0.1": 1100, "127.0.0.2": 100}
        for session in sessions:
            session.abort()
        await asyncio.gather(*(gone(session) for session in sessions))

    with ServerProcess(EchoServer) as server:
        run(main(server.url))


@pytest.mark.parametrize("link", LINKS)
def test_thousands_from_one_address_take_ports_of_both_parities(
    run: Any, link: Literal["epoll", "picows"]
) -> None:
    """connect(2) alone takes those of one parity until they are used up."""

    async def main(url: str) -> None:
        def connect() -> Any:
            return ghostcore.connect(url, link=link, local_address="127.0.0.7")

        sessions = [await connect() for _ in range(1000)]
        first = parities(url)
        sessions += [await connect() for _ in range(200)]
        both = parities(url)
        for session in sessions:
            session.abort()
        await asyncio.gather(*(gone(session) for session in sessions))
        assert set(first) in ({0}, {1}) and sum(both.values()) == 1200
        assert min(both.values()) >= 50  # of 200 that could take either

    with ServerProcess(EchoServer) as server:
        run(main(server.url))


@pytest.mark.parametrize("wrong", ["here", "127.0.0", [], ["127.0.0.2", 7]])
def test_what_is_no_address_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="local_address"):
        ghostcore.connect("ws://127.0.0.1:1", local_address=wrong)
