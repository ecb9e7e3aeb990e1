"""The command line of reconnect-storm: its options, the outage that it makes, its answer."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from ghost_greeter.metrics.storm import (
    ATTEMPTS,
    DROPPED,
    RECONNECT_FAILURES,
    RECOVERY_TIME,
    SERVED_AGAIN,
)
from ghost_greeter.scenarios import reconnect_storm
from ghost_greeter.scenarios.storm import StormPlan, storm_scenario
from ghost_greeter.simulator import EmbeddedSimulator
from ghostcore import GhostError, Result, Scenario, UsageError

__all__ = ["Outage", "StormOptions", "Stormy", "storm_lines", "storm_options"]

LONGEST_DOWN_S = 600.0

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StormOptions:
    """What the options of a storm say; None: not given."""

    hold: float | None = None
    arrive: float | None = None
    drop_share: float | None = None
    recover_within: float | None = None
    kill: bool = False
    down: float | None = None

    def plan(self, scenario: Scenario, visitors: int, *, embedded: bool) -> StormPlan | None:
        """The plan of a storm; None for another scenario.

        :param embedded: is the server the embedded simulator?
        :raises UsageError: options for another scenario, or that cannot be.
        """
        timings = (self.hold, self.arrive, self.drop_share, self.recover_within, self.down)
        given = self.kill or any(value is not None for value in timings)
        if scenario.name != reconnect_storm.name:
            if given:
                raise UsageError(
                    "--hold, --arrive, --drop-share, --recover-within, --kill and --down: only "
                    f"{reconnect_storm.name} takes them, not {scenario.name}"
                )
            return None
        if self.kill and not embedded:
            raise UsageError(
                "--kill ends the server's process: it is for the embedded simulator only. Name no "
                "server (SERVER_URL, --server-url), or leave --kill out and break the connections"
            )
        if self.kill and self.drop_share is not None:
            raise UsageError("--kill drops everybody: --drop-share contradicts it")
        if self.down is not None and not (self.kill and 0 <= self.down <= LONGEST_DOWN_S):
            raise UsageError(
                f"--down is {self.down:g}: expected 0 to {LONGEST_DOWN_S:g} s, and --kill with it"
            )
        default = StormPlan()

        def chosen(value: float | None, other: float) -> float:
            return other if value is None else value

        return StormPlan(
            visitors,
            chosen(self.arrive, default.arrive_s),
            chosen(self.hold, default.hold_s),
            chosen(self.drop_share, default.share),
            chosen(self.recover_within, default.recover_s),
        )


def storm_options(command: Function) -> Function:
    """Options of a command that may run a storm, handed over as ``storm``: StormOptions."""

    @functools.wraps(command)
    def collected(
        *arguments: Any,
        hold: float | None,
        arrive: float | None,
        drop_share: float | None,
        recover_within: float | None,
        kill: bool,
        down: float | None,
        **others: Any,
    ) -> Any:
        storm = StormOptions(hold, arrive, drop_share, recover_within, kill, down)
        return command(*arguments, storm=storm, **others)

    decorated: Any = collected
    for option in (
        click.option("--down", type=float, metavar="SECONDS",
            help="reconnect-storm: with --kill, how long before it is started again. Default: 0."),
        click.option("--kill", is_flag=True,
            help="reconnect-storm: kill the embedded simulator and start it again."),
        click.option("--recover-within", type=float, metavar="SECONDS",
            help="reconnect-storm: that 99 % have to be served again. Default: 60."),
        click.option("--drop-share", type=float, metavar="SHARE",
            help="reconnect-storm: of the visitors that are dropped. Default: 1."),
        click.option("--arrive", type=float, metavar="SECONDS",
            help="reconnect-storm: within which visitors arrive. Default: 5."),
        click.option("--hold", type=float, metavar="SECONDS",
            help="reconnect-storm: from then until the drop. Default: 10."),
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


class Stormy:
    """A run that may be one of storms: the scenario to its plan, the outage, the answer.

    :ivar scenario: what to run.
    """

    def __init__(self, scenario: Scenario, plan: StormPlan | None, outage: Outage | None) -> None:
        self._outage = outage
        self._plan = plan
        if plan is not None and outage is not None:
            self._plan = plan = replace(plan, kill=outage.begin)
        self.scenario = scenario if plan is None else storm_scenario(plan)

    @classmethod
    def of(
        cls, options: StormOptions, scenario: Scenario, visitors: int, *, embedded: bool
    ) -> Stormy:
        """As the options of the command line say.

        :raises UsageError: options that cannot be.
        """
        plan = options.plan(scenario, visitors, embedded=embedded)
        return cls(scenario, plan, Outage(options.down or 0.0) if options.kill else None)

    def announce(self) -> None:
        """Say what will happen."""
        if self._plan is not None:
            click.echo(self._plan.describe())

    @contextmanager
    def over(self, simulator: EmbeddedSimulator | None) -> Iterator[None]:
        """While the run lasts: `simulator` is the one to kill."""
        if self._outage is None:
            yield
            return
        self._outage.simulator = simulator
        try:
            yield
        finally:
            self._outage.end()

    def answers(self, result: Result) -> Iterator[str]:
        """What came of it, in sentences."""
        if self._plan is not None:
            yield from storm_lines(self._plan, result)
        if self._outage is not None and (said := self._outage.end()):
            yield f"  {said}"


class Outage:
    """Kills the embedded simulator when it is told to, and starts it again.

    :param down_s: how long it stays dead before it is started.
    :ivar simulator: set before the run begins.
    """

    def __init__(self, down_s: float = 0.0) -> None:
        self.simulator: EmbeddedSimulator | None = None
        self._wait_s = down_s
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._down_s = 0.0
        self._failure = ""

    def begin(self) -> None:
        """Kill it now; returns before it has ended. Not a second time while it is down."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="outage", daemon=True)
            self._thread.start()

    def end(self) -> str:
        """Wait until the simulator is back; returns a sentence about the outage, "" without one."""
        if self._thread is None:
            return ""
        self._over.set()  # nobody waits for it any more
        self._thread.join()
        if self._failure:
            return f"the simulator was killed and did not come back: {self._failure}"
        return f"the simulator was down for {self._down_s:.2f} s, from the kill until it listened"

    def _run(self) -> None:
        assert self.simulator is not None
        began_s = time.monotonic()
        try:
            self.simulator.crash()
            self._over.wait(self._wait_s)
            self.simulator.restart()
        except (GhostError, OSError) as error:
            self._failure = str(error)
        self._down_s = time.monotonic() - began_s


def storm_lines(plan: StormPlan, result: Result) -> Iterator[str]:
    """The answer of a storm, in sentences."""
    metrics = result.metrics
    dropped = metrics.count_of(DROPPED.name)
    if not dropped:
        yield "storm: there was none, since no visitor was connected when it was to come"
        return
    recovery: Any = metrics[RECOVERY_TIME.name]
    served: Any = metrics[SERVED_AGAIN.name]
    seen = recovery.count - recovery.failed - recovery.cut_off
    storms = f" in {recovery.count} storms" if recovery.count > 1 else ""
    if seen == recovery.count > 0:
        longest = ", in the longest of them" if storms else ""
        yield (
            f"storm: {dropped:,} visitors dropped{storms}; 99 % of them were served again after "
            f"{recovery.max / 1000:.2f} s{longest}"
        )
    else:
        yield (
            f"storm: {dropped:,} visitors dropped{storms}; 99 % of them were NOT served again "
            f"within {plan.recover_s:g} s: {served.passes:,} were"
        )
    attempts, failed = metrics.count_of(ATTEMPTS.name), metrics.count_of(RECONNECT_FAILURES.name)
    kinds = {
        value: metrics.count_of(f"{RECONNECT_FAILURES.name}{{kind:{value}}}")
        for key in metrics.series(RECONNECT_FAILURES.name)
        for tag, value in key.tags
        if tag == "kind"
    }
    most = sorted(kinds.items(), key=lambda item: -item[1])
    listed = ": " + ", ".join(f"{count:,} x {kind}" for kind, count in most) if most else ""
    yield f"{attempts:,} attempts to reconnect, {failed:,} failed{listed}"
