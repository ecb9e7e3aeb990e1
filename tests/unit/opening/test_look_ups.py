"""Look-ups of names."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ghostcore.errors import ConnectFailed
from ghostcore.opening.names import Names
from ghostcore.opening.target import parse_target

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_names_are_looked_up_once_at_a_time_and_once_a_minute() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked: list[str] = []

        async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            await asyncio.sleep(0.01)
            if host == "bad.test":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.5", port))]

        loop.getaddrinfo = getaddrinfo  # type: ignore[assignment, method-assign]
        names = Names(loop)
        target = parse_target("ws://good.test:81")
        found = await asyncio.gather(*(names.resolve(target, 0) for _ in range(50)))
        assert asked == ["good.test"]
        assert all(addresses == [(socket.AF_INET, ("127.0.0.5", 81))] for addresses, _ in found)
        assert [looked_up for _, looked_up in found] == [True] + [False] * 49
        assert await names.resolve(target, 59 * 10**9) == (found[0][0], False)
        assert (await names.resolve(target, 61 * 10**9))[1]
        assert asked == ["good.test"] * 2
        # Who goes away while it looks up does not take the look-up from the others.
        other = parse_target("ws://other.test:81")
        first = asyncio.ensure_future(names.resolve(other, 0))
        second = asyncio.ensure_future(names.resolve(other, 0))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0] == [(socket.AF_INET, ("127.0.0.5", 81))]
        # A failure is told to all, and not kept.
        bad = parse_target("ws://bad.test")
        for _ in range(2):
            failures = await asyncio.gather(
                *(names.resolve(bad, 0) for _ in range(3)), return_exceptions=True
            )
            assert [one.kind for one in failures if isinstance(one, ConnectFailed)] == [
                "dns_failure"
            ] * 3
        assert asked[-2:] == ["bad.test"] * 2

    asyncio.run(main())


def test_literal_addresses_need_no_look_up() -> None:
    async def main() -> None:
        names = Names(asyncio.get_running_loop())
        assert await names.resolve(parse_target("ws://127.0.0.1:5"), 0) == (
            [(socket.AF_INET, ("127.0.0.1", 5))], False
        )  # fmt: skip
        assert await names.resolve(parse_target("ws://[::1]:5"), 0) == (
            [(socket.AF_INET6, ("::1", 5, 0, 0))], False
        )  # fmt: skip

    asyncio.run(main())
