"""Handlers of events in runs: whose context they see, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from ghostcore import VU, PerVUIterations, Result, scenario
from ghostcore.testing import SocketIOServer
from tests.support.manners import Runs

pytestmark = pytest.mark.usefixtures("no_leaks")

VARIABLE: contextvars.ContextVar[object] = contextvars.ContextVar("variable", default="unset")


def server_of_news() -> SocketIOServer:
    """Tells those who say "go" the news, and then that it is done."""
    server = SocketIOServer()

    def go(client: Any) -> None:
        client.emit("news", 1)
        client.emit("done")

    server.on("go", go)
    return server


def test_each_sees_the_context_it_was_registered_in(runs: Runs) -> None:
    seen: dict[int, list[object]] = {}

    async def main() -> Result:
        async with server_of_news() as server:

            @scenario(load=PerVUIterations(5, 2))
            async def one(vu: VU) -> None:
                mine = seen.setdefault(vu.id, [])

                def plain(_: int) -> None:
                    mine.append(VARIABLE.get())

                async def task(_: int) -> None:
                    await asyncio.sleep(0)
                    mine.append(VARIABLE.get())

                VARIABLE.set((vu.id, vu.iteration))
                async with vu.socketio(server.url) as session:
                    session.on("news", plain)
                    session.on("news", task)
                    VARIABLE.set("later")
                    session.emit("go")
                    await session.wait_for("done")
                    async with asyncio.timeout(30):
                        while len(mine) < 2 * (vu.iteration + 1):
                            await vu.sleep(0.001)

            return await runs.within(one)

    assert runs.on_loop(main).exit_code == 0
    assert seen == {number: [(number, 0)] * 2 + [(number, 1)] * 2 for number in range(1, 6)}


class OfItsOwnKind(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("v"), OfItsOwnKind("o"), SystemExit(3), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", ["plain", "task"])
def test_errors_of_any_kind_are_the_scripts(runs: Runs, kind: str, error: BaseException) -> None:
    def fail() -> None:
        raise error.with_traceback(None)

    def plain(_: int) -> None:
        fail()

    async def task(_: int) -> None:
        await asyncio.sleep(0)
        fail()

    async def main() -> Result:
        async with server_of_news() as server:

            @scenario(load=PerVUIterations(2, 1))
            async def one(vu: VU) -> None:
                async with vu.socketio(server.url) as session:
                    session.on("news", plain if kind == "plain" else task)
                    session.emit("go")
                    await session.wait_for("done")
                    await vu.sleep(0.01)

            return await runs.within(one)

    result = runs.on_loop(main)
    error.__traceback__ = None  # it holds the run
    assert result.exit_code == 107
    assert result.metrics["script_errors"].count == 2
    assert result.metrics["iterations"].count == 2
    assert "test_handlers.py:" in result.errors[0].samples[0].text
