from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from ghostcore.load import ConstantArrivalRate, OpenModel, RampingArrivalRate, Share
from ghostcore.load.control import START_BATCH
from ghostcore.testing.fakeclock import run_fake
from tests.reference.fakeusers import MS, FakeOpenRun, FakePool, FakeUser, S, after, fake_loop


def run(
    profile: OpenModel,
    length_of: Callable[[int], int] | int,
    during: Callable[[FakeOpenRun], None] = lambda _: None,
    share: Share | None = None,
) -> tuple[FakeOpenRun, int]:
    fake = FakeOpenRun(profile, length_of, share)

    async def main() -> int:
        during(fake)
        return await fake.go()

    return fake, run_fake(main)


# -- starts at their time --


def test_starts_come_at_their_time_whatever_users_do() -> None:
    fake, ended_ns = run(ConstantArrivalRate(4, 2, preallocated_vus=20), 3 * S)
    assert fake.pool.begun == [(i, i * S // 4, 0) for i in range(8)]
    assert ended_ns == 7 * S // 4 + 3 * S
    assert (fake.dropped, fake.cut_off, fake.warnings) == ([], [], [])
    assert fake.users == [(-S, 20)]


def test_the_last_start_of_a_ramp_is_made_at_its_very_end() -> None:
    fake, ended_ns = run(RampingArrivalRate([(10, 10)], preallocated_vus=50), 500 * MS)
    assert len(fake.pool.begun) == 50
    assert fake.pool.begun[-1] == (49, 10 * S, 0)
    assert ended_ns == 10_500 * MS


def test_the_profile_lasts_its_whole_time() -> None:
    _, ended_ns = run(RampingArrivalRate([(1, 1), (9, 0)], start_rate=1), 100 * MS)
    assert ended_ns == 10 * S


def test_an_iteration_under_way_at_the_end_has_its_graceful_stop() -> None:
    profile = ConstantArrivalRate(1, 3, preallocated_vus=3, graceful_stop=5)
    fake, ended_ns = run(profile, lambda slot: (20, 7, 4)[slot] * S)
    assert len(fake.pool.times("finish")) == 2
    assert fake.pool.times("interrupt") == [(8 * S, 0)]
    assert ended_ns == 8 * S


def test_starts_that_the_loop_comes_late_to_are_made_late() -> None:
    def stall(fake: FakeOpenRun) -> None:
        after(1.05, lambda: fake_loop().clock.advance(0.5))

    fake, _ = run(ConstantArrivalRate(10, 3, preallocated_vus=20), 300 * MS, stall)
    assert [number for number, _, _ in fake.pool.begun] == list(range(30))
    late = {number: lateness for number, _, lateness in fake.pool.begun if lateness}
    assert late == {11 + i: (450 - 100 * i) * MS for i in range(5)}
    assert fake.dropped == []


def test_a_crowd_that_is_due_at_one_instant_lets_the_loop_breathe() -> None:
    passes: list[int] = []

    def watch(fake: FakeOpenRun) -> None:
        def count() -> None:
            passes.append(len(fake.pool.begun))
            if len(fake.pool.begun) < 3_000:
                fake_loop().call_soon(count)

        def late() -> None:
            fake_loop().clock.advance(3)
            count()

        after(0, late)

    fake, _ = run(ConstantArrivalRate(1000, 3, preallocated_vus=3000), S, watch)
    assert len(fake.pool.begun) == 3000
    assert max(b - a for a, b in itertools.pairwise(passes)) <= START_BATCH


# -- nobody free: drop --


def test_a_start_that_finds_nobody_free_is_dropped_and_cut_off_when_somebody_is() -> None:
    fake, _ = run(ConstantArrivalRate(10, 1, preallocated_vus=2), 350 * MS)
    assert [number for number, _, _ in fake.pool.begun] == [0, 1, 4, 5, 8, 9]
    assert fake.dropped == [200 * MS, 300 * MS, 600 * MS, 700 * MS]
    # Slot 0 is free at 350 and 750 ms.
    assert [elapsed for _, elapsed in fake.cut_off] == [150 * MS, 50 * MS, 150 * MS, 50 * MS]
    assert fake.warnings == [
        "4 starts found no free user among 2; by the time that iterations took, the peak of this "
        "rate needs about 4"
    ]


def test_users_that_are_too_few_for_a_moment_only_are_told_apart() -> None:
    def slow_once(fake: FakeOpenRun) -> None:
        fake.pool.prepare = lambda user: setattr(user, "pause_ns", 0 if user.slot else 3 * S)

    fake, _ = run(ConstantArrivalRate(1, 60, preallocated_vus=1), 900 * MS, slow_once)
    assert fake.warnings[0].endswith("needs about 4")
    fake, _ = run(ConstantArrivalRate(2, 60, preallocated_vus=2), lambda slot: 900 * MS + slot)
    assert fake.warnings == []

    def stall(fake: FakeOpenRun) -> None:
        after(10.2, lambda: fake_loop().clock.advance(20))

    fake, _ = run(ConstantArrivalRate(2, 60, preallocated_vus=2), 500 * MS - 1, stall)
    assert fake.warnings[0].endswith(
        "about 2 would do on average, so iterations were far slower at times"
    )


def test_a_user_whose_answer_is_there_already_is_free() -> None:
    # Both things are due at the same instants: the iteration's end comes first.
    fake, _ = run(ConstantArrivalRate(10, 2, preallocated_vus=3), 300 * MS)
    assert len(fake.pool.begun) == 20
    assert fake.dropped == []


def test_a_stalled_loop_gives_answers_their_turn_before_it_drops() -> None:
    def stall(fake: FakeOpenRun) -> None:
        after(1.05, lambda: fake_loop().clock.advance(0.5))

    # The three users have long been answered when the loop comes back: three of the five starts
    # that are due by then are made.
    fake, _ = run(ConstantArrivalRate(10, 3, preallocated_vus=3), 250 * MS, stall)
    assert fake.dropped[:2] == [1_550 * MS] * 2
    assert [number for number, _, lateness in fake.pool.begun if lateness] == [11, 12, 13]


def test_a_stalled_loop_does_not_look_again_for_each_of_thousands() -> None:
    passes = 0

    def watch(fake: FakeOpenRun) -> None:
        def count() -> None:
            nonlocal passes
            passes += 1
            if len(fake.dropped) < 1_999:
                fake_loop().call_soon(count)

        def late() -> None:
            fake_loop().clock.advance(2)
            count()

        after(0, late)

    fake, _ = run(ConstantArrivalRate(1000, 2, preallocated_vus=1), 10 * S, watch)
    assert len(fake.dropped) == 1_999
    assert passes < 30


def test_what_is_dropped_at_the_end_is_cut_off_when_its_user_is_interrupted() -> None:
    fake, ended_ns = run(ConstantArrivalRate(1, 3, preallocated_vus=1, graceful_stop=2), 90 * S)
    assert fake.dropped == [S, 2 * S]
    assert fake.cut_off == [(5 * S, 4 * S), (5 * S, 3 * S)]
    assert ended_ns == 5 * S


def test_users_beyond_those_preallocated_come_as_in_k6() -> None:
    fake, _ = run(ConstantArrivalRate(10, 2, preallocated_vus=1, max_vus=4), 350 * MS)
    assert fake.dropped[:3] == [100 * MS, 300 * MS, 700 * MS]
    assert [number for number, _, _ in fake.pool.begun][:6] == [0, 2, 4, 5, 6, 8]
    assert fake.users == [(-S, 1), (100 * MS, 2), (300 * MS, 3), (700 * MS, 4)]
    assert fake.cut_off[:3] == [(100 * MS, 0), (300 * MS, 0), (700 * MS, 0)]
    assert fake.warnings == []


def test_ten_thousand_drops_are_told_in_batches() -> None:
    passes: list[int] = []

    def watch(fake: FakeOpenRun) -> None:
        def count() -> None:
            passes.append(len(fake.cut_off))
            if len(fake.cut_off) < 9_999:
                fake_loop().call_soon(count)

        after(1.5, count)

    fake, _ = run(ConstantArrivalRate(10_000, 1, preallocated_vus=1), 1_500 * MS, watch)
    assert len(fake.dropped) == len(fake.cut_off) == 9_999
    assert fake.cut_off[0] == (1_500 * MS, 1_500 * MS - 100_000)
    assert max(b - a for a, b in itertools.pairwise(passes)) <= START_BATCH


# -- nobody free: queue --


def test_a_start_may_wait_for_a_free_user() -> None:
    fake, ended_ns = run(ConstantArrivalRate(10, 1, preallocated_vus=2, on_busy="queue"), 300 * MS)
    assert fake.pool.begun == [
        (0, 0, 0),
        (1, 100 * MS, 0),
        (2, 200 * MS, 100 * MS),
        (3, 300 * MS, 100 * MS),
        (4, 400 * MS, 200 * MS),
        (5, 500 * MS, 200 * MS),
        (6, 600 * MS, 300 * MS),
    ]
    # At 1 s, numbers 7, 8 and 9 have waited in vain.
    assert fake.dropped == [S, S, S]
    assert [elapsed for _, elapsed in fake.cut_off] == [300 * MS, 200 * MS, 100 * MS]
    assert ended_ns == 1_200 * MS


def test_a_queue_has_users_made_up_to_max_vus() -> None:
    profile = ConstantArrivalRate(10, 1, preallocated_vus=1, max_vus=3, on_busy="queue")
    fake, _ = run(profile, 300 * MS)
    assert fake.users == [(-S, 1), (100 * MS, 2), (200 * MS, 3)]
    assert all(lateness == 0 for _, _, lateness in fake.pool.begun)


# -- users by Little's law --


def test_users_are_made_ahead_of_need() -> None:
    fake, _ = run(ConstantArrivalRate(100, 10), 2 * S - 1)
    assert len(fake.pool.begun) == 1000
    assert fake.dropped == []
    # 100/s for 2 s each: 200 are busy, and there is some headroom.
    assert fake.pool.most_running == 200
    assert 200 <= len(fake.pool.users) <= 300
    grown = [users for _, users in fake.users]
    assert grown == sorted(grown)
    assert grown[0] == 10


def test_no_more_users_are_made_than_max_vus() -> None:
    fake, _ = run(ConstantArrivalRate(100, 5, max_vus=50), 2 * S)
    assert len(fake.pool.users) == 50
    assert len(fake.pool.begun) + len(fake.dropped) == 500
    (warning,) = fake.warnings
    assert warning.endswith("the peak of this rate needs about 200")


def test_a_ramp_is_met_without_a_drop() -> None:
    fake, _ = run(RampingArrivalRate([(10, 200), (5, 200)]), 700 * MS)
    assert fake.dropped == []
    assert len(fake.pool.begun) == 2000


# -- stopping --


def test_the_first_stop_starts_no_more_and_lets_users_finish() -> None:
    def stop(fake: FakeOpenRun) -> None:
        after(2.05, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(ConstantArrivalRate(10, 60, preallocated_vus=20), S, stop)
    assert len(fake.pool.begun) == 21
    assert fake.pool.times("interrupt") == []
    assert ended_ns == 3 * S
    assert fake.dropped == []


def test_the_second_stop_interrupts_at_once() -> None:
    def stop(fake: FakeOpenRun) -> None:
        after(2.05, lambda: fake.control.stop("Ctrl-C"))
        after(2.5, lambda: fake.control.stop("Ctrl-C"))

    fake, ended_ns = run(ConstantArrivalRate(10, 60, preallocated_vus=20), S, stop)
    assert ended_ns == 2_500 * MS
    assert len(fake.pool.times("interrupt")) == 5


def test_what_waits_when_a_run_is_stopped_is_dropped() -> None:
    def stop(fake: FakeOpenRun) -> None:
        after(1, lambda: fake.control.stop("Ctrl-C"))

    fake, _ = run(ConstantArrivalRate(4, 60, preallocated_vus=1, on_busy="queue"), 10 * S, stop)
    assert fake.dropped == [S] * 4
    assert [elapsed for _, elapsed in fake.cut_off] == [750 * MS, 500 * MS, 250 * MS, 0]


def test_a_run_that_is_stopped_before_its_start_makes_nothing() -> None:
    def stop(fake: FakeOpenRun) -> None:
        after(-0.5, lambda: fake.control.stop("early"))

    fake, ended_ns = run(ConstantArrivalRate(10, 60, start_time=5), S, stop)
    assert (fake.pool.begun, fake.dropped) == ([], [])
    assert ended_ns == -500 * MS


def test_cancelling_interrupts_waits_and_passes_on() -> None:
    fake = FakeOpenRun(ConstantArrivalRate(1, 100, preallocated_vus=9), 90 * S)
    fake.pool.prepare = lambda user: setattr(user, "cleanup_ns", 2 * S)

    async def main() -> int:
        task = asyncio.create_task(fake.go())
        await asyncio.sleep(1 + 2.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return fake_loop().now_ns() - fake.pool.start_ns

    assert run_fake(main) == 4_500 * MS
    assert len(fake.pool.times("interrupt")) == 3
    assert fake.pool.on_idle is None


def test_an_error_leaves_nobody_running() -> None:
    class Broken(FakePool):
        def user(self, index: int) -> FakeUser:
            if index == 2:
                raise OSError("no descriptors left")
            return super().user(index)

    fake = FakeOpenRun(ConstantArrivalRate(1, 100), 90 * S)
    fake.pool = Broken(lambda _: 90 * S)

    async def main() -> None:
        with pytest.raises(OSError, match="no descriptors left"):
            await fake.go()

    run_fake(main)
    assert fake.pool.running == 0


# -- shares --


def test_a_worker_makes_its_share_with_its_users() -> None:
    profile = ConstantArrivalRate(10, 1, preallocated_vus=4)
    fake, _ = run(profile, 100 * MS, share=Share(1, 3))
    assert fake.pool.begun == [(i, i * 100 * MS, 0) for i in (1, 4, 7)]
    assert [user.slot for user in fake.pool.users] == [1]


def test_a_worker_without_users_makes_nothing() -> None:
    fake, ended_ns = run(ConstantArrivalRate(10, 1, preallocated_vus=2), S, share=Share(2, 3))
    assert (fake.pool.users, fake.dropped) == ([], [])
    assert ended_ns == -S
