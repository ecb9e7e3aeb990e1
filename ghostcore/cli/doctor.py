"""``ghostcore doctor``: what this machine can hold, what it can do, and what a server answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvloop

from ghostcore._engine import engine_of
from ghostcore.cli._server_check import check_server
from ghostcore.errors import GhostError
from ghostcore.monitor.limits import Finding, describe, read_limits
from ghostcore.opening.connect import connect
from ghostcore.opening.target import parse_target
from ghostcore.results.record import EXIT_THRESHOLDS
from ghostcore.testing import EchoServer, ServerProcess

__all__ = ["EXIT_TOO_SMALL", "Ceiling", "examine", "lines_of_limits", "measure_ceilings"]

EXIT_TOO_SMALL = 1
"""A limit of this machine lets fewer users through than were asked for."""

MEASURE_S = 1.0
DIALERS = 20
TALKERS = 50


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How often something was done, over loopback, and what share of a core that took here."""

    what: str
    count: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """A second."""
        return self.count / self.seconds

    @property
    def text(self) -> str:
        """In words. Where the server or the machine was what limited, a core here would do more."""
        share = self.cpu_s / self.seconds
        line = f"{self.rate:,.0f} {self.what}/s, with {100 * share:.0f} % of a core here"
        if 0 < share < 0.9:
            line += f" (a whole one: some {self.rate / share:,.0f})"
        return line


async def measure_ceilings(seconds: float = MEASURE_S) -> list[Ceiling]:
    """Connections and round trips a second over loopback, to an echo server in another process.

    :param seconds: for each of the two.
    :raises GhostError: the server did not start, or failed.
    """
    async with ServerProcess(EchoServer) as server:
        connects = await _repeated("connects", seconds, DIALERS, lambda: _connect_once(server.url))
        sessions = [await connect(server.url) for _ in range(TALKERS)]
        try:
            began_s, cpu_s = time.perf_counter(), time.thread_time()
            counts = await asyncio.gather(
                *(session.echo_loop("x" * 32, duration=seconds) for session in sessions)
            )
            messages = Ceiling(
                "messages",
                sum(counts),
                time.perf_counter() - began_s,
                time.thread_time() - cpu_s,
            )
        finally:
            for session in sessions:
                session.abort()
    return [connects, messages]


async def _connect_once(url: str) -> None:
    async with connect(url):
        pass


async def _repeated(
    what: str, seconds: float, tasks: int, once: Callable[[], Awaitable[None]]
) -> Ceiling:
    began_s, cpu_s = time.perf_counter(), time.thread_time()

    async def repeat() -> int:
        done = 0
        while time.perf_counter() - began_s < seconds:
            await once()
            done += 1
        return done

    count = sum(await asyncio.gather(*(repeat() for _ in range(tasks))))
    return Ceiling(what, count, time.perf_counter() - began_s, time.thread_time() - cpu_s)


def lines_of_limits(findings: list[Finding], users: int | None = None) -> Iterator[str]:
    """The table of limits: what each lets through, marked where that is less than `users`."""
    held = ["" if one.users is None else f"{one.users:,} users" for one in findings]
    widths = [len(one.text) for one, text in zip(findings, held, strict=True) if text]
    width = max(widths, default=0)
    for one, text in zip(findings, held, strict=True):
        mark = "✗" if too_small(one, users) else "!" if one.fix else " "
        yield f"  {mark} {one.name:<10} {one.text:<{width if text else 0}}  {text:>15}".rstrip()
        if one.fix:
            yield f"{'':<15}-> {one.fix}"


def too_small(finding: Finding, users: int | None) -> bool:
    """Whether a limit stops a plan of so many users."""
    return users is not None and finding.users is not None and finding.users < users


def examine(
    url: str | None,
    users: int | None,
    *,
    measure: bool,
    insecure: bool,
    echo: Callable[[str], Any],
) -> int:
    """Look at everything and tell it.

    :param echo: prints a line.
    :returns: the exit code: 0, EXIT_TOO_SMALL, or that of a run that opens nothing (99).
    :raises UsageError: a URL that is none.
    """
    if url is not None:
        parse_target(url)
    findings = list(describe(read_limits(), users))
    echo("this machine:" if users is None else f"this machine, for {users:,} users:")
    for line in lines_of_limits(findings, users):
        echo(line)
    held = [one.users for one in findings if one.users is not None]
    if held:
        echo(f"  it holds {min(held):,} users with one connection each, to one server")
    answers = True
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        engine = engine_of(runner.get_loop())
        if measure:
            echo("measured over loopback (the server shares this machine):")
            for line in runner.run(_ceilings()):
                echo(f"    {line}")
        if url is not None:
            echo(f"{url}:")
            checked = runner.run(check_server(url, insecure=insecure))
            answers = checked.answered
            for line in checked.lines:
                echo(f"    {line}")
    engine.close()
    if not answers:
        return EXIT_THRESHOLDS
    return EXIT_TOO_SMALL if any(too_small(one, users) for one in findings) else 0


async def _ceilings() -> list[str]:
    try:
        return [ceiling.text for ceiling in await measure_ceilings()]
    except GhostError as error:
        return [f"not measured: {error}"]
