"""run() and run_async(): from scenarios to a result."""

from __future__ import annotations

import asyncio
import datetime
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

import uvloop

from ghostcore._engine import engine_of
from ghostcore.errors import EngineError, GhostError, InvalidPlan, UsageError
from ghostcore.execution import preflight
from ghostcore.execution.backends.local import run_local
from ghostcore.execution.lifecycle import Lifecycle
from ghostcore.execution.listeners import Listeners, listeners_of
from ghostcore.execution.plan import Plan, RunOptions, make_plan
from ghostcore.execution.progress import RunListener
from ghostcore.execution.run_accumulator import RunAccumulator
from ghostcore.execution.verdict import judge, outcome_of
from ghostcore.execution.worker import WorkerEnd
from ghostcore.load.control import RunControl
from ghostcore.monitor.generator_report import Calibration
from ghostcore.results.record import Metrics
from ghostcore.results.result import Result
from ghostcore.users.scenario import Scenario

__all__ = ["carry_out", "prepare", "run", "run_async"]


async def run_async(
    *scenarios: Scenario,
    listener: RunListener | Sequence[RunListener] | None = None,
    control: RunControl | None = None,
    **options: Unpack[RunOptions],
) -> Result:
    """Run scenarios in the loop that runs already; arguments as for :func:`run`.

    :param control: the handle of this one run, usable from any thread: ``control.stop("reason")``
        ends it gracefully, a second one at once, and the result is marked interrupted;
        ``set_vus()``, ``pause()`` and ``resume()`` move externally controlled users.
    """
    plan, warnings = prepare(scenarios, options)
    listeners = Listeners(listeners_of(listener))
    return await carry_out(plan, warnings, listeners, control or RunControl())


def run(
    *scenarios: Scenario,
    listener: RunListener | Sequence[RunListener] | None = None,
    control: RunControl | None = None,
    **options: Unpack[RunOptions],
) -> Result:
    """Run scenarios on uvloop and return the result.

    Ctrl-C (or SIGTERM) ends the run gracefully: users finish their iterations within
    ``graceful_stop``; a second one ends it at once. Either way there is a result.

    :param scenarios: what ``@scenario`` made; several run at the same time.
    :param load: replaces the load model of the (one) scenario.
    :param env: settings for ``vu.env``.
    :param seed: of everything random; drawn and told in the result if not given.
    :param warmup: seconds or "30s" from the start of the run. What is recorded before its end, such
        as an operation that ends before it, is put aside in ``result.warmup``: it counts neither
        in ``result.metrics`` nor for a threshold.
    :param setup: ``async def setup(env)``, run once before the load. What it returns (of numbers,
        texts, bytes, lists and dicts) is ``vu.data``. If it fails the load is not started, and the
        exit code is 107. If it raises InvalidPlan (what the run needs is not there), so does the
        run, after the teardown.
    :param teardown: ``async def teardown(data)`` or ``teardown(data, env)``, run once at the end,
        also of a run that was aborted or interrupted or whose set-up failed (its data is None
        then). If it fails, the exit code is 107.
    :param setup_timeout: seconds or "60s", after which it is cancelled and has failed.
    :param teardown_timeout: likewise.
    :param allow_empty: thresholds without data pass.
    :param allow_script_errors: errors of the script's own do not fail the run.
    :param allow_oversized: try a plan that needs more files, memory or source ports than this
        machine seems to have, instead of refusing it.
    :param calibrate: measure the noise floor of this machine before the run, in some three seconds:
        ``result.generator.calibration``.
    :param listener: follows the run, e.g. ``ghostcore.report.Console()``; or several, as a
        sequence: each is told the same, in that order. One that fails ends the run, which raises
        its error; the others are told of the run until its end.
    :param control: the handle of this run, for other threads: see :func:`run_async`.
    :raises InvalidPlan: with every problem of the plan; nothing was connected. Or by the set-up.
    """

    async def main() -> Result:
        handle = control or RunControl()
        with _signals(handle):
            return await run_async(*scenarios, listener=listener, control=handle, **options)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError("run() inside a running event loop: use 'await run_async(...)' there")
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    engine = engine_of(runner.get_loop())
    try:
        with runner:
            return runner.run(main())
    finally:
        # Its descriptors must not wait for the garbage collector: an error that somebody keeps
        # keeps its traceback, and with it all of the run. Not before the loop's tasks have ended.
        engine.close()


def prepare(scenarios: tuple[Scenario, ...], options: RunOptions) -> tuple[Plan, list[str]]:
    """The plan, which this machine can carry, and warnings.

    :raises InvalidPlan: with all problems.
    """
    wrong = [one for one in scenarios if not isinstance(one, Scenario)]
    if wrong:
        raise InvalidPlan([f"{one!r} is no scenario: declare it with @scenario" for one in wrong])
    plan = make_plan(scenarios, **options)
    return plan, preflight.prepare(plan)


async def carry_out(
    plan: Plan, warnings: list[str], listeners: Listeners, control: RunControl
) -> Result:
    """Set up, load, tear down and judge."""
    listeners.started(plan)
    control.begin(plan.vu_controls())
    gathering = RunAccumulator(plan, control, listeners)
    lifecycle = Lifecycle(plan, control)
    end: WorkerEnd | None = None
    if plan.calibrate:
        gathering.generator.calibration = await _noise_floor(warnings)
    try:
        began = await lifecycle.set_up()
        started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        if began:
            end = await run_local(plan, control, gathering.report, lifecycle.data)
    finally:
        control.end()
        await lifecycle.tear_down()
    if lifecycle.refused is not None:
        raise lifecycle.refused
    if listeners.error is not None:
        raise listeners.error
    result = _conclude(plan, gathering, lifecycle, end, control, started_at, warnings)
    listeners.finished(result)
    return result


async def _noise_floor(warnings: list[str]) -> Calibration | None:
    from ghostcore.execution.calibration import calibrate  # it brings the test servers along

    try:
        return await calibrate()
    except GhostError as error:
        warnings.append(f"the noise floor of this machine is not known: {error}")
        return None


def _conclude(
    plan: Plan,
    gathering: RunAccumulator,
    lifecycle: Lifecycle,
    end: WorkerEnd | None,
    control: RunControl,
    started_at: str,
    warnings: list[str],
) -> Result:
    """The result of a run. ``end``: None if the load never began."""
    began, end = end is not None, end or WorkerEnd()
    if end.faults:
        raise EngineError(f"the run broke: {end.faults[0]!r}") from end.faults[0]
    everything = Metrics(gathering.totals, tuple(plan.declarations))
    outcome = outcome_of(everything)
    thresholds = gathering.thresholds(began=began)
    aborted = lifecycle.aborted if end.aborted is None else end.aborted
    stopped = control.stop_requested.is_set() and aborted is None and not gathering.aborted_by
    failures, warnings = lifecycle.failures, [*warnings, *lifecycle.warnings, *end.warnings]
    if began and plan.allow_script_errors:
        failures, warnings = [], [*warnings, *failures]
    verdict, exit_code, reasons = judge(
        plan,
        everything,
        outcome,
        thresholds,
        gathering.timeline,
        gathering.trusted(),
        aborted=aborted,
        interrupted=control.reason or "stopped" if stopped else None,
        failures=failures,
        began=began,
        short_of_users=end.short_of_users,
    )
    return Result(
        metrics=Metrics(gathering.counted, tuple(plan.declarations)),
        thresholds=thresholds,
        errors=gathering.error_counts(everything),
        outcome=outcome,
        verdict=verdict,
        exit_code=exit_code,
        reasons=reasons,
        seed=plan.seed,
        plan=plan.to_dict(),
        timeline=gathering.timeline,
        generator=gathering.generator,
        machine=preflight.describe_machine(),
        started_at=started_at,
        duration_s=gathering.totals.seconds,
        warnings=warnings,
        setup_ms=lifecycle.setup_ms,
        teardown_ms=lifecycle.teardown_ms,
        warmup=gathering.warmup(),
    )


@contextmanager
def _signals(control: RunControl) -> Iterator[None]:
    """SIGINT and SIGTERM ask the run to end while the block runs, if this is the main thread: in
    another, signals are somebody else's."""
    loop = asyncio.get_running_loop()
    in_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    for number in numbers:
        loop.add_signal_handler(number, control.stop, number.name)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
