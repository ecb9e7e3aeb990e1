"""Source addresses: one has too few ports, and looking for a free one is slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from waiting import gone

import ghostcore
from ghostcore.errors import UsageError
from ghostcore.testing import EchoServer, ServerProcess

LINKS: list[Literal["epoll", "picows"]] = ["epoll", "picows"]


def sources(url: str) -> Counter[str]:
    """Source addresses of the connections to that server that this machine has open now."""
    port = urlsplit(url).port
    found: Counter[str] = Counter()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if state == "01" and remote.endswith(f":{port:04X}"):
            octets = bytes.fromhex(local.partition(":")[0])[::-1]
            found[".".join(map(str, octets))] += 1
    return found


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


@pytest.mark.parametrize("wrong", ["here", "127.0.0", [], ["127.0.0.2", 7]])
def test_what_is_no_address_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="local_address"):
        ghostcore.connect("ws://127.0.0.1:1", local_address=wrong)
