"""The server's count of visitors against ours, while a run goes on.

Before the load and every few seconds of it the server's /metrics and /health are asked. What comes
of it is in the run's metrics, and as findings in sentences. A server that does not tell its figures
is said to, once, and nothing fails for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from ghost_greeter.metrics import server as metrics
from ghost_greeter.server.figures import Figures, FiguresError
from ghost_greeter.shared import Shared
from ghostcore import VU, Result, SocketIOSession

__all__ = ["Census", "census_of"]

What = Literal["visitors", "sockets"]

INTERVAL_S = 2.0
SOON_S = 0.5
"""To the first look, and to the next one while the server does not tell its count."""
LEAVE_NS = 1_000_000_000
"""How long the server may need to notice that somebody came or left."""


class Census:
    """Counts this run's own, asks the server, compares.

    ::

        census = Census(Figures(url, key), "visitors")
        ghostcore.run(widget, setup=census.setup, teardown=census.teardown, ...)

    :param what: which of the server's figures is compared with ours.
    :param interval_s: between two looks at the server.
    """

    def __init__(self, figures: Figures, what: What, *, interval_s: float = INTERVAL_S) -> None:
        self._figures = figures
        self._what = what
        self._interval_s = interval_s
        self._present: dict[SocketIOSession, int] = {}  # when it was let in; 0: not yet
        self._vu: VU | None = None
        self._task: asyncio.Task[None] | None = None
        self._began_ns = 0
        self._before: int | None = None  # what the server counted before the load
        self._partial = False  # the server counts only a part of the sockets
        self._refused = ""
        self._looks = 0
        self._samples: list[tuple[float, int, int]] = []  # at (s), the server's count, difference
        self._remained = 0

    # -- of a run --------------------------------------------------------------------------------

    async def setup(self) -> dict[str, str]:
        """Ask for the count before the load, and go on asking.

        :returns: by what the users of the run find it (``vu.data``).
        """
        self._began_ns = time.monotonic_ns()
        self._before = await self._count()
        self._task = asyncio.create_task(self._look())
        return _CENSUSES.offer(self)

    async def teardown(self) -> None:
        """Look a last time: none of ours must be left."""
        _CENSUSES.withdraw(self)
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (fault := task.exception()):
            raise fault
        if self._samples and not any(session.is_open for session in self._present):
            await self._look_for_leftovers()

    # -- of its users ----------------------------------------------------------------------------

    def enters(self, vu: VU, session: SocketIOSession) -> None:
        """Somebody is about to be counted by the server."""
        self._vu = vu
        self._present[session] = 0

    def let_in(self, session: SocketIOSession) -> None:
        """It is: the server has said so."""
        if session in self._present:
            self._present[session] = time.monotonic_ns()

    # Who has left is seen by its session.

    # -- in the end ------------------------------------------------------------------------------

    def findings(self, _result: Result) -> Iterator[str]:
        """Where the server's count is not ours."""
        worst = _lasting(self._samples)
        if worst is not None:
            at_s, counted, difference = worst
            how = "more than can be" if difference > 0 else "fewer than are"
            differing = sum(1 for one in self._samples if one[2])
            yield (
                f"the server counts {abs(difference):,} {self._what} {how} connected: {counted:,} "
                f"at {at_s:.0f} s; {differing} of {len(self._samples)} looks differ"
            )
        if self._remained:
            yield (
                f"the server still counts {self._remained:,} {self._what} that have left: it does "
                "not notice, or leaks them"
            )

    def answers(self, result: Result) -> Iterator[str]:
        """What came of it, in a sentence; a difference is told by findings()."""
        if self._refused:
            yield f"server count not compared with ours: {self._refused}"
        elif not self._samples:
            why = "its /metrics did not answer" if self._looks else "the run was too short for it"
            yield f"server count not compared with ours: {why}"
        elif not any(self.findings(result)):
            most = max(counted for _, counted, _ in self._samples)
            yield (
                f"the server counts as many {self._what} as we do: {len(self._samples)} looks, up "
                f"to {most:,}"
            )

    # -- inside ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        soon_s = min(SOON_S, self._interval_s)
        await asyncio.sleep(soon_s)
        health_due_s = 0.0
        while True:
            began_s = time.monotonic()
            if began_s >= health_due_s:  # evenly, or its rate would be that of the bad times
                health_due_s = began_s + self._interval_s
                await self._check_health()
            answered = self._refused or await self._compare()
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(0.0, (self._interval_s if answered else soon_s) - took_s))

    async def _compare(self) -> bool:
        """Returns whether the server told its count."""
        asked_ns = time.monotonic_ns()
        self._looks += 1
        counted = await self._count()
        if counted is None or self._vu is None:
            return counted is not None
        low, high = self._ours(asked_ns)
        if self._before is None:  # the server did not tell before the load
            self._before = max(0, counted - high)
        before = self._before
        beyond = max(0, counted - before - high) - max(0, low - (counted - before))
        if self._partial:
            beyond = max(0, beyond)
        at_s = (asked_ns - self._began_ns) / 1e9
        self._samples.append((at_s, counted, beyond))
        self._vu.record(metrics.COUNTED, counted)
        self._vu.record(metrics.DIFFERENCE, beyond)
        return True

    def _ours(self, asked_ns: int) -> tuple[int, int]:
        """How many of ours were there all the while since `asked_ns`, and how many may have been
        for a moment."""
        low, high, gone = 0, 0, []
        for session, let_in_ns in self._present.items():
            if session.is_open:
                high += 1
                low += 0 < let_in_ns < asked_ns
            elif session.is_closed and session.closed_ns < asked_ns - LEAVE_NS:
                gone.append(session)
            else:
                high += 1
        for session in gone:
            del self._present[session]
        return low, high

    async def _look_for_leftovers(self) -> None:
        """Once everybody has left: give the server a moment to notice."""
        until_ns = time.monotonic_ns() + LEAVE_NS
        while True:
            counted = await self._count()
            if counted is None:
                return
            self._remained = max(0, counted - (self._before or 0))
            if not self._remained or time.monotonic_ns() > until_ns:
                return
            await asyncio.sleep(0.1)

    async def _count(self) -> int | None:
        """The server's count; None where it does not tell."""
        try:
            status, body = await asyncio.to_thread(self._figures.metrics)
        except FiguresError:
            return None
        if status in (401, 403):
            wrong = self._figures.has_key
            advice = "METRICS_API_KEY is another" if wrong else "METRICS_API_KEY is not set"
            self._refused = f"its /metrics asks for a key (HTTP {status}); {advice}"
            return None
        connections = body.get("connections")
        counted = connections.get(self._what) if isinstance(connections, dict) else None
        if status != 200 or not isinstance(counted, int):
            if status < 500:  # one that is down for a moment may tell later
                self._refused = f"the server has no such /metrics (HTTP {status})"
            return None
        # Sockets are those of the replica that answers, visitors those of all.
        self._partial = self._what == "sockets" and body.get("mode") == "redis"
        self._keep(connections, body)
        return counted

    def _keep(self, connections: Any, body: Any) -> None:
        if self._vu is None:
            return
        sockets, memory = connections.get("sockets"), body.get("memory")
        rss = memory.get("rss") if isinstance(memory, dict) else None
        for metric, value in ((metrics.SOCKETS, sockets), (metrics.MEMORY, rss)):
            if isinstance(value, int):
                self._vu.record(metric, value)

    async def _check_health(self) -> None:
        began_ns = time.monotonic_ns()
        try:
            status, body = await asyncio.to_thread(self._figures.health)
        except FiguresError:
            status, body = 0, {}
        if self._vu is None or status == 404:
            return
        self._vu.record(metrics.HEALTHY, status == 200 and body.get("status") != "unhealthy")
        if status:
            self._vu.record(metrics.HEALTH_TIME, (time.monotonic_ns() - began_ns) / 1e6)


def _lasting(samples: Iterable[tuple[float, int, int]]) -> tuple[float, int, int] | None:
    """The largest difference that was seen at two looks in a row: one alone may be a moment in
    which many come and go."""
    worst: tuple[float, int, int] | None = None
    last = 0
    for sample in samples:
        difference = sample[2]
        if difference * last > 0 and (worst is None or abs(difference) > abs(worst[2])):
            worst = sample
        last = difference
    return worst


def census_of(vu: VU) -> Census | None:
    """That of this run, if there is one in this process."""
    return _CENSUSES.find(vu)


_CENSUSES: Shared[Census] = Shared("census")
