"""The options of reconnect-storm, and the plan that they ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ghost_greeter.scenarios import reconnect_storm
from ghost_greeter.scenarios.storm import StormPlan
from ghostcore import Scenario, UsageError

__all__ = ["StormOptions", "storm_options"]

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
