"""One worker: runs its share of a plan on its event loop and reports a window every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ghostcore._engine import Engine, engine_of
from ghostcore.errors import EngineError
from ghostcore.execution.collector import quiet_collector
from ghostcore.execution.plan import Plan, ScenarioPlan
from ghostcore.execution.recording import ErrorLog, NetworkRecorder, ScenarioRecorder
from ghostcore.load import ClosedModel, ExternallyControlled, OpenModel
from ghostcore.load.closed import run_closed
from ghostcore.load.control import RunControl
from ghostcore.load.open import run_open
from ghostcore.metrics import Registry, Snapshot
from ghostcore.monitor.generator import GeneratorMonitor
from ghostcore.monitor.lines import files_of
from ghostcore.monitor.sample import GeneratorSample
from ghostcore.opening.connect import Connector
from ghostcore.opening.route import Routes
from ghostcore.results.record import ErrorSample
from ghostcore.sessions.session import Session
from ghostcore.users.slots import UserPool
from ghostcore.users.vu import Scope

__all__ = ["Worker", "WorkerReport"]

WINDOW_NS = 1_000_000_000
SHORTEST_WINDOW_NS = WINDOW_NS // 2
"""If the process comes late to a second, a rest of it that is shorter joins the next second."""


@dataclass
class WorkerReport:
    """A worker's report of one window.

    :ivar planned: users that each scenario plans now.
    :ivar active: users of each scenario that are running.
    :ivar final: the load is over, this is the rest.
    """

    snapshot: Snapshot
    errors: list[ErrorSample]
    generator: GeneratorSample
    planned: Mapping[str, int]
    active: Mapping[str, int]
    final: bool = False


@dataclass
class WorkerEnd:
    """How a worker ended: why the script aborted, faults of the engine's, warnings, and the starts
    that were dropped because more users were not allowed."""

    aborted: str | None = None
    faults: list[BaseException] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    short_of_users: int = 0


class Worker:
    """Runs on the loop that awaits :meth:`run`.

    :param on_report: called with a WorkerReport every second, and once more at the end.
    :param data: what the set-up returned, for ``vu.data``.
    """

    def __init__(
        self,
        plan: Plan,
        control: RunControl,
        on_report: Callable[[WorkerReport], None],
        data: Any = None,
    ) -> None:
        self._plan = plan
        self._data = data
        self._control = control
        self._on_report = on_report
        self._registry = Registry(plan.declarations.values())
        self._recorders: dict[str, ScenarioRecorder] = {}
        self._pools: list[UserPool] = []
        self._planned: dict[str, int] = {}
        self._end = WorkerEnd()
        self._start_ns = 0
        self._window_ns = 0

    async def run(self) -> WorkerEnd:
        """Run every scenario to its end."""
        with quiet_collector():
            await self._run(engine_of(asyncio.get_running_loop()))
        self._end.warnings += self._registry.warnings
        return self._end

    async def _run(self, engine: Engine) -> None:
        self._start_ns = engine.now_ns()
        errors = ErrorLog(engine.now_ns, self._start_ns)
        scripts = files_of(one.function for one in self._plan.scenarios)
        monitor = GeneratorMonitor(engine, self._start_ns, scripts)
        network = NetworkRecorder(engine.vitals, self._registry)
        report = partial(self._report, engine, errors, monitor, network)
        executors = [self._execute(engine, scenario, errors) for scenario in self._plan.scenarios]
        ticker = asyncio.create_task(self._tick(engine, report))
        ticker.add_done_callback(self._ticked)
        try:
            async with asyncio.TaskGroup() as group:
                for executor in executors:
                    group.create_task(executor)
            await self._sessions_gone(engine)
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
            report(final=True)
            network.close()
            monitor.close()

    async def _execute(self, engine: Engine, scenario: ScenarioPlan, errors: ErrorLog) -> None:
        load = scenario.load
        recorder = ScenarioRecorder(
            scenario.name,
            scenario.tags,
            self._registry,
            errors,
            self._abort,
            self._cancel_cause,
        )
        self._recorders[scenario.name] = recorder
        pool = UserPool(
            engine,
            recorder,
            Scope(
                scenario.name,
                scenario.env,
                self._data,
                scenario.feeds,
                stride=load.start_stride,
                connector=Connector(Routes(), engine),
            ),
            scenario.function,
            self._plan.seed,
            back_off=isinstance(load, ClosedModel),
            on_broken=self._broken,
        )

        self._pools.append(pool)

        def planned(count: int) -> None:
            self._planned[scenario.name] = count

        if isinstance(load, ClosedModel):
            controlled = isinstance(load, ExternallyControlled)
            await run_closed(
                load,
                pool,
                sleep_until=engine.timers.sleep_until,
                now_ns=engine.now_ns,
                start_ns=self._start_ns + load.start_time_ns,
                on_planned=planned,
                dropped=recorder.dropped,
                control=self._control,
                vu_control=self._control.vu_control(scenario.name) if controlled else None,
            )
            return
        if not isinstance(load, OpenModel):
            raise EngineError(f"no executor for {type(load).__name__}")

        def created(count: int) -> None:
            planned(count)
            recorder.created(count)

        shortage = await run_open(
            load,
            pool,
            sleep_until=engine.timers.sleep_until,
            now_ns=engine.now_ns,
            start_ns=self._start_ns + load.start_time_ns,
            seed=self._plan.seed,
            scenario=scenario.name,
            on_users=created,
            dropped=recorder.dropped,
            cut_off=recorder.start_cut_off,
            control=self._control,
        )
        if shortage is not None:
            self._end.warnings.append(f"{scenario.name}: {shortage.text}")
            self._end.short_of_users += shortage.starts

    async def _sessions_gone(self, engine: Engine) -> None:
        """Sessions that iterations left are being closed: give them a moment, as windows go on,
        then cut off those whose server does not play its part."""
        for limit_ns in (2 * WINDOW_NS, WINDOW_NS):
            deadline_ns = engine.now_ns() + limit_ns
            while self._closing() and engine.now_ns() < deadline_ns:
                await engine.timers.sleep(0.01)
            for session in self._closing():
                session.abort()

    def _closing(self) -> list[Session]:
        return [session for pool in self._pools for session in pool.closing()]

    def _abort(self, reason: str) -> None:
        if self._end.aborted is None:
            self._end.aborted = reason
        self._control.interrupt(f"aborted by the script: {reason}".rstrip(": "))

    def _broken(self, error: BaseException) -> None:
        self._end.faults.append(error)
        self._control.interrupt(f"ghostcore failed: {error!r}")

    def _cancel_cause(self) -> str:
        return "interrupted" if self._control.stop_requested.is_set() else "end"

    async def _tick(self, engine: Engine, report: Callable[[], None]) -> None:
        warmup_ns = self._plan.warmup_ns
        while True:
            now_ns = engine.now_ns() - self._start_ns
            due_ns = now_ns - now_ns % WINDOW_NS + WINDOW_NS
            # Seconds that the process slept through make one long window. Several, all but the
            # first of them empty, would be judged one right after the other.
            if due_ns - now_ns < SHORTEST_WINDOW_NS:
                due_ns += WINDOW_NS
            # A window ends with the warm-up, so that none is cut in two.
            if now_ns < warmup_ns < due_ns:
                due_ns = warmup_ns
            await engine.timers.sleep_until(self._start_ns + due_ns)
            report()

    def _ticked(self, ticker: asyncio.Task[None]) -> None:
        """The reports have ended. If a fault ended them, the run ends too: nothing watches it."""
        if not ticker.cancelled() and (error := ticker.exception()) is not None:
            self._broken(error)

    def _report(
        self,
        engine: Engine,
        errors: ErrorLog,
        monitor: GeneratorMonitor,
        network: NetworkRecorder,
        *,
        final: bool = False,
    ) -> None:
        now_ns = engine.now_ns() - self._start_ns
        network.flush()
        for recorder in self._recorders.values():
            recorder.flush()
        snapshot = self._registry.drain(self._window_ns, now_ns)
        self._window_ns = now_ns
        self._on_report(
            WorkerReport(
                snapshot,
                errors.take(),
                monitor.sample(snapshot),
                dict(self._planned),
                {name: recorder.active for name, recorder in self._recorders.items()},
                final,
            )
        )
