from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from ghostcore.load import (
    ClosedModel,
    ConstantVUs,
    ExternallyControlled,
    PerVUIterations,
    RampingVUs,
    Share,
    SharedIterations,
)
from ghostcore.load.closed import run_closed
from ghostcore.load.control import START_BATCH, RunControl, VuControl
from ghostcore.testing.fakeclock import run_fake
from tests.reference.fakeusers import MS, FakePool, FakeRun, FakeUser, S, after, fake_loop


def run(
    profile: ClosedModel,
    length_of: Callable[[int], int] | int,
    during: Callable[[FakeRun], None] = lambda _: None,
) -> tuple[FakeRun, int]:
    fake = FakeRun(profile, length_of)

    async def main() -> int:
        during(fake)
        return await fake.go()

    return fake, run_fake(main)


# -- constant-vus --


def test_users_loop_until_the_end_and_finish_what_they_are_at() -> None:
    fake, ended_ns = run(ConstantVUs(2, 10), lambda slot: (3 + slot) * S)
    assert fake.pool.times("begin") == [
        (0, 0), (0, 1), (3 * S, 0), (4 * S, 1), (6 * S, 0), (8 * S, 1), (9 * S, 0),
    ]  # fmt: skip
    assert fake.pool.times("interrupt") == []
    assert ended_ns == 12 * S
    assert fake.planned == [(0, 2), (10 * S, 0)]
    assert fake.dropped == []


def test_after_the_graceful_stop_users_are_interrupted() -> None:
    fake, ended_ns = run(ConstantVUs(2, 10, graceful_stop=5), lambda slot: (20 - 8 * slot) * S)
    assert fake.pool.times("finish") == [(12 * S, 1)]
    assert fake.pool.times("interrupt") == [(15 * S, 0)]
    assert ended_ns == 15 * S


def test_without_a_graceful_stop_users_are_interrupted_at_the_end() -> None:
    fake, ended_ns = run(ConstantVUs(1, 10, graceful_stop=0), 7 * S)
    assert fake.pool.times("interrupt") == [(10 * S, 0)]
    assert ended_ns == 10 * S


def test_the_run_waits_for_interrupted_users_to_clean_up() -> None:
    def slow_cleanup(fake: FakeRun) -> None:
        fake.pool.prepare = lambda user: setattr(user, "cleanup_ns", 4 * S)

    _, ended_ns = run(ConstantVUs(1, 10, graceful_stop=0), 7 * S, slow_cleanup)
    assert ended_ns == 14 * S


def test_a_crowd_that_starts_at_one_instant_lets_the_loop_breathe() -> None:
    passes: list[int] = []

    def watch(fake: FakeRun) -> None:
        def count() -> None:
            passes.append(fake.pool.running)
            if fake.pool.running < 10_000:
                fake_loop().call_soon(count)

        after(0, count)

    fake, _ = run(ConstantVUs(10_000, 1), 2 * S, watch)
    assert fake.pool.times("begin") == [(0, slot) for slot in range(10_000)]
    assert len(set(passes)) >= 10_000 // START_BATCH
    assert max(b - a for a, b in itertools.pairwise(passes)) <= START_BATCH


# -- per-vu-iterations --


def test_the_run_ends_when_all_have_done_their_number() -> None:
    fake, ended_ns = run(PerVUIterations(2, 3, 60), lambda slot: (slot + 1) * S)
    assert [user.iterations_done for user in fake.pool.users] == [3, 3]
    assert ended_ns == 6 * S
    assert fake.planned == [(0, 2), (6 * S, 0)]
    assert fake.dropped == []


def test_what_does_not_start_before_max_duration_is_dropped_then() -> None:
    fake, ended_ns = run(
        PerVUIterations(3, 5, 10, graceful_stop=2), lambda slot: (1500 * MS, 4 * S, 9 * S)[slot]
    )
    # Slot 0 has finished; slot 1 is at its 3rd, slot 2 at its 2nd, which is cut off.
    assert fake.dropped == [(10 * S, 2), (10 * S, 3)]
    assert [user.iterations_done for user in fake.pool.users] == [5, 3, 2]
    assert fake.pool.times("interrupt") == [(12 * S, 2)]
    assert ended_ns == 12 * S


def test_a_user_between_two_iterations_at_max_duration_loses_none_silently() -> None:
    def pausing(fake: FakeRun) -> None:
        fake.pool.prepare = lambda user: setattr(user, "pause_ns", 4 * S)

    fake, ended_ns = run(PerVUIterations(1, 5, 10), 4 * S, pausing)
    # Iterations from 0 to 4 and from 8 to 12, pauses between them: at 10 in an iteration.
    assert fake.dropped == [(10 * S, 3)]
    # At 14 in a pause, after which no third iteration begins.
    fake, ended_ns = run(PerVUIterations(1, 5, 14), 4 * S, pausing)
    assert fake.dropped == [(14 * S, 2), (16 * S, 1)]
    assert ended_ns == 16 * S


def test_a_pool_that_was_used_before_counts_from_where_it_stands() -> None:
    async def main() -> FakeRun:
        fake = FakeRun(PerVUIterations(1, 5, 10), 4 * S)
        fake.pool.user(0).iterations_done = 100
        await fake.go()
        return fake

    fake = run_fake(main)
    assert fake.dropped == [(10 * S, 2)]
    assert fake.pool.users[0].iterations_done == 103


# -- ramping-vus --


def test_slots_start_from_the_lowest_and_stop_from_the_highest() -> None:
    profile = RampingVUs([(3, 3), (3, 3), (3, 0)], start_vus=0)
    fake, ended_ns = run(profile, 100 * S)
    assert fake.pool.times("begin") == [(S, 0), (2 * S, 1), (3 * S, 2)]
    assert fake.planned == [
        (0, 0), (S, 1), (2 * S, 2), (3 * S, 3), (7 * S, 2), (8 * S, 1), (9 * S, 0),
    ]  # fmt: skip
    # Each has the 30 s of its ramp-down; that of slot 0 ends with the graceful stop.
    assert fake.pool.times("interrupt") == [(37 * S, 2), (38 * S, 1), (39 * S, 0)]
    assert ended_ns == 39 * S


def test_a_jump_down_stops_all_slots_above() -> None:
    profile = RampingVUs([(5, 4), (0, 1), (9, 1)], start_vus=4, graceful_ramp_down=2)
    fake, _ = run(profile, lambda slot: (6 if slot == 3 else 60) * S)
    assert sorted(fake.pool.times("interrupt")) == [(7 * S, 1), (7 * S, 2), (44 * S, 0)]
    assert fake.pool.times("finish") == [(6 * S, 3)]
    assert fake.planned == [(0, 4), (5 * S, 1), (14 * S, 0)]


def test_the_graceful_stop_cuts_a_longer_ramp_down_short() -> None:
    profile = RampingVUs([(5, 0), (5, 0)], 1, graceful_ramp_down=60, graceful_stop=3)
    fake, _ = run(profile, 100 * S)
    assert fake.pool.times("interrupt") == [(13 * S, 0)]


def test_a_ramp_down_that_began_before_the_end_keeps_its_own_deadline() -> None:
    profile = RampingVUs([(10, 2), (0, 1), (1, 1)], 2, graceful_ramp_down=4, graceful_stop=20)
    fake, _ = run(profile, 100 * S)
    assert fake.pool.times("interrupt") == [(14 * S, 1), (31 * S, 0)]


def test_a_slot_that_is_wanted_again_in_time_just_goes_on() -> None:
    profile = RampingVUs([(2, 1), (0, 0), (2, 0), (0, 1), (10, 1)], graceful_ramp_down=3)
    fake, _ = run(profile, 5 * S)
    assert fake.pool.times("begin") == [(0, 0), (5 * S, 0), (10 * S, 0)]
    assert fake.pool.times("interrupt") == []
    assert fake.pool.resumed == 1


def test_a_slot_that_is_wanted_again_at_its_deadline_goes_on_too() -> None:
    profile = RampingVUs([(2, 1), (0, 0), (3, 0), (0, 1), (10, 1)], graceful_ramp_down=3)
    fake, _ = run(profile, 9 * S)
    assert fake.pool.times("interrupt") == []


def test_a_slot_removed_twice_has_the_later_deadline() -> None:
    profile = RampingVUs(
        [(2, 1), (0, 0), (2, 0), (0, 1), (1, 1), (0, 0), (20, 0)], graceful_ramp_down=4
    )
    fake, _ = run(profile, 100 * S)
    assert fake.pool.times("interrupt") == [(9 * S, 0)]


def test_a_slot_that_became_idle_starts_again() -> None:
    profile = RampingVUs([(2, 1), (0, 0), (8, 0), (0, 1), (4, 1)])
    fake, _ = run(profile, 3 * S)
    assert fake.pool.times("begin") == [(0, 0), (10 * S, 0), (13 * S, 0)]


def test_a_slot_wanted_again_while_it_cleans_up_goes_on_afterwards() -> None:
    def slow_cleanup(fake: FakeRun) -> None:
        fake.pool.prepare = lambda user: setattr(user, "cleanup_ns", 4 * S)

    profile = RampingVUs([(2, 1), (0, 0), (2, 0), (0, 1), (6, 1)], graceful_ramp_down=0)
    fake, _ = run(profile, 3 * S, slow_cleanup)
    assert fake.pool.times("interrupt") == [(2 * S, 0)]
    assert fake.pool.times("begin") == [(0, 0), (6 * S, 0), (9 * S, 0)]


def test_without_a_ramp_down_users_are_interrupted_as_they_are_removed() -> None:
    profile = RampingVUs([(4, 0)], start_vus=2, graceful_ramp_down=0)
    fake, ended_ns = run(profile, 100 * S)
    assert fake.pool.times("interrupt") == [(2 * S, 1), (4 * S, 0)]
    assert ended_ns == 4 * S


def test_nobody_starts_at_the_very_end() -> None:
    fake, ended_ns = run(RampingVUs([(2, 3)], start_vus=1), 300 * MS)
    assert len(fake.pool.users) == 2
    assert fake.planned == [(0, 1), (S, 2), (2 * S, 0)]
    assert ended_ns == 2200 * MS


# -- stopping --


def test_the_first_stop_lets_users_finish_within_the_graceful_stop() -> None:
    def stop(fake: FakeRun) -> None:
        after(12, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(
        ConstantVUs(2, 100, graceful_stop=5), lambda slot: (5 + 10 * slot) * S, stop
    )
    assert fake.pool.times("begin") == [(0, 0), (0, 1), (5 * S, 0), (10 * S, 0)]
    assert sorted(fake.pool.times("finish"))[-2:] == [(15 * S, 0), (15 * S, 1)]
    assert fake.pool.times("interrupt") == []
    assert ended_ns == 15 * S
    assert fake.planned == [(0, 2), (12 * S, 0)]
    assert fake.control.reason == "Ctrl-C"


def test_the_graceful_stop_of_a_stopped_run_is_limited() -> None:
    def stop(fake: FakeRun) -> None:
        after(12, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(ConstantVUs(1, 100, graceful_stop=5), 90 * S, stop)
    assert fake.pool.times("interrupt") == [(17 * S, 0)]
    assert ended_ns == 17 * S


def test_the_second_stop_interrupts_at_once() -> None:
    def stop_twice(fake: FakeRun) -> None:
        after(12, lambda: fake.control.stop("Ctrl-C"))
        after(13, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(ConstantVUs(1, 100), 90 * S, stop_twice)
    assert fake.pool.times("interrupt") == [(13 * S, 0)]
    assert ended_ns == 13 * S


def test_two_stops_at_one_instant_interrupt_at_once() -> None:
    def interrupt(fake: FakeRun) -> None:
        after(12, lambda: fake.control.interrupt("aborted"))

    fake, ended_ns = run(ConstantVUs(1, 100), 90 * S, interrupt)
    assert fake.pool.times("interrupt") == [(12 * S, 0)]
    assert ended_ns == 12 * S


def test_a_stop_after_the_end_gives_no_further_time() -> None:
    def stop_late(fake: FakeRun) -> None:
        after(20, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(PerVUIterations(1, 2, 10, graceful_stop=15), 90 * S, stop_late)
    assert ended_ns == 25 * S
    assert fake.dropped == [(10 * S, 1)]


def test_a_stopped_run_drops_nothing() -> None:
    def stop(fake: FakeRun) -> None:
        after(5, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(PerVUIterations(1, 9, 100), 3 * S, stop)
    assert (fake.dropped, ended_ns) == ([], 6 * S)
    assert fake.pool.users[0].iterations_done == 2


def test_a_ramp_down_goes_on_while_a_run_is_stopped() -> None:
    def stop(fake: FakeRun) -> None:
        after(6, lambda: fake.control.stop("Ctrl-C"))

    profile = RampingVUs([(5, 2), (0, 1), (50, 1)], 2, graceful_ramp_down=4, graceful_stop=20)
    fake, _ = run(profile, 100 * S, stop)
    assert fake.pool.times("interrupt") == [(9 * S, 1), (26 * S, 0)]


def test_a_run_that_is_stopped_and_late_starts_nobody() -> None:
    fake = FakeRun(ConstantVUs(5, 10), S)
    fake.control.stop("early")

    async def main() -> None:
        loop = fake_loop()
        await run_closed(
            fake.profile,
            fake.pool,
            sleep_until=loop.sleep_until,
            now_ns=loop.now_ns,
            start_ns=-S,
            on_planned=lambda vus: fake.planned.append((loop.now_ns(), vus)),
            dropped=lambda count: fake.dropped.append((loop.now_ns(), count)),
            control=fake.control,
        )

    run_fake(main)
    assert (fake.pool.users, fake.planned, fake.dropped) == ([], [], [])


@pytest.mark.parametrize("seconds", [-2, -0.5])
def test_a_run_stopped_before_its_start_starts_nobody(seconds: float) -> None:
    def stop(fake: FakeRun) -> None:
        if seconds < -1:
            fake.control.stop("early")
        else:
            after(seconds, lambda: fake.control.stop("early"))

    fake, ended_ns = run(ConstantVUs(5, 10), S, stop)
    assert fake.pool.users == []
    assert ended_ns == max(-S, seconds * S)


def test_a_stop_in_the_midst_of_a_crowd_starts_no_more() -> None:
    def stop(fake: FakeRun) -> None:
        def when_some_run() -> None:
            if fake.pool.running:
                fake.control.stop("Ctrl-C")
            else:
                fake_loop().call_soon(when_some_run)

        after(0, when_some_run)

    fake, ended_ns = run(ConstantVUs(10_000, 10), S, stop)
    assert 0 < len(fake.pool.users) <= 4 * START_BATCH
    assert ended_ns == S
    assert len(fake.pool.times("finish")) == len(fake.pool.users)


def test_cancelling_interrupts_waits_and_passes_on() -> None:
    fake = FakeRun(ConstantVUs(3, 100), 90 * S)
    fake.pool.prepare = lambda user: setattr(user, "cleanup_ns", 2 * S)

    async def main() -> int:
        task = asyncio.create_task(fake.go())
        await asyncio.sleep(1 + 7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return fake_loop().now_ns() - fake.pool.start_ns

    assert run_fake(main) == 9 * S
    assert fake.pool.times("interrupt") == [(7 * S, slot) for slot in range(3)]


def test_an_error_leaves_nobody_running() -> None:
    class Broken(FakePool):
        def user(self, index: int) -> FakeUser:
            if index == 2:
                raise OSError("no descriptors left")
            return super().user(index)

    fake = FakeRun(RampingVUs([(5, 5)]), 90 * S)
    fake.pool = Broken(lambda _: 90 * S)

    async def main() -> None:
        with pytest.raises(OSError, match="no descriptors left"):
            await fake.go()

    run_fake(main)
    assert fake.pool.running == 0
    assert len(fake.pool.times("interrupt")) == 2


def test_a_late_scheduler_catches_up_in_order() -> None:
    """The clock is past everything: all steps are due at once, then the end and its deadline."""
    pool = FakePool(lambda _: 5 * S)
    planned: list[int] = []

    async def main() -> None:
        loop = fake_loop()
        await asyncio.sleep(100)
        await run_closed(
            RampingVUs([(3, 3), (3, 1)], start_vus=0, graceful_ramp_down=0),
            pool,
            sleep_until=loop.sleep_until,
            now_ns=loop.now_ns,
            start_ns=0,
            on_planned=planned.append,
            dropped=planned.append,
        )

        assert loop.now_ns() == 100 * S

    run_fake(main)
    assert planned == [0, 1, 2, 3, 2, 1, 0]
    assert pool.running == 0


# -- shared-iterations --


def test_users_share_iterations() -> None:
    fake, ended_ns = run(SharedIterations(7, 2), lambda slot: (1 + 2 * slot) * S)
    # Slot 0 takes 1 s each, slot 1 takes 3 s.
    assert sorted(fake.pool.times("begin")) == [
        (0, 0), (0, 1), (S, 0), (2 * S, 0), (3 * S, 0), (3 * S, 1), (4 * S, 0),
    ]  # fmt: skip
    assert fake.pool.taken == list(range(7))
    assert ended_ns == 6 * S
    assert fake.dropped == []


def test_what_is_left_of_shared_iterations_is_dropped_at_once() -> None:
    fake, ended_ns = run(SharedIterations(100, 2, 10, graceful_stop=2), 4 * S)
    assert fake.dropped == [(10 * S, 94)]
    assert ended_ns == 12 * S


def test_shared_iterations_are_not_taken_after_the_time_is_up() -> None:
    def pausing(fake: FakeRun) -> None:
        fake.pool.prepare = lambda user: setattr(user, "pause_ns", 4 * S)

    fake, _ = run(SharedIterations(5, 1, 10), 4 * S, pausing)
    # Iterations from 0 to 4 and from 8 to 12; the pause ends at 16.
    assert fake.pool.taken == [0, 1]
    assert fake.dropped == [(10 * S, 3)]


def test_a_stopped_run_of_shared_iterations_drops_nothing() -> None:
    def stop(fake: FakeRun) -> None:
        after(5, lambda: fake.control.stop("Ctrl-C"))

    fake, _ = run(SharedIterations(100, 2), 3 * S, stop)
    assert fake.dropped == []
    assert len(fake.pool.taken) == 4


# -- externally controlled --


def controlled(
    profile: ExternallyControlled,
    length_of: Callable[[int], int] | int,
    *moves: tuple[float, Callable[[RunControl], None]],
) -> tuple[FakeRun, int]:
    fake = FakeRun(profile, length_of)

    async def main() -> int:
        fake.vu_control = VuControl(profile.vus, profile.peak_vus)
        fake.control.begin({"any": fake.vu_control})
        for seconds, move in moves:
            after(seconds, lambda move=move: move(fake.control))  # type: ignore[misc]
        return await fake.go()

    return fake, run_fake(main)


def test_users_are_as_many_as_the_program_says() -> None:
    fake, ended_ns = controlled(
        ExternallyControlled(1, 10, 20),
        S + 1,
        (5, lambda control: control.set_vus(4)),
        (10, lambda control: control.set_vus(2)),
        (15, lambda control: control.set_vus(0)),
    )
    assert fake.planned == [(0, 1), (5 * S, 4), (10 * S, 2), (15 * S, 0)]
    assert fake.pool.most_running == 4
    assert ended_ns == 20 * S
    assert max(at for at, _ in fake.pool.times("begin")) < 15 * S


def test_a_pause_keeps_the_number_of_users() -> None:
    fake, ended_ns = controlled(
        ExternallyControlled(3, 5, 20),
        S + 1,
        (5, RunControl.pause),
        (7, lambda control: control.set_vus(5)),
        (10, RunControl.resume),
    )
    assert fake.planned == [(0, 3), (5 * S, 0), (10 * S, 5), (20 * S, 0)]
    assert not [at for at, _ in fake.pool.times("begin") if 5 * S <= at < 10 * S]
    assert 20 * S <= ended_ns <= 21 * S


def test_a_user_that_is_taken_off_has_its_ramp_down() -> None:
    fake, _ = controlled(
        ExternallyControlled(2, 2, 60, graceful_ramp_down=3),
        90 * S,
        (5, lambda control: control.set_vus(1)),
        (20, RunControl.pause),
        (21, RunControl.resume),
    )
    # The other one, wanted again within its ramp-down, goes on to the end of the graceful stop.
    assert fake.pool.times("interrupt") == [(8 * S, 1)]
    assert fake.pool.times("finish") == [(90 * S, 0)]
    assert fake.pool.resumed == 1


def test_nobody_runs_before_the_first_move() -> None:
    fake, _ = controlled(ExternallyControlled(0, 2, 10), S, (4, lambda control: control.set_vus(2)))
    assert fake.planned == [(0, 0), (4 * S, 2), (10 * S, 0)]
    assert fake.pool.times("begin")[:2] == [(4 * S, 0), (4 * S, 1)]


# -- shares --


@pytest.mark.parametrize(
    "profile",
    [
        ConstantVUs(7, 10),
        RampingVUs([(5, 9), (5, 2)], start_vus=0),
        PerVUIterations(5, 2, 10),
    ],
)
@pytest.mark.parametrize("workers", [2, 3, 8])
def test_the_workers_together_do_what_one_does(profile: ClosedModel, workers: int) -> None:
    def length_of(slot: int) -> int:
        return (900 + 100 * slot) * MS + 1

    whole, _ = run(profile, length_of)
    parts = [FakeRun(profile, length_of, Share(index, workers)) for index in range(workers)]
    for part in parts:
        run_fake(part.go)
    history = sorted(itertools.chain(*(part.pool.history for part in parts)))
    assert history == sorted(whole.pool.history)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_the_workers_together_take_all_shared_iterations(workers: int) -> None:
    parts = [FakeRun(SharedIterations(20, 3), S, Share(i, workers)) for i in range(workers)]
    for part in parts:
        run_fake(part.go)
    assert sorted(itertools.chain(*(part.pool.taken for part in parts))) == list(range(20))
    assert sum(len(part.pool.users) for part in parts) == 3
