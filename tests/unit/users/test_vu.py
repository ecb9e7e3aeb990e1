"""Users and their pool, driven by the real executor on a real loop against real servers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    ClosedByPeer,
    DataExhausted,
    PerVUIterations,
    ScriptAborted,
    TargetError,
    UsageError,
)
from ghostcore._engine import Traffic, engine_of
from ghostcore.errors import Phase
from ghostcore.load import ConstantVUs
from ghostcore.load.closed import run_closed
from ghostcore.load.control import RunControl
from ghostcore.sessions.session import Session
from ghostcore.testing import EchoServer, SocketIOServer
from ghostcore.users.observer import UserObserver
from ghostcore.users.slots import UserPool
from ghostcore.users.vu import VU, Scope

pytestmark = pytest.mark.usefixtures("no_leaks")

METRIC = "metric"


class Recording:
    """A ScenarioSink that keeps everything."""

    scenario = "play"

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.counts: Counter[str] = Counter()
        self.target: list[TargetError] = []
        self.script: list[BaseException] = []
        self.samples: list[tuple[Any, float]] = []
        self.cut: list[tuple[Any, str]] = []
        self.cut_ns: list[int] = []
        self.aborts: list[str] = []
        self.active = 0
        self.most_active = 0

    def record(self, metric: Any, value: float, tags: Mapping[str, str]) -> None:
        self.samples.append((metric, value))

    def check(self, name: str, passed: bool) -> None:
        self.counts[f"{name}: {passed}"] += 1

    def iteration_started(self) -> None:
        self.counts["started"] += 1

    def iteration_ended(self, elapsed_ns: int, failed: bool) -> None:
        self.counts["failed" if failed else "passed"] += 1

    def iteration_interrupted(self, elapsed_ns: int) -> None:
        self.counts["interrupted"] += 1

    def first_step(self, metrics: tuple[Any, ...]) -> None:
        self.counts["first step"] += 1

    def start_cut_off(self, elapsed_ns: int) -> None:
        self.counts["start cut off"] += 1

    def dropped(self, count: int) -> None:
        self.counts["dropped"] += count

    def ticks_cut_off(
        self, metrics: tuple[Any, ...], elapsed_ns: int, step_ns: int, count: int, cause: str
    ) -> None:
        self.counts[f"ticks cut off: {cause}"] += count

    def operation_begins(self, at_ns: int, *metrics: Any) -> Recording:
        return self

    def _ignore(self, *_: Any) -> None:
        pass

    iteration_late = response_ended = response_cut_off = _ignore
    sample_from_due = failed_from_due = cut_off_from_due = _ignore

    def users(self, change: int) -> None:
        self.active += change
        self.most_active = max(self.most_active, self.active)

    def aborted(self, reason: str) -> None:
        self.aborts.append(reason)

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        self.samples.append((metric, elapsed_ns))

    def failed(self, metric: Any) -> None:
        self.samples.append((metric, float("inf")))

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        self.cut.append((metric, cause))
        self.cut_ns.append(elapsed_ns)

    def trend(self, metric: Any) -> None:
        return None

    def cancel_cause(self) -> str:
        return "end"

    def phase(self, name: Phase, elapsed_ns: int) -> None:
        self.counts[f"phase {name}"] += 1

    def dialing(self) -> None:
        self.counts["dialed"] += 1

    def opened(self, session: Session, tcp_ns: int) -> None:
        self.counts["opened"] += 1

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        self.counts["not opened"] += 1

    def ended(self, session: Session) -> None:
        self.counts["ended"] += 1

    def target_error(self, error: TargetError) -> None:
        self.target.append(error)

    def script_error(self, error: BaseException) -> None:
        self.script.append(error)

    def data_exhausted(self, error: DataExhausted) -> None:
        self.counts["exhausted"] += 1


Play = Callable[[VU], Coroutine[Any, Any, Any]]


async def drive(
    play: Play,
    load: ConstantVUs | PerVUIterations,
    *,
    back_off: bool = True,
    control: RunControl | None = None,
    seed: int = 7,
) -> Recording:
    """Run a scenario as a worker does, and wait until its connections are down."""
    engine = engine_of(asyncio.get_running_loop())
    recording = Recording()
    broken: list[BaseException] = []
    pool = UserPool(
        engine, recording, Scope("play", {"K": "v"}), play, seed, back_off=back_off,
        on_broken=broken.append,
    )  # fmt: skip
    await run_closed(
        load,
        pool,
        sleep_until=engine.timers.sleep_until,
        now_ns=engine.now_ns,
        start_ns=engine.now_ns(),
        on_planned=lambda _: None,
        dropped=lambda count: recording.counts.update(dropped=count),
        control=control,
    )
    assert broken == [] and pool.running == 0 and recording.active == 0
    for _ in range(3000):
        if not pool.closing():
            break
        await asyncio.sleep(0.01)
    assert pool.closing() == []
    return recording


def once(vus: int = 1, iterations: int = 1) -> PerVUIterations:
    return PerVUIterations(vus=vus, iterations=iterations, max_duration="60s")


def closed_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}"


def test_what_a_user_is_given(run: Any) -> None:
    given: list[tuple[int, int, float]] = []

    async def play(vu: VU) -> None:
        assert vu.env["K"] == "v" and vu.scenario == "play"
        given.append((vu.id, vu.iteration, vu.random.random()))
        await vu.sleep(0)

    async def main() -> Recording:
        return await drive(play, once(4, 3))

    first = run(main())
    assert first.counts == {"started": 12, "passed": 12}
    assert sorted((user, turn) for user, turn, _ in given) == [
        (user, turn) for user in range(1, 5) for turn in range(3)
    ]
    assert len({value for _, _, value in given}) == 12  # every start has numbers of its own
    before, given[:] = sorted(given), []
    run(main())
    assert sorted(given) == before  # and the same seed gives the same


def test_errors_are_counted_as_what_they_are(run: Any) -> None:
    url = closed_url()

    async def play(vu: VU) -> None:
        if vu.iteration == 0:
            await vu.connect(url)
        elif vu.iteration == 1:
            raise KeyError("mine")
        elif vu.iteration == 2:
            async with asyncio.TaskGroup() as group:
                group.create_task(open_one(vu))
        elif vu.iteration == 3:
            raise ExceptionGroup("both", [ValueError("a"), ghostcore.Timeout("late")])
        elif vu.iteration == 4:
            task = asyncio.create_task(open_one(vu))
            task.cancel()
            await task
        else:
            assert vu.check(1, "one") and not vu.check([], "none")

    async def open_one(vu: VU) -> None:
        await vu.connect(url)

    recording = run(drive(play, once(1, 6)))
    kinds = [error.kind for error in recording.target]
    assert kinds == ["connection_refused", "connection_refused", "receive_timeout"]
    assert [type(error) for error in recording.script] == [
        KeyError, ValueError, asyncio.CancelledError
    ]  # fmt: skip
    assert recording.counts["failed"] == 5 and recording.counts["passed"] == 1
    assert recording.counts["one: True"] == recording.counts["none: False"] == 1


def test_a_user_that_cancels_itself_goes_on_as_one_user(run: Any) -> None:
    async def play(vu: VU) -> None:
        if vu.iteration == 0:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await vu.sleep(3600)

    recording = run(drive(play, once(1, 3)))
    assert recording.counts == {"started": 3, "failed": 1, "passed": 2}
    assert [type(error) for error in recording.script] == [asyncio.CancelledError]
    assert recording.most_active == 1


def test_one_end_of_a_session_is_one_error(run: Any) -> None:
    async def main() -> Recording:
        server = SocketIOServer()
        server.on("kick", lambda client: client.disconnect(close=True))

        async def play(vu: VU) -> None:
            async with vu.socketio(server.url) as session, asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(session.wait_for("never"))
                await vu.sleep(0)
                session.emit("kick")

        async with server:
            return await drive(play, once(2, 2))

    recording = run(main())
    assert [type(error) for error in recording.target] == [ClosedByPeer] * 4
    assert recording.script == [] and recording.counts["failed"] == 4
    assert recording.counts["opened"] == recording.counts["ended"] == 4


def test_abort(run: Any) -> None:
    async def main() -> Recording:
        server = SocketIOServer()
        server.on("go", lambda client: client.emit("now"))

        async def play(vu: VU) -> None:
            if vu.id == 1:
                vu.abort("by the scenario")
            if vu.id == 2:
                async with asyncio.TaskGroup() as group:
                    group.create_task(abort_soon(vu))
                    await vu.sleep(60)
            async with vu.socketio(server.url) as session:
                session.on("now", lambda: vu.abort("by a handler"))
                await session.request("go", reply="now")
                await vu.sleep(0.01)

        async def abort_soon(vu: VU) -> None:
            vu.abort("by a task")

        async with server:
            return await drive(play, once(3))

    recording = run(main())
    assert recording.aborts == ["by the scenario", "by a task", "by a handler"]
    assert recording.script == [] and recording.target == []
    with pytest.raises(ScriptAborted, match="why"):
        raise ScriptAborted("why")


def test_sessions_that_an_iteration_leaves_open_are_closed(run: Any) -> None:
    async def main() -> Recording:
        async def play(vu: VU) -> None:
            for _ in range(40):
                session = await vu.connect(server.url)
                await session.send("hello")
            assert (await session.recv()).text == "hello"

        async with EchoServer() as server:
            return await drive(play, once(2, 1))

    recording = run(main())
    assert recording.counts["opened"] == recording.counts["ended"] == 80
    assert recording.target == [] and recording.counts["passed"] == 2


def test_losses_that_nobody_noticed_are_counted_once(run: Any) -> None:
    async def main() -> Recording:
        server = SocketIOServer()
        server.on("kick", lambda client: client.disconnect(close=True))

        async def play(vu: VU) -> None:
            for _ in range(40):
                session = await vu.socketio(server.url)
                session.emit("kick")
                while not session.is_closed:
                    await vu.sleep(0.001)

        async with server:
            return await drive(play, once(1, 1))

    recording = run(main())
    assert [error.kind for error in recording.target] == ["closed"] * 40


def test_back_off(run: Any) -> None:
    url = closed_url()

    async def play(vu: VU) -> None:
        await vu.connect(url)

    load = ConstantVUs(vus=3, duration="0.8s")
    patient = run(drive(play, load))
    # Waits of at least 0.05, 0.1, 0.2, 0.4, 0.8 s.
    assert 3 <= patient.counts["dialed"] <= 3 * 5
    eager = run(drive(play, once(3, 50), back_off=False))
    assert eager.counts["dialed"] == len(eager.target) == 150


def test_back_off_ends_with_success_and_is_not_for_the_scripts_own_errors(run: Any) -> None:
    async def main() -> Recording:
        async def play(vu: VU) -> None:
            async with vu.connect(server.url) as session:
                await session.send("x")
                await session.recv()
                raise ValueError("mine")

        async with EchoServer() as server:
            return await asyncio.wait_for(drive(play, once(1, 100)), 60)

    assert len(run(main()).script) == 100


def test_a_user_that_waits_after_a_failure_ends_when_it_is_told(run: Any) -> None:
    url = closed_url()

    async def main() -> Recording:
        control = RunControl()
        asyncio.get_running_loop().call_later(0.3, control.stop, "test")

        async def play(vu: VU) -> None:
            await vu.connect(url)

        load = ConstantVUs(vus=2, duration="600s", graceful_stop="600s")
        return await asyncio.wait_for(drive(play, load, control=control), 60)

    assert run(main()).counts["dialed"] >= 2


@pytest.mark.parametrize("moment", ["sleeping", "opening", "receiving", "between"])
def test_interrupted(run: Any, moment: str) -> None:
    async def main() -> Recording:
        with socket.create_server(("127.0.0.1", 0)) as silent:

            async def play(vu: VU) -> None:
                if moment == "opening":
                    port = silent.getsockname()[1]
                    await vu.connect(f"ws://127.0.0.1:{port}", metric=METRIC, timeout=60)
                async with vu.connect(server.url) as session:
                    if moment == "sleeping":
                        with vu.timer(METRIC):
                            await vu.sleep(3600)
                    if moment == "receiving":
                        with vu.timer(METRIC):
                            await session.recv()
                    try:
                        await vu.sleep(3600)
                    finally:
                        await session.send("cleaning up")

            load = ConstantVUs(vus=3, duration="0.2s", graceful_stop="0.1s")
            async with EchoServer() as server:
                return await asyncio.wait_for(drive(play, load), 60)

    recording = run(main())
    assert recording.counts["interrupted"] == recording.counts["started"] == 3
    assert recording.target == [] and recording.script == []
    expected = [] if moment == "between" else [(METRIC, "end")] * 3
    assert recording.cut == expected
    opened = 0 if moment == "opening" else 3
    assert recording.counts["opened"] == recording.counts["ended"] == opened


def test_timer_and_record(run: Any) -> None:
    async def main() -> Recording:
        async def play(vu: VU) -> None:
            async with vu.connect(server.url) as session:
                with vu.timer("round trip"):
                    await session.send("x")
                    await session.recv()
                    arrived_ns = session.arrived_ns
                    await vu.sleep(0.05)  # after the last arrival: not part of it
                assert arrived_ns == session.arrived_ns
                for error in (ghostcore.Timeout("late"), ValueError("no")):
                    with pytest.raises(type(error)), vu.timer(type(error).__name__):
                        raise error
                since_ns = time.monotonic_ns() - 3_000_000_000
                with vu.timer("since", since_ns=since_ns):
                    await session.send("x")
                    await session.recv()
                expected_ns = session.arrived_ns - since_ns
                vu.record("expected", expected_ns)
                with (
                    pytest.raises(ghostcore.Timeout),
                    vu.timer("since, late", since_ns=since_ns),
                ):
                    raise ghostcore.Timeout("late")
                vu.record("amount", 3, kind="a")

        async with EchoServer() as server:
            return await drive(play, once())

    recording = run(main())
    samples = dict(recording.samples)
    assert samples["round trip"] > 0 and samples["amount"] == 3
    assert samples["ValueError"] == float("inf")
    assert samples["since"] == samples["expected"] > 3e9
    assert recording.cut == [("Timeout", "deadline"), ("since, late", "deadline")]
    assert recording.cut_ns[1] > 3e9


def test_every(run: Any) -> None:
    ticks: list[tuple[int, int]] = []

    async def play(vu: VU) -> None:
        timers = vu._engine.timers
        start_ns = timers.now_ns()
        async for tick in vu.every("10ms"):
            ticks.append((tick, timers.now_ns() - start_ns))
            if tick == 1:
                await vu.sleep(0.035)
            if tick == 6:
                break
        for interval in (0, -1, "x"):
            with pytest.raises(UsageError):
                async for _ in vu.every(interval):
                    pass

    recording = run(drive(play, once()))
    assert recording.script == []
    assert [tick for tick, _ in ticks] == list(range(7))
    assert all(at_ns >= tick * 10_000_000 for tick, at_ns in ticks)
    ticks.clear()


def test_sleep_takes_durations(run: Any) -> None:
    async def play(vu: VU) -> None:
        for duration in (0, 1e-4, "1ms", 0.001):
            await vu.sleep(duration)
        for wrong in (-1, -0.5, float("nan"), float("inf"), "1", None):
            with pytest.raises(UsageError):
                vu.sleep(wrong)  # type: ignore[arg-type]

    assert run(drive(play, once())).script == []


def test_iterations_that_never_wait_leave_the_loop_its_turn(run: Any) -> None:
    async def main() -> Recording:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def play(vu: VU) -> None:
            pass

        counter = asyncio.create_task(count())
        recording = await drive(play, once(1, 1000))
        counter.cancel()
        assert turns >= 10
        return recording

    assert run(main()).counts["passed"] == 1000


class Counting:
    """Counts errors and keeps none, so that the next one may have the id of the last."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.count = 0

    def target_error(self, error: TargetError) -> None:
        self.count += 1


def test_errors_that_follow_each_other_are_all_counted() -> None:
    recorder = Counting()
    observer = UserObserver(recorder)  # type: ignore[arg-type]
    for _ in range(100):
        observer.target_error(TargetError("lost"))
    assert recorder.count == 100


def test_one_error_is_counted_once_however_often_it_is_told() -> None:
    recorder = Counting()
    observer = UserObserver(recorder)  # type: ignore[arg-type]
    error = TargetError("lost")
    for _ in range(3):
        observer.target_error(error)
    assert recorder.count == 1
