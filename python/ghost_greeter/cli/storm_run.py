"""A run that may be one of storms: its scenario, the outage that it makes, its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from ghost_greeter.cli.storm_answer import storm_lines
from ghost_greeter.cli.storm_options import StormOptions
from ghost_greeter.scenarios.storm import StormPlan, storm_scenario
from ghost_greeter.simulator import EmbeddedSimulator, Outage
from ghostcore import Result, Scenario

__all__ = ["StormRun"]


class StormRun:
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
    ) -> StormRun:
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
