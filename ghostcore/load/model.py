"""What every load model has, and what a plan and an executor may ask of it.

A load model is made from what the user wrote and holds it unchanged; making one never fails for a
wrong *value*. :meth:`LoadModel.validate` lists everything that is wrong, so that a plan of several
scenarios can report all its mistakes at once. Everything derived (``duration_ns``, ``steps()``)
raises :class:`~ghostcore.errors.InvalidPlan` with that list if there is anything in it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import InvalidPlan, UsageError

__all__ = [
    "ClosedModel",
    "LoadModel",
    "Step",
    "choice_problems",
    "count_problems",
    "counted",
    "frozen_stages",
    "shortened",
    "stage_problems",
    "text_problems",
]

MAX_VUS = 1_000_000
"""More users than any fleet of workers holds: beyond, a number is taken for a slip of the pen."""


SHOWN_STAGES = 5
"""A description lists that many stages, and of a longer load the first three and the last."""


class Step(NamedTuple):
    """From `at_ns` after the load's start, `vus` users are planned."""

    at_ns: int
    vus: int


@dataclass(frozen=True)
class LoadModel(ABC):
    """What a plan and an executor need of every load model, closed or open.

    :param start_time: when the load begins, from the start of the run.
    :param graceful_stop: how long an iteration that is under way at the end may take to finish,
        before it is interrupted.
    :param tags: put on every sample of the scenario.
    :param env: laid over the environment of the run.
    """

    executor: ClassVar[str]
    """k6's name of the model, and the key under which a plan file names it."""
    positive_durations: ClassVar[tuple[str, ...]] = ()
    durations: ClassVar[tuple[str, ...]] = ("start_time", "graceful_stop")

    start_time: Duration = field(default=0, kw_only=True)
    graceful_stop: Duration = field(default=30, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    env: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)

    def __post_init__(self) -> None:
        # Copies: what the caller does to its own dict later changes no plan.
        for name in ("tags", "env"):
            if isinstance(getattr(self, name), Mapping):
                object.__setattr__(self, name, dict(getattr(self, name)))

    def validate(self) -> list[str]:
        """Everything that is wrong with the arguments, one sentence each; empty if nothing is."""
        problems = [
            problem
            for name in (*self.positive_durations, *self.durations)
            if (problem := self._duration_problem(name))
        ]
        for name in ("tags", "env"):
            problems += text_problems(name, getattr(self, name))
        return problems

    def _duration_problem(self, name: str) -> str:
        value = getattr(self, name)
        try:
            duration_ns = seconds_to_ns(parse_duration(value, name))
        except UsageError as error:
            return str(error)
        if name in self.positive_durations and duration_ns == 0:
            return f"{name} must be more than 0, but is {value!r}"
        return ""

    def check(self) -> None:
        """Raise :class:`InvalidPlan` with all problems if there are any."""
        problems = self.validate()
        if problems:
            raise InvalidPlan([f"{type(self).__name__}: {problem}" for problem in problems])

    def to_ns(self, name: str) -> int:
        """The duration that argument `name` gives, in ns."""
        self.check()
        return seconds_to_ns(parse_duration(getattr(self, name), name))

    @cached_property
    def start_time_ns(self) -> int:
        """``start_time`` in ns."""
        return self.to_ns("start_time")

    @cached_property
    def graceful_stop_ns(self) -> int:
        """``graceful_stop`` in ns."""
        return self.to_ns("graceful_stop")

    @property
    @abstractmethod
    def duration_ns(self) -> int:
        """Time from the load's start to its end, when the graceful stop begins."""

    @property
    def expected_ns(self) -> int:
        """How long the load is expected to take, for displays: less than ``duration_ns`` where
        that is only a limit."""
        return self.duration_ns

    @property
    @abstractmethod
    def peak_vus(self) -> int:
        """The most users that can be needed at one time."""

    @property
    def known_starts(self) -> int | None:
        """How many iterations it asks for; None where that depends on how long they take."""
        return None

    @property
    def start_stride(self) -> int:
        """Where starts have no numbers of their own: iteration n of slot k is start k + n * stride.
        0 where they have."""
        return 0

    @abstractmethod
    def describe(self) -> str:
        """The model and its arguments in one line of text, for the console and result.json."""

    def timing(self) -> str:
        """The end of a description: when the load begins, if not at once."""
        if self.start_time_ns == 0:
            return ""
        return f", from {format_duration(self.start_time_ns / 1e9)} on"

    def to_dict(self) -> dict[str, Any]:
        """The load for a plan file: ``executor`` and the arguments as they were given."""
        arguments = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {"executor": self.executor, **arguments}


class ClosedModel(LoadModel):
    """A model that plans how many users iterate, each at its own speed."""

    @property
    def graceful_ramp_down_ns(self) -> int:
        """How long a user that is ramped down may take to finish its iteration."""
        return 0

    @property
    def iterations_per_user(self) -> int | None:
        """How often each user iterates; None: until it is stopped."""
        return None

    @property
    def shared_iterations(self) -> int | None:
        """How often all users iterate together; None: until they are stopped."""
        return None

    @property
    def known_starts(self) -> int | None:
        if self.iterations_per_user is not None:
            return self.iterations_per_user * self.peak_vus
        return self.shared_iterations

    @property
    def start_stride(self) -> int:
        return self.peak_vus if self.shared_iterations is None else 0

    @abstractmethod
    def steps(self) -> Iterator[Step]:
        """The planned number of users, by growing time; the first step is at 0.

        The last step holds until ``duration_ns``; then all are stopped. A step may stand at
        ``duration_ns`` exactly (a ramp ends with its last user): one that goes down starts that
        user's ramp-down, one that goes up comes too late to start anybody.
        """

    def planned_vus_at(self, at_ns: int) -> int:
        """The planned number of users `at_ns` after the start; 0 before it and from the end on."""
        if not 0 <= at_ns < self.duration_ns:
            return 0
        vus = 0
        for step in self.steps():
            if step.at_ns > at_ns:
                break
            vus = step.vus
        return vus


def count_problems(
    name: str, value: object, least: int, most: int = MAX_VUS, *, optional: bool = False
) -> Iterator[str]:
    """What is wrong with a whole number that must be from `least` to `most`, or None if it is
    `optional`."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        hint = ""
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            hint = f" (write {int(value)})"
        yield f"{name} must be a whole number of at least {least}, but is {value!r}{hint}"
    elif value < least:
        yield f"{name} must be at least {least}, but is {value}"
    elif value > most:
        yield f"{name} must be at most {most}, but is {value}"


def choice_problems(name: str, value: object, choices: Sequence[str]) -> Iterator[str]:
    """What is wrong with a word that must be one of a few."""
    if value not in choices:
        yield f"{name} must be {' or '.join(map(repr, choices))}, but is {value!r}"


def text_problems(name: str, value: object) -> Iterator[str]:
    """What is wrong with a mapping of names to texts."""
    if not isinstance(value, Mapping):
        yield f"{name} must map names to texts, but is {value!r:.100}"
        return
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            plain = isinstance(key, str) and isinstance(text, bool | int | float)
            hint = f" (write {str(text)!r})" if plain else ""
            yield f"{name} must map names to texts, but has {key!r}: {text!r:.100}{hint}"


def stage_problems(
    stages: object, noun: str, target_problems: Callable[[str, object], Iterable[str]]
) -> Iterator[str]:
    """What is wrong with a list of stages.

    :param noun: what the targets are: "a number of users".
    :param target_problems: what is wrong with a target, given its name and value.
    """
    shape = f'pairs of a duration and {noun}, such as [("2m", 200), ("1m", 0)]'
    if not isinstance(stages, tuple):
        yield f"stages must be a list of {shape}, but is {stages!r}"
        return
    if not stages:
        yield f"stages must have at least one stage; it takes {shape}"
    for number, stage in enumerate(stages):
        if not isinstance(stage, tuple) or len(stage) != 2:
            yield f"stages[{number}] must be one of {shape}, but is {stage!r}"
            continue
        try:
            parse_duration(stage[0], f"the duration of stages[{number}]")
        except UsageError as error:
            yield str(error)
        yield from target_problems(f"the target of stages[{number}]", stage[1])


def frozen_stages(stages: Any) -> Any:
    """Stages as tuples, so that they cannot change; anything else as it is."""
    if not isinstance(stages, list | tuple):
        return stages
    return tuple(tuple(item) if isinstance(item, list) else item for item in stages)


def shortened(parts: list[str]) -> list[str]:
    """The first three and the last of the parts of a description that has too many."""
    return [*parts[:3], "...", parts[-1]] if len(parts) > SHOWN_STAGES else parts


def counted(count: int, noun: str) -> str:
    """ "1 user", "2 users"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _plain(value: Any) -> Any:
    """Tuples as lists, so that JSON gives back what it was given."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value
