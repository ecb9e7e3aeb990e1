"""How long until everybody is served again? Hold visitors, drop them at one moment, count."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ghost_greeter import events
from ghost_greeter.metrics.storm import (
    ATTEMPTS,
    CONNECTING_AGAIN,
    DROPPED,
    JOINING_AGAIN,
    RECONNECT_FAILURES,
    RECONNECT_TIME,
    RECOVERY_TIME,
    SERVED_AGAIN,
    STORM,
)
from ghost_greeter.metrics.visit import FAILURES, JOIN_SUCCESS_RATE
from ghost_greeter.payloads import error_code
from ghost_greeter.scenarios.presence import ask_to_join, visitor_id_of
from ghost_greeter.scenarios.visit import VISITOR_METRICS, connect, enter, visit_s
from ghost_greeter.switchboard import join_switchboard
from ghostcore import (
    VU,
    PerVUIterations,
    Scenario,
    SocketIOSession,
    TargetError,
    Timeout,
    Trend,
    UsageError,
    scenario,
)

__all__ = [
    "StormPlan",
    "backoff_s",
    "reconnect_storm",
    "storm_scenario",
]

SHARE_SERVED = 0.99
RECONNECT_TIMEOUT_S = 20.0
"""What a Socket.IO client gives one attempt unless it is told otherwise, as the three below."""
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 5.0
BACKOFF_JITTER = 0.5


def backoff_s(attempt: int, uniform: Callable[[float, float], float]) -> float:
    """How long the widget waits before an attempt: 1 s doubling, each half shorter to half longer
    by chance, 5 s at most. These are the defaults of socket.io-client, which has no last attempt.

    :param attempt: from 0.
    :param uniform: as ``random.uniform``.
    """
    wait_s = BACKOFF_FIRST_S * 2.0 ** min(attempt, 16)
    return min(BACKOFF_MOST_S, wait_s * uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER))


@dataclass(frozen=True, slots=True)
class StormPlan:
    """What a storm is to be.

    :ivar visitors: how many are expected: so many arrive evenly within `arrive_s`.
    :ivar hold_s: from then until the drop.
    :ivar share: of those connected then, how many are dropped, over 0 to 1.
    :ivar recover_s: how long after the drop 99 % of them are to be served again.
    :ivar kill: ends the server at the moment of the drop, and brings it back; must not block.
        None: the visitors' own connections break, without a close frame.
    """

    visitors: int = 200
    arrive_s: float = 5.0
    hold_s: float = 10.0
    share: float = 1.0
    recover_s: float = 60.0
    kill: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}: expected {expected}"
            for name, expected, holds in (
                ("visitors", "1 or more", self.visitors >= 1),
                ("arrive_s", "0 s or more", 0 <= self.arrive_s < math.inf),
                ("hold_s", "0 s or more", 0 <= self.hold_s < math.inf),
                ("share", "over 0, up to 1", 0 < self.share <= 1),
                ("recover_s", "more than 0 s", 0 < self.recover_s < math.inf),
            )
            if not holds
        ]
        if problems:
            raise UsageError(f"storm: {'; '.join(problems)}")
        if self.kill is not None and self.share != 1:
            raise UsageError("storm: a server that is killed drops everybody: share must be 1")

    def describe(self) -> str:
        """What happens, in a few words."""
        if self.kill is not None:
            what = "then the server is killed and started again"
        elif self.share < 1:
            what = f"then {self.share:.3g} of them lose their connections at one moment"
        else:
            what = "then all lose their connections at one moment"
        return (
            f"visitors arrive within {self.arrive_s:g} s and are held for {self.hold_s:g} s; "
            f"{what}; 99 % are to be served again within {self.recover_s:g} s"
        )


class _Storm:
    """One storm: what the users of a run that make it know together.

    :ivar drop_ns: the moment of the drop, on CLOCK_MONOTONIC.
    """

    def __init__(self, plan: StormPlan, hold_s: float) -> None:
        self.plan = plan
        self.drop_ns = time.monotonic_ns() + round((plan.arrive_s + hold_s) * 1e9)
        self.users = 0
        self.dropped = 0
        self.over = asyncio.Event()
        self.told = False
        self._held = 0
        self._served = 0
        self._struck = False
        # Where nobody is there to be dropped, too, it must end.
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(max(0.0, self.left_s()), self.over.set)

    def left_s(self) -> float:
        """Seconds until 99 % are to be served again."""
        return self.until_drop_s() + self.plan.recover_s

    def until_drop_s(self) -> float:
        """Seconds until the drop."""
        return (self.drop_ns - time.monotonic_ns()) / 1e9

    def strike(self) -> bool:
        """The moment has come, for one visitor; is that one dropped? The first one strikes."""
        if not self._struck:
            self._struck = True
            if self.plan.kill is not None:
                self.plan.kill()
        self._held += 1
        # Exactly the share, evenly spread over those that arrived.
        share = self.plan.share
        chosen = int(self._held * share + 1e-9) > int((self._held - 1) * share + 1e-9)
        self.dropped += chosen
        return chosen

    def served(self, vu: VU, after_ns: int) -> None:
        """One more is served again, so long after the drop."""
        self._served += 1
        if not self.told and self._served >= math.ceil(SHARE_SERVED * self.dropped):
            self.told = True
            vu.record(RECOVERY_TIME, after_ns / 1e6)
        if self._served == self.dropped:
            self.over.set()

    def end(self, vu: VU, error: BaseException | None) -> None:
        """The last visitor leaves: a recovery that was not seen took at least until now."""
        self._end.cancel()
        if self.dropped and not self.told:
            cut = error if isinstance(error, asyncio.CancelledError) else Timeout("not recovered")
            with suppress(Timeout, asyncio.CancelledError), _since_drop(vu, self, RECOVERY_TIME):
                raise cut


def _since_drop(vu: VU, storm: _Storm, metric: Trend) -> Any:
    return vu.timer(metric, since_ns=storm.drop_ns)


def storm_scenario(plan: StormPlan | None = None) -> Scenario:
    """The scenario ``reconnect-storm`` to a plan. Each iteration of its users is one storm."""
    plan = plan or StormPlan()
    # By run (its settings are one object) and iteration: storms of two runs never mix.
    under_way: dict[tuple[int, int], _Storm] = {}

    @contextmanager
    def taking_part(vu: VU) -> Iterator[_Storm]:
        key = (id(vu.env), vu.iteration)
        storm = under_way.get(key)
        if storm is None:
            storm = under_way[key] = _Storm(plan, visit_s(vu, plan.hold_s, plan.hold_s))
        storm.users += 1
        error: BaseException | None = None
        try:
            yield storm
        except BaseException as raised:
            error = raised
            raise
        finally:
            storm.users -= 1
            if not storm.users:
                del under_way[key]
                storm.end(vu, error)

    @scenario(
        name="reconnect-storm",
        load=PerVUIterations(plan.visitors, 1),
        thresholds={
            RECOVERY_TIME: f"max<{plan.recover_s * 1000:g}",
            FAILURES: "count<20",
            JOIN_SUCCESS_RATE: "rate>0.90",
        },
        metrics=[*STORM.metrics, *VISITOR_METRICS],
    )
    async def reconnect_storm(vu: VU) -> None:
        """Arrive, join, lose the connection when everybody does, come back as the widget would, and
        stay until all are back or the time is up."""
        join_switchboard(vu)  # what the agents go through is recorded too
        with taking_part(vu) as storm:
            await vu.sleep(plan.arrive_s * ((vu.id - 1) % plan.visitors) / plan.visitors)
            async with await connect(vu) as session:
                visitor_id = visitor_id_of(await enter(vu, session))
                if await _hold(vu, storm, session):
                    await _weather(vu, storm, session, visitor_id)

    return reconnect_storm


async def _hold(vu: VU, storm: _Storm, session: SocketIOSession) -> bool:
    """Stay until the drop, or to the end for one that is not dropped; returns whether it is."""
    before_s = storm.until_drop_s()
    if before_s <= 0:  # too late for it: held, but not counted
        await storm.over.wait()
        return False
    await vu.sleep(before_s)
    if session.is_closed and session.closed_ns < storm.drop_ns:
        return False  # lost before its time: counted when the iteration ends, as every lost one is
    if storm.strike():
        return True
    await storm.over.wait()
    return False


async def _weather(vu: VU, storm: _Storm, session: SocketIOSession, visitor_id: Any) -> None:
    """Lose the connection, come back, and stay until the storm is over."""
    vu.record(DROPPED)
    if storm.plan.kill is None:
        session.abort()
    try:
        with _since_drop(vu, storm, RECONNECT_TIME):
            if storm.plan.kill is not None:
                await _loss(session, storm)
            again = await _come_back(vu, storm, visitor_id)
    except TargetError:
        vu.record(SERVED_AGAIN, False)
        raise
    vu.record(SERVED_AGAIN, True)
    storm.served(vu, again.arrived_ns - storm.drop_ns)
    async with again:
        await storm.over.wait()


async def _loss(session: SocketIOSession, storm: _Storm) -> None:
    """Wait until the server that was killed is seen to be gone."""
    if session.is_closed:
        return
    try:
        await session.wait_for(events.DISCONNECT, timeout=max(0.0, storm.left_s()), fresh=True)
    except Timeout as error:
        if error.kind == "reply_timeout":
            raise Timeout(
                f"not dropped within {storm.plan.recover_s:g} s, though the server was killed",
                kind="reply_timeout",
                limit_s=storm.plan.recover_s,
            ) from None
    except TargetError:
        pass  # it is the loss that was waited for


async def _come_back(vu: VU, storm: _Storm, visitor_id: Any) -> SocketIOSession:
    """Try until the visitor is served again or the storm's time is up.

    :raises Timeout: not served in time.
    """
    last = "none was made"
    attempt, trying = 0, False
    try:
        async with asyncio.timeout(max(0.0, storm.left_s())):
            while True:
                await vu.sleep(backoff_s(attempt, vu.random.uniform))
                attempt, trying = attempt + 1, True
                vu.record(ATTEMPTS)
                try:
                    served = await _try_again(vu, visitor_id)
                except TargetError as error:
                    vu.record(RECONNECT_FAILURES, 1, kind=_kind_of(error))
                    last, trying = str(error), False
                else:
                    vu.record(RECONNECT_FAILURES, 0)
                    return served
    except TimeoutError:
        if trying:
            vu.record(RECONNECT_FAILURES, 1, kind="out_of_time")
        raise Timeout(
            f"not served again within {storm.plan.recover_s:g} s of the drop; attempts: {attempt}, "
            f"the last that failed: {last}",
            kind="reply_timeout",
            limit_s=storm.plan.recover_s,
        ) from None


async def _try_again(vu: VU, visitor_id: Any) -> SocketIOSession:
    session = await vu.socketio(
        vu.env["SERVER_URL"], timeout=RECONNECT_TIMEOUT_S, metric=CONNECTING_AGAIN
    )
    try:
        await ask_to_join(vu, session, JOINING_AGAIN, visitor_id)
    except BaseException:
        # Its turn is over either way; the server must not count it twice.
        session.abort()
        raise
    return session


def _kind_of(error: TargetError) -> str:
    """The kind of a failed attempt; of an answer that was an error, the server's own code."""
    if code := error_code(error):
        return code.lower()
    status = getattr(error, "status", 0)
    return f"{error.kind}_{status}" if status else error.kind


reconnect_storm = storm_scenario()
