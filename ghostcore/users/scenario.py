"""Declaring a scenario: a coroutine, the load that it is put under and what must hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ghostcore.errors import UsageError
from ghostcore.users.vu import VU

__all__ = ["Env", "Scenario", "ScenarioFunction", "scenario"]

ScenarioFunction = Callable[[VU], Coroutine[Any, Any, Any]]

Thresholds = Mapping[Any, Any]

NAME = re.compile(r"[0-9a-zA-Z_-]{1,64}")


class Env(dict[str, str]):
    """Settings by name, as ``vu.env`` has them. One that is missing says how to give it."""

    def __missing__(self, name: object) -> str:
        raise KeyError(f"no setting {name!r}: give it with -e {name}=..., or in env={{...}}")


@dataclass(frozen=True)
class Scenario:
    """What ``@scenario`` makes of a coroutine function. Calling it calls the function.

    :ivar load: the load model; None where it is to come from the command line or ``run()``.
    :ivar thresholds: (metric or selector, what was given for it) in the order given.
    :ivar metrics: declared metrics, so that those without data are reported too.
    :ivar feeders: whose rows the scenario uses.
    """

    name: str
    function: ScenarioFunction
    load: Any = None
    thresholds: tuple[tuple[Any, Any], ...] = ()
    metrics: tuple[Any, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    feeders: tuple[Any, ...] = ()

    def __call__(self, vu: VU) -> Coroutine[Any, Any, Any]:
        return self.function(vu)


def scenario(
    *,
    load: Any = None,
    thresholds: Thresholds | None = None,
    metrics: Sequence[Any] = (),
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    feeders: Sequence[Any] = (),
) -> Callable[[ScenarioFunction], Scenario]:
    """Declare a coroutine function as a scenario.

    :param load: a load model, e.g. ``RampingVUs(stages=[("2m", 200), ("1m", 0)])``.
    :param thresholds: metric (or its name, or ``name{tag:value}``) to an expression or several,
        e.g. ``{"ws_connecting": "p(95)<3000"}``; :class:`~ghostcore.Threshold` for one that may
        end the run.
    :param metrics: Trends, Counters, Rates and Gauges that the scenario records, beside those that
        thresholds name: they stand in the summary even if nothing is recorded.
    :param name: 1 to 64 of ``0-9 a-z A-Z _ -``; the function's name unless given.
    :param tags: put on every sample of the scenario.
    :param env: settings of this scenario, over those of the run.
    :param feeders: what :func:`~ghostcore.feeder` made: ``vu.row(it)`` gives a row of it.
    :raises UsageError: not a coroutine function, a name that cannot be, or no mapping or list where
        one is expected. What depends on values (the load model, thresholds) is checked before a run
        starts, all together.
    """
    problems = [
        f"{argument} must be {kind}, not {value!r:.100}"
        for argument, value, kind, shape in (
            ("thresholds", thresholds, "a mapping of metrics to expressions", Mapping),
            ("metrics", metrics, "a list", Sequence),
            ("tags", tags, "a mapping of names to texts", Mapping),
            ("env", env, "a mapping of names to texts", Mapping),
            ("feeders", feeders, "a list", Sequence),
        )
        if value is not None and (not isinstance(value, shape) or isinstance(value, str))
    ]
    if problems:
        raise UsageError(f"@scenario: {'; '.join(problems)}")

    def declare(function: ScenarioFunction) -> Scenario:
        if not inspect.iscoroutinefunction(function) or not _takes_one(function):
            raise UsageError(
                f"@scenario: {getattr(function, '__name__', function)!r} must be declared with "
                "'async def' and take one argument, the virtual user"
            )
        chosen = str(name or getattr(function, "__name__", ""))
        if not NAME.fullmatch(chosen):
            raise UsageError(f"@scenario: name {chosen!r}: expected 1 to 64 of 0-9 a-z A-Z _ -")
        pairs = [
            (metric, one)
            for metric, given in (thresholds or {}).items()
            for one in (given if isinstance(given, list | tuple) else [given])
        ]
        return Scenario(
            chosen,
            function,
            load,
            tuple(pairs),
            tuple(metrics or ()),
            dict(tags or {}),
            dict(env or {}),
            tuple(feeders or ()),
        )

    return declare


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether it can be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True
