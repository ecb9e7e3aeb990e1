"""Runs that are followed and steered while they go, beside other tasks and other runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    ExternallyControlled,
    InvalidPlan,
    PerVUIterations,
    Progress,
    Result,
    Scenario,
    Trend,
    UsageError,
    feeder,
    scenario,
)
from ghostcore.testing import EchoServer
from ghostcore.testing.fakeclock import run_fake

T, C = Trend("t"), Counter("c")


def naps(seconds: float, users: int = 2, **options: Any) -> Scenario:
    @scenario(load=ConstantVUs(users, seconds), metrics=[T, C], **options)
    async def one(vu: VU) -> None:
        await vu.sleep(0.25)
        vu.record(C, 1)
        vu.record(T, asyncio.get_running_loop().time())
        await vu.sleep(0.25)

    return one


def test_a_second_after_the_other() -> None:
    async def main() -> None:
        seen: list[Progress] = []
        totals: list[int] = []
        seconds: list[int] = []
        async with ghostcore.start(naps(4.9), seed=1) as running:
            async for progress in running:
                seen.append(progress)
                totals.append(progress.metrics["c"].count)
                seconds.append(progress.last_second["c"].count)
                assert progress.totals is seen[0].totals
        result = await running.result()
        assert running.is_over
        # The last of them is what was left when the load was over.
        assert [round(one.elapsed_s) for one in seen] == [1, 2, 3, 4, 5, 5]
        assert seconds[:5] == [4] * 5
        assert totals[:5] == [4, 8, 12, 16, 20]
        assert result.metrics["c"].count == 20
        first = seen[0]
        assert (first.planned_vus, first.active_vus, first.missed) == (2, 2, 0)
        assert first.last_second["t"].max <= 1
        assert first.planned_s == 4.9

    run_fake(main)


def test_a_slow_reader_gets_the_latest_and_is_told_what_it_missed() -> None:
    async def main() -> None:
        at: list[tuple[int, int]] = []
        async with ghostcore.start(naps(10), seed=1) as running:
            async for progress in running:
                at.append((round(progress.elapsed_s), progress.missed))
                await asyncio.sleep(3.5)
        # It comes back at 4.5 and finds the 4th second, at 8 and 11.5.
        assert at[:2] == [(1, 0), (4, 2)]
        assert sum(missed + 1 for _, missed in at) == 11, "ten seconds, and the rest"
        assert (await running.result()).duration_s == pytest.approx(10, abs=0.6)

    run_fake(main)


def test_several_readers_and_one_that_leaves() -> None:
    async def main() -> None:
        async with ghostcore.start(naps(5), seed=1) as running:

            async def read(limit: int) -> int:
                count = 0
                async for _ in running:
                    count += 1
                    if count == limit:
                        break
                return count

            counts = await asyncio.gather(read(2), read(100), read(100))
            assert counts[0] == 2
            assert counts[1] == counts[2] >= 5
            assert [_ async for _ in running] == [], "it is over"

    run_fake(main)


def test_the_reader_stops_the_run() -> None:
    async def main() -> Result:
        async with ghostcore.start(naps(600), seed=1) as running:
            async for progress in running:
                if progress.elapsed_s >= 3:
                    running.stop("seen enough")
            return await running.result()

    result = run_fake(main)
    assert (result.verdict, result.exit_code) == ("inconclusive", 105)
    assert result.reasons == ["interrupted: seen enough"]
    assert result.duration_s == pytest.approx(3.5, abs=0.1)
    assert result.outcome.interrupted == 0


def test_users_under_control_follow_the_reader() -> None:
    @scenario(load=ExternallyControlled(1, 10, "20s"))
    async def one(vu: VU) -> None:
        await vu.sleep(0.1)

    async def main() -> list[int]:
        active: list[int] = []
        async with ghostcore.start(one, seed=1) as running:
            async for progress in running:
                active.append(progress.active_vus)
                if len(active) < 5:
                    running.control.set_vus(len(active))
                elif len(active) == 5:
                    running.stop()
        return active

    assert run_fake(main)[:5] == [1, 1, 2, 3, 4]


def test_leaving_the_block_waits_for_the_end() -> None:
    async def main() -> Result:
        async with ghostcore.start(naps(5), seed=1) as running:
            assert not running.is_over
        assert running.is_over
        return await running.result()

    assert run_fake(main).exit_code == 0


def test_an_error_in_the_block_interrupts_the_run() -> None:
    ended: list[Any] = []

    async def teardown(data: Any) -> None:
        ended.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async with ghostcore.start(naps(600), seed=1, teardown=teardown) as running:
            async for progress in running:
                if progress.elapsed_s >= 3:
                    raise KeyError("of the block")

    with pytest.raises(KeyError, match="of the block"):
        run_fake(main)
    assert ended == [pytest.approx(3, abs=0.1)]


@pytest.mark.parametrize("waits_in", ["result", "exit"])
def test_cancelling_the_block_interrupts_the_run(waits_in: str) -> None:
    ended: list[float] = []

    async def teardown(data: Any) -> None:
        ended.append(asyncio.get_running_loop().time())

    async def block() -> None:
        async with ghostcore.start(naps(600), seed=1, teardown=teardown) as running:
            if waits_in == "result":
                await running.result()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(block(), 5)
        assert ended == [pytest.approx(5, abs=0.1)]

    run_fake(main)


def test_waiting_for_the_result_can_be_given_up() -> None:
    async def main() -> Result:
        async with ghostcore.start(naps(10), seed=1) as running:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(running.result(), 2)
            assert not running.is_over
        return await running.result()

    assert run_fake(main).exit_code == 0


def test_what_the_run_raises_is_raised() -> None:
    class Listener:
        def started(self, plan: Any) -> None:
            """Nothing."""

        def progressed(self, progress: Progress) -> None:
            raise KeyError("of the listener")

        def finished(self, result: Result) -> None:
            """Nothing."""

    async def main() -> None:
        with pytest.raises(KeyError, match="of the listener"):
            async with ghostcore.start(naps(600), seed=1, listener=Listener()) as running:
                async for _ in running:
                    """Until it is over."""
        with pytest.raises(KeyError, match="of the listener"):
            await running.result()
        with pytest.raises(ValueError, match="of the block") as caught:
            async with ghostcore.start(naps(600), seed=1, listener=Listener()):
                await asyncio.sleep(5)
                raise ValueError("of the block")
        assert "the run failed as well: KeyError('of the listener')" in caught.value.__notes__

    run_fake(main)


def test_a_listener_is_told_too() -> None:
    told: list[str] = []

    class Listener:
        def started(self, plan: Any) -> None:
            told.append("started")

        def progressed(self, progress: Progress) -> None:
            told.append("progressed")

        def finished(self, result: Result) -> None:
            told.append("finished")

    async def main() -> None:
        async with ghostcore.start(naps(2), listener=Listener()):
            pass

    run_fake(main)
    assert told[0] == "started"
    assert told[-1] == "finished"
    assert told.count("progressed") >= 2


def test_a_plan_that_cannot_be_is_refused_on_entering() -> None:
    async def main() -> None:
        running = ghostcore.start(naps(-1))
        with pytest.raises(UsageError, match="has not been started"):
            await running.result()
        with pytest.raises(InvalidPlan, match="duration must not be negative"):
            async with running:
                pytest.fail("it must not start")
        again = ghostcore.start(naps(0.5))
        async with again:
            pass
        with pytest.raises(UsageError, match="a run is started once"):
            async with again:
                pytest.fail("it must not start twice")

    run_fake(main)


def test_the_warm_up_in_a_stream() -> None:
    async def main() -> None:
        seen = []
        async with ghostcore.start(naps(6), seed=1, warmup=3) as running:
            async for progress in running:
                counted = progress.metrics["c"].count
                second = progress.last_second["c"].count
                seen.append((progress.warming_up, counted, second))
        assert seen[:5] == [(True, 0, 4), (True, 0, 4), (True, 0, 4), (False, 4, 4), (False, 8, 4)]

    run_fake(main)


def test_runs_at_the_same_time_do_not_mix() -> None:
    """Each has its own metrics, settings, data, rows, seed and end."""
    users = feeder(list(range(100)), order="unique")
    seen: dict[str, list[Any]] = {"a": [], "b": []}

    @scenario(load=ConstantVUs(3, 30, graceful_stop=1), feeders=[users], metrics=[C])
    async def one(vu: VU) -> None:
        name = vu.env["NAME"]
        vu.record(C, 1 if name == "a" else 100)
        if vu.iteration == 0:
            seen[name].append((vu.id, vu.row(users), vu.data, vu.random.random()))
        await vu.sleep(1.3)
        if name == "b" and vu.iteration == 4:
            vu.abort("b has enough")

    async def setup(env: Any) -> str:
        await asyncio.sleep(1)
        return f"data of {env['NAME']}"

    async def main() -> tuple[Result, Result]:
        return await asyncio.gather(
            ghostcore.run_async(one, env={"NAME": "a"}, seed=1, setup=setup),
            ghostcore.run_async(one, env={"NAME": "b"}, seed=2, setup=setup),
        )

    first, second = run_fake(main)
    assert (first.exit_code, second.exit_code) == (0, 108)
    assert first.metrics["c"].count == first.metrics["iterations_started"].count
    assert second.metrics["c"].count == 100 * second.metrics["iterations_started"].count
    assert first.duration_s > 29
    assert second.duration_s < 8
    assert {data for _, _, data, _ in seen["a"]} == {"data of a"}
    assert {data for _, _, data, _ in seen["b"]} == {"data of b"}
    rows = [[row for _, row, _, _ in sorted(seen[name])] for name in "ab"]
    assert rows == [[0, 1, 2], [0, 1, 2]], "unique within a run"
    assert {number for *_, number in seen["a"]}.isdisjoint(number for *_, number in seen["b"])


@pytest.fixture(params=["uvloop", "asyncio"])
def execute(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine to its end on each kind of loop."""

    def on_loop(main: Coroutine[Any, Any, Any]) -> Any:
        return uvloop.run(main) if request.param == "uvloop" else asyncio.run(main)

    return on_loop


def test_a_run_in_somebody_elses_loop(execute: Any, no_leaks: None) -> None:
    """Beside tasks of theirs, which go on; on two servers at once, whose figures do not mix."""

    @scenario(load=PerVUIterations(20, 3))
    async def talk(vu: VU) -> None:
        async with vu.connect(vu.env["URL"]) as session:
            for _ in range(5):
                await session.send("x" * int(vu.env["SIZE"]))
                assert len((await session.recv(timeout=5)).text) == int(vu.env["SIZE"])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        theirs = asyncio.create_task(beat())
        handlers = loop.get_exception_handler()
        async with EchoServer() as one, EchoServer() as two:
            small, large = await asyncio.gather(
                ghostcore.run_async(talk, env={"URL": one.url, "SIZE": "10"}, seed=1),
                ghostcore.run_async(talk, env={"URL": two.url, "SIZE": "1000"}, seed=1),
            )
            assert beats > 10, "their task had its turns"
            assert not theirs.done()
            for result, size in ((small, 10), (large, 1000)):
                assert result.exit_code == 0
                assert result.metrics["ws_sessions_opened"].count == 60
                assert result.metrics["ws_msgs_sent"].count == 300
                assert 300 * size < result.metrics["data_received"].count < 300 * (size + 20) + 2000
            again = await ghostcore.run_async(talk, env={"URL": one.url, "SIZE": "10"})
            assert again.exit_code == 0
        assert loop.get_exception_handler() is handlers
        theirs.cancel()
        await asyncio.gather(theirs, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind"

    execute(main())
