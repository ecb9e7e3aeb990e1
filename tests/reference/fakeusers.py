"""Users that only sleep, on a FakeClockLoop, and write down what happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ghostcore.load import ClosedModel, OpenModel, Share
from ghostcore.load.closed import run_closed
from ghostcore.load.control import RunControl, SharedStarts, User, VuControl
from ghostcore.load.open import run_open
from ghostcore.testing.fakeclock import FakeClockLoop
from tests.reference.closed import Happening

LengthOf = Callable[[int], int]

S = 1_000_000_000
MS = 1_000_000


def fake_loop() -> FakeClockLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    return loop


def after(seconds: float, action: Callable[[], object]) -> None:
    """Do it that long after the profile's start."""
    fake_loop().call_later(1 + seconds, action)


class FakeUser:
    """Iterations of a fixed length; an interrupted one takes ``cleanup_ns`` to end."""

    def __init__(self, pool: FakePool, slot: int, length_ns: int) -> None:
        self.iterations_done = 0
        self.cleanup_ns = 0
        self.pause_ns = 0
        self._pool = pool
        self.slot = slot
        self._length_ns = length_ns
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._iteration: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self, iterations: int | None = None, shared: SharedStarts | None = None) -> None:
        self._launch(iterations, shared)

    def begin(self, number: int, due_ns: int) -> None:
        now_ns = fake_loop().now_ns()
        self._pool.begun.append((number, due_ns - self._pool.start_ns, now_ns - due_ns))
        self._launch(1, None)

    def _launch(self, iterations: int | None, shared: SharedStarts | None) -> None:
        assert not self.running, "start() and begin() are for an idle user"
        self._stopping = False
        self._task = asyncio.create_task(self._run(iterations, shared))
        self._pool.running += 1
        self._pool.most_running = max(self._pool.most_running, self._pool.running)

    def request_stop(self) -> None:
        self._stopping = True

    def resume(self) -> None:
        assert self.running, "resume() is for a running user"
        self._pool.resumed += 1
        self._stopping = False

    def abandon(self) -> None:
        raise AssertionError("a fake user ends when it is interrupted")

    def interrupt(self) -> None:
        assert self.running, "interrupt() is for a running user"
        self._stopping = True
        if self._iteration is not None:
            self._iteration.cancel()

    async def _run(self, iterations: int | None, shared: SharedStarts | None) -> None:
        done = 0
        while not self._stopping and done != iterations:
            if shared is not None:
                number = shared.take()
                if number < 0:
                    break
                self._pool.taken.append(number)
            self._iteration = asyncio.create_task(self._iterate())
            await asyncio.wait([self._iteration])
            self._iteration.result()
            self._iteration = None
            done += 1
            self.iterations_done += 1
            if self.pause_ns:
                await fake_loop().sleep_until(fake_loop().now_ns() + self.pause_ns)
        self._task = None
        self._pool.running -= 1
        self._pool.wake()
        if self._pool.on_idle is not None:
            self._pool.on_idle(self)

    async def _iterate(self) -> None:
        self._pool.note(self.slot, "begin")
        try:
            await fake_loop().sleep_until(fake_loop().now_ns() + self._length_ns)
        except asyncio.CancelledError:
            self._pool.note(self.slot, "interrupt")
            await fake_loop().sleep_until(fake_loop().now_ns() + self.cleanup_ns)
        else:
            self._pool.note(self.slot, "finish")


class FakePool:
    def __init__(self, length_of: LengthOf) -> None:
        self.users: list[FakeUser] = []
        self._by_slot: dict[int, FakeUser] = {}
        self.running = self.most_running = self.resumed = 0
        self.history: list[Happening] = []
        self.begun: list[tuple[int, int, int]] = []  # number, due time, lateness
        self.taken: list[int] = []
        self.on_idle: Callable[[User], None] | None = None
        self.start_ns = 0
        self.prepare: Callable[[FakeUser], None] = lambda _: None
        self._length_of = length_of
        self._waiters: list[asyncio.Future[None]] = []

    def user(self, index: int) -> FakeUser:
        found = self._by_slot.get(index)
        if found is None:
            found = self._by_slot[index] = FakeUser(self, index, self._length_of(index))
            self.users.append(found)
            self.prepare(found)
        return found

    def idle(self) -> asyncio.Future[None]:
        waiter = fake_loop().create_future()
        self._waiters.append(waiter)
        self.wake()
        return waiter

    def wake(self) -> None:
        if self.running == 0:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    def note(self, slot: int, what: str) -> None:
        self.history.append(Happening(fake_loop().now_ns() - self.start_ns, slot, what))

    def times(self, what: str) -> list[tuple[int, int]]:
        return [(at, slot) for at, slot, happened in self.history if happened == what]


class FakeRun:
    """One run_closed() with its surroundings, starting 1 s after now."""

    def __init__(
        self, profile: ClosedModel, length_of: LengthOf | int, share: Share | None = None
    ) -> None:
        self.profile = profile
        self.share = share or Share()
        self.vu_control: VuControl | None = None
        self.pool = FakePool(length_of if callable(length_of) else lambda _: length_of)
        self.control = RunControl()
        self.planned: list[tuple[int, int]] = []
        self.dropped: list[tuple[int, int]] = []

    async def go(self) -> int:
        """Run to the end; ns from the profile's start to then."""
        loop = fake_loop()
        start_ns = self.pool.start_ns = loop.now_ns() + 1_000_000_000
        await run_closed(
            self.profile,
            self.pool,
            sleep_until=loop.sleep_until,
            now_ns=loop.now_ns,
            start_ns=start_ns,
            on_planned=lambda vus: self.planned.append((loop.now_ns() - start_ns, vus)),
            dropped=lambda count: self.dropped.append((loop.now_ns() - start_ns, count)),
            control=self.control,
            vu_control=self.vu_control,
            share=self.share,
        )
        assert self.pool.running == 0
        return loop.now_ns() - start_ns


class FakeOpenRun:
    """One run_open() with its surroundings, starting 1 s after now. Times are from its start."""

    def __init__(
        self, profile: OpenModel, length_of: LengthOf | int, share: Share | None = None
    ) -> None:
        self.profile = profile
        self.pool = FakePool(length_of if callable(length_of) else lambda _: length_of)
        self.control = RunControl()
        self.share = share or Share()
        self.users: list[tuple[int, int]] = []
        self.dropped: list[int] = []  # when
        self.cut_off: list[tuple[int, int]] = []  # when, and after how long
        self.warnings: list[str] = []

    async def go(self) -> int:
        """Run to the end; ns from the profile's start to then."""
        loop = fake_loop()
        start_ns = self.pool.start_ns = loop.now_ns() + 1_000_000_000

        def dropped(count: int) -> None:
            self.dropped.extend([loop.now_ns() - start_ns] * count)

        shortage = await run_open(
            self.profile,
            self.pool,
            sleep_until=loop.sleep_until,
            now_ns=loop.now_ns,
            start_ns=start_ns,
            seed=1,
            scenario="any",
            on_users=lambda users: self.users.append((loop.now_ns() - start_ns, users)),
            dropped=dropped,
            cut_off=lambda elapsed: self.cut_off.append((loop.now_ns() - start_ns, elapsed)),
            control=self.control,
            share=self.share,
        )
        self.warnings = [] if shortage is None else [shortage.text]
        assert self.pool.running == 0
        return loop.now_ns() - start_ns
