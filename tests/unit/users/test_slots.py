"""The slots of a scenario on a fake clock: what a budget allows, how each end is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, cast

import pytest

from ghostcore._engine import engine_of
from ghostcore.errors import EngineError
from ghostcore.load.control import SharedStarts
from ghostcore.testing.fakeclock import run_fake
from ghostcore.users.slots import BACKOFF_FIRST_S, BACKOFF_MAX_S, UserPool
from ghostcore.users.vu import START_SHIFT, VU, Scope
from tests.support.sessions import MS, now_ns
from tests.support.sinks import CallLog

pytestmark = pytest.mark.usefixtures("no_leaks")

Play = Callable[[VU], Coroutine[Any, Any, Any]]

USERS = [("users", 1), ("users", -1)]
"""The reports of a user that ran once."""


class Slots:
    """A pool of users on the running loop, with a sink that records its reports."""

    def __init__(self, play: Play, *, back_off: bool = False, seed: int = 7) -> None:
        self.sink = CallLog()
        self.faults: list[BaseException] = []
        self.idle: list[Any] = []
        self.pool = UserPool(
            engine_of(asyncio.get_running_loop()),
            cast(Any, self.sink),
            Scope("play", {}),
            play,
            seed,
            back_off=back_off,
            on_broken=self.faults.append,
        )
        self.pool.on_idle = self.idle.append

    def counts(self) -> tuple[int, int, int]:
        """Iterations that were started, ended and interrupted."""
        started = self.sink.of("iteration_started")
        ended = self.sink.of("iteration_ended")
        return len(started), len(ended), len(self.sink.of("iteration_interrupted"))


async def lasting(vu: VU) -> None:
    await vu.sleep(1.0)


# ---- budgets ------------------------------------------------------------------------------------


def test_a_users_own_budget_and_the_keys_of_its_random_numbers() -> None:
    keys: list[int] = []

    async def play(vu: VU) -> None:
        keys.append(vu.random.index)

    async def main() -> None:
        slots = Slots(play)
        user = slots.pool.user(2)
        user.start(3)
        assert user.running and slots.pool.running == 1
        await slots.pool.idle()
        assert (user.iterations_done, user.running, slots.pool.running) == (3, False, 0)
        user.start(2)  # a key is never used twice
        await slots.pool.idle()
        assert keys == [(2 << START_SHIFT) + number for number in range(5)]
        assert slots.sink.of("users") == 2 * USERS
        assert slots.idle == [user, user]

    run_fake(main)


def test_users_share_a_budget_and_each_number_is_taken_once() -> None:
    taken: list[tuple[int, int]] = []

    async def play(vu: VU) -> None:
        taken.append((vu.id, vu.random.index))
        await vu.sleep(0.1 if vu.id == 1 else 0.25)

    async def main() -> None:
        slots, shared = Slots(play), SharedStarts(6)
        for index in range(2):
            slots.pool.user(index).start(shared=shared)
        await slots.pool.idle()
        assert taken == [(1, 0), (2, 1), (1, 2), (1, 3), (2, 4), (1, 5)]

    run_fake(main)


def test_without_a_budget_a_user_goes_on_until_stopped_and_ends_its_iteration() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        user = slots.pool.user(0)
        user.start()
        await asyncio.sleep(2.5)
        user.request_stop()
        assert user.running
        await slots.pool.idle()
        assert now_ns() == 3000 * MS
        assert slots.counts() == (3, 3, 0)

    run_fake(main)


# ---- interrupted and resumed --------------------------------------------------------------------


def test_a_stop_that_is_taken_back_in_time_changes_nothing() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        user = slots.pool.user(0)
        user.start(3)
        await asyncio.sleep(0.5)
        user.request_stop()
        user.resume()
        await slots.pool.idle()
        assert slots.counts() == (3, 3, 0)
        assert slots.sink.of("users") == USERS

    run_fake(main)


def test_a_user_resumed_right_after_an_interrupt_counts_as_running_throughout() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        user = slots.pool.user(0)
        user.start(3)
        await asyncio.sleep(1.25)
        user.interrupt()
        user.resume()  # before its task had a turn to end
        await asyncio.sleep(0.5)
        assert slots.pool.running == 1 and slots.idle == []
        await slots.pool.idle()
        # The interrupted iteration is spent; the one that was left had its full time.
        assert slots.counts() == (3, 2, 1)
        assert slots.sink.of("iteration_interrupted") == [("iteration_interrupted", 250 * MS)]
        assert now_ns() == 2250 * MS
        assert slots.sink.of("users") == USERS

    run_fake(main)


def test_a_user_resumed_with_its_budget_used_up_ends() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        user = slots.pool.user(0)
        user.start(1)
        await asyncio.sleep(0.25)
        user.interrupt()
        user.resume()
        await slots.pool.idle()
        assert slots.counts() == (1, 0, 1) and not user.running
        assert slots.sink.of("users") == USERS
        user.resume()  # too late: only start() can begin again
        await asyncio.sleep(2)
        assert slots.counts() == (1, 0, 1)

    run_fake(main)


def test_a_due_start_interrupted_before_its_first_turn_is_dropped() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        await asyncio.sleep(1)
        user = slots.pool.user(0)
        user.begin(5, now_ns() - 30 * MS)
        user.interrupt()
        await slots.pool.idle()
        assert slots.sink.calls == [
            ("users", 1), ("dropped", 1), ("start_cut_off", 30 * MS), ("users", -1)
        ]  # fmt: skip
        assert slots.idle == [user] and user.iterations_done == 0

    run_fake(main)


@pytest.mark.parametrize("budget", [0, 3])
def test_a_user_that_never_began_an_iteration_reports_none(budget: int) -> None:
    async def main() -> None:
        slots = Slots(lasting)
        user = slots.pool.user(0)
        user.start(budget)
        if budget:
            user.interrupt()
        await slots.pool.idle()
        assert slots.sink.calls == USERS and user.iterations_done == 0

    run_fake(main)


# ---- starts that were due -----------------------------------------------------------------------


def test_a_late_start_is_reported_once_and_by_its_first_operation_alone() -> None:
    keys: list[int] = []

    async def play(vu: VU) -> None:
        keys.append(vu.random.index)
        for metric in ("first", "second"):
            with vu.timer(metric):
                await vu.sleep(0.125)

    async def main() -> None:
        slots = Slots(play)
        await asyncio.sleep(1)
        user = slots.pool.user(0)
        for number, late_ms in ((41, 40), (17, 0)):
            slots.sink.calls.clear()
            user.begin(number, now_ns() - late_ms * MS)
            await slots.pool.idle()
            assert slots.sink.calls == [
                ("users", 1),
                ("iteration_started",),
                ("iteration_late", late_ms * MS),
                ("first_step", ("first",)),
                ("sample", "first", 125 * MS),
                ("sample_from_due", "first", (125 + late_ms) * MS),
                ("sample", "second", 125 * MS),
                ("iteration_ended", 250 * MS, False),
                ("response_ended", (250 + late_ms) * MS, False),
                ("users", -1),
            ]
        assert keys == [41, 17], "of its random numbers: that of the start"

    run_fake(main)


def test_a_due_start_interrupted_under_way_is_cut_off_and_not_dropped() -> None:
    async def main() -> None:
        slots = Slots(lasting)
        await asyncio.sleep(1)
        user = slots.pool.user(0)
        user.begin(0, now_ns() - 30 * MS)
        await asyncio.sleep(0.25)
        user.interrupt()
        user.resume()  # the start was made: there is no second one to make
        await slots.pool.idle()
        assert slots.sink.calls[-3:] == [
            ("iteration_interrupted", 250 * MS), ("response_cut_off", 280 * MS), ("users", -1)
        ]  # fmt: skip
        assert slots.sink.of("dropped", "start_cut_off") == []
        assert slots.counts() == (1, 0, 1)

    run_fake(main)


# ---- waits after failures -----------------------------------------------------------------------


def begun_ns(seed: int, count: int, *, index: int = 0, fine_at: int = -1) -> list[int]:
    """When a user of that slot begins its iterations, all of which fail but for one."""
    begun: list[int] = []

    async def play(vu: VU) -> None:
        begun.append(now_ns())
        if vu.iteration != fine_at:
            raise ValueError("no use")

    async def main() -> None:
        slots = Slots(play, back_off=True, seed=seed)
        slots.pool.user(index).start(count)
        await slots.pool.idle()

    run_fake(main)
    return begun


def gaps_s(begun: list[int]) -> list[float]:
    return [(after - before) / 1e9 for before, after in pairwise(begun)]


def test_waits_after_failures_double_up_to_a_limit_each_with_jitter() -> None:
    shares: set[float] = set()
    for seed in range(20):
        waits = gaps_s(begun_ns(seed, 12))
        limits = [min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**number) for number in range(11)]
        assert limits[0] == 0.1 and limits[-1] == 5
        for wait_s, limit_s in zip(waits, limits, strict=True):
            assert 0.5 * limit_s <= wait_s <= limit_s + 1e-6
            shares.add(round(wait_s / limit_s, 6))
    assert len(shares) > 200, "each wait has a jitter of its own"
    assert min(shares) < 0.55 and max(shares) > 0.95, "over the whole range"


def test_the_jitter_is_the_seeds_and_the_users_own() -> None:
    first = begun_ns(3, 6)
    assert begun_ns(3, 6) == first
    assert begun_ns(4, 6) != first
    assert begun_ns(3, 6, index=1) != first


def test_an_iteration_that_goes_well_begins_the_waits_anew() -> None:
    waits = gaps_s(begun_ns(1, 8, fine_at=4))
    assert waits[3] >= 0.4 and waits[4] == 0
    assert 0.05 <= waits[5] <= 0.1 + 1e-6


@pytest.mark.parametrize("end", ["request_stop", "interrupt"])
def test_a_long_wait_ends_soon_after_its_user_is_stopped(end: str) -> None:
    async def play(vu: VU) -> None:
        raise ValueError("no use")

    async def main() -> None:
        slots = Slots(play, back_off=True)
        user = slots.pool.user(0)
        user.start()
        while user.iterations_done < 8:  # the next wait lasts 2.5 s at least
            await asyncio.sleep(0.01)
        stopped_ns, done = now_ns(), user.iterations_done
        getattr(user, end)()
        await slots.pool.idle()
        assert now_ns() - stopped_ns <= 250 * MS
        assert user.iterations_done == done
        assert slots.counts() == (done, done, 0), "between two iterations nothing was cut off"

    run_fake(main)


# ---- the pool -----------------------------------------------------------------------------------


def test_a_fault_in_recording_ends_the_user_and_reaches_on_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        slots = Slots(lasting)
        fault = EngineError("the books are closed")

        def broken(*_: Any) -> None:
            raise fault

        monkeypatch.setattr(slots.sink, "iteration_ended", broken)
        assert slots.pool.user(4) is slots.pool.user(4)
        slots.pool.user(4).start(3)
        await slots.pool.idle()
        assert slots.faults == [fault], "once: what broke is not begun again"
        assert slots.sink.of("users") == USERS

    run_fake(main)
