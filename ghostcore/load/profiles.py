"""Load models as values: what is planned, as pure mathematics in whole ns.

A profile is made from what the user wrote and holds it unchanged; making one never fails for a
wrong *value*. :meth:`LoadModel.validate` lists everything that is wrong, so that a plan of several
scenarios can report all its mistakes at once. Everything derived (``duration_ns``, ``steps()``)
raises :class:`~ghostcore.errors.InvalidPlan` with that list if there is anything in it.

Names and behaviour are those of k6's executors: https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import InvalidPlan, UsageError

__all__ = [
    "ClosedModel",
    "ConstantVUs",
    "LoadModel",
    "PerVUIterations",
    "RampingVUs",
    "Stage",
    "Step",
    "profile_from_dict",
]

MAX_COUNT = 1_000_000_000
MAX_VUS = 1_000_000
"""More users than any fleet of workers holds: beyond, a number is taken for a slip of the pen."""

SHOWN_STAGES = 5
"""A description lists that many stages, and of a longer profile the first three and the last."""


class Step(NamedTuple):
    """From `at_ns` after the profile's start, `vus` users are planned."""

    at_ns: int
    vus: int


class Stage(NamedTuple):
    """Within `duration_ns`, go evenly to `target` users."""

    duration_ns: int
    target: int


@dataclass(frozen=True)
class LoadModel(ABC):
    """What a plan and an executor need of every load model, closed or open.

    :param start_time: when the profile begins, from the start of the run.
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
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                problems.append(f"{name} must map names to texts, but is {value!r}")
                continue
            problems.extend(
                f"{name} must map names to texts, but has {key!r}: {text!r}"
                for key, text in value.items()
                if not isinstance(key, str) or not isinstance(text, str)
            )
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

    def _ns(self, name: str) -> int:
        self.check()
        return seconds_to_ns(parse_duration(getattr(self, name), name))

    @cached_property
    def start_time_ns(self) -> int:
        """``start_time`` in ns."""
        return self._ns("start_time")

    @cached_property
    def graceful_stop_ns(self) -> int:
        """``graceful_stop`` in ns."""
        return self._ns("graceful_stop")

    @property
    @abstractmethod
    def duration_ns(self) -> int:
        """Time from the profile's start to its end, when the graceful stop begins."""

    @property
    @abstractmethod
    def max_vus(self) -> int:
        """The most users that can be needed at one time."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people."""

    def _timing(self) -> str:
        if self.start_time_ns == 0:
            return ""
        return f", from {format_duration(self.start_time_ns / 1e9)} on"

    def to_dict(self) -> dict[str, Any]:
        """The profile for a plan file: ``executor`` and the arguments as they were given."""
        arguments = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {"executor": self.executor, **arguments}


class ClosedModel(LoadModel):
    """A model that plans how many users iterate, each at its own speed."""

    graceful_ramp_down_ns: int
    """How long a user that is ramped down may take to finish its iteration."""

    @property
    def iterations_per_user(self) -> int | None:
        """How often each user iterates; None: until it is stopped."""
        return None

    @abstractmethod
    def steps(self) -> Sequence[Step]:
        """The planned number of users, by growing time; the first step is at 0.

        The last step holds until ``duration_ns``; then all are stopped. A step may stand at
        ``duration_ns`` exactly (a ramp ends with its last user): one that goes down starts that
        user's ramp-down, one that goes up comes too late to start anybody.
        """

    def planned_vus_at(self, at_ns: int) -> int:
        """The planned number of users `at_ns` after the start; 0 before it and from the end on."""
        if not 0 <= at_ns < self.duration_ns:
            return 0
        steps = self.steps()
        return steps[bisect_right(steps, at_ns, key=_step_time) - 1].vus


@dataclass(frozen=True)
class ConstantVUs(ClosedModel):
    """`vus` users iterate for `duration`, then finish what they are at (k6: constant-vus)."""

    executor = "constant-vus"
    positive_durations = ("duration",)
    graceful_ramp_down_ns = 0

    vus: int
    duration: Duration

    def validate(self) -> list[str]:
        return [*_count_problems("vus", self.vus, 1), *super().validate()]

    @cached_property
    def duration_ns(self) -> int:
        return self._ns("duration")

    @property
    def max_vus(self) -> int:
        self.check()
        return self.vus

    def steps(self) -> Sequence[Step]:
        return [Step(0, self.max_vus)]

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        return f"{_counted(self.vus, 'user')} for {duration}{self._timing()}"


@dataclass(frozen=True)
class PerVUIterations(ClosedModel):
    """`vus` users iterate `iterations` times each (k6: per-vu-iterations).

    After `max_duration` no iteration starts; what is left of each user's number counts as dropped.
    """

    executor = "per-vu-iterations"
    positive_durations = ("max_duration",)
    graceful_ramp_down_ns = 0

    vus: int = 1
    iterations: int = 1
    max_duration: Duration = 600

    def validate(self) -> list[str]:
        return [
            *_count_problems("vus", self.vus, 1),
            *_count_problems("iterations", self.iterations, 1, MAX_COUNT),
            *super().validate(),
        ]

    @cached_property
    def duration_ns(self) -> int:
        return self._ns("max_duration")

    @property
    def max_vus(self) -> int:
        self.check()
        return self.vus

    @property
    def iterations_per_user(self) -> int:
        self.check()
        return self.iterations

    def steps(self) -> Sequence[Step]:
        return [Step(0, self.max_vus)]

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        users, each = _counted(self.vus, "user"), _counted(self.iterations, "iteration")
        return f"{users}, {each} each, within {duration}{self._timing()}"


@dataclass(frozen=True)
class RampingVUs(ClosedModel):
    """The number of users follows straight lines from target to target (k6: ramping-vus).

    Within a stage of duration D that goes from F to T users, the i-th of the ``|T - F|`` changes is
    planned at ``D * i // |T - F|`` ns: the first one step after the stage's start, the last exactly
    at its end. The user with the highest index leaves first.

    :param stages: pairs of duration and target: ``[("2m", 200), ("5m", 200), ("1m", 0)]``. A
        duration of 0 jumps.
    :param start_vus: users at the beginning; 1, as in k6, not 0.
    :param graceful_ramp_down: how long a user that is ramped down may take to finish its iteration.
        The end of ``graceful_stop`` comes first if it is earlier.
    """

    executor = "ramping-vus"
    durations = ("graceful_ramp_down", "start_time", "graceful_stop")

    stages: Sequence[tuple[Duration, int]]
    start_vus: int = 1
    graceful_ramp_down: Duration = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.stages, list | tuple):
            stages = tuple(tuple(item) if isinstance(item, list) else item for item in self.stages)
            object.__setattr__(self, "stages", stages)

    def validate(self) -> list[str]:
        problems = [*self._stage_problems(), *_count_problems("start_vus", self.start_vus, 0)]
        if not problems:
            if sum(self._parsed_durations()) == 0:
                problems.append("stages must last more than 0 in all")
            if max(self.start_vus, *(target for _, target in self.stages)) == 0:
                problems.append("start_vus and the targets of all stages are 0: nobody would run")
        return [*problems, *super().validate()]

    def _stage_problems(self) -> Iterator[str]:
        shape = 'pairs of a duration and a number of users, such as [("2m", 200), ("1m", 0)]'
        if not isinstance(self.stages, tuple):
            yield f"stages must be a list of {shape}, but is {self.stages!r}"
            return
        if not self.stages:
            yield f"stages must have at least one stage; it takes {shape}"
        for number, stage in enumerate(self.stages):
            if not isinstance(stage, tuple) or len(stage) != 2:
                yield f"stages[{number}] must be one of {shape}, but is {stage!r}"
                continue
            try:
                parse_duration(stage[0], f"the duration of stages[{number}]")
            except UsageError as error:
                yield str(error)
            yield from _count_problems(f"the target of stages[{number}]", stage[1], 0)

    def _parsed_durations(self) -> list[int]:
        return [seconds_to_ns(parse_duration(duration)) for duration, _ in self.stages]

    @cached_property
    def parsed_stages(self) -> Sequence[Stage]:
        """The stages in ns."""
        self.check()
        targets = (target for _, target in self.stages)
        return [Stage(*pair) for pair in zip(self._parsed_durations(), targets, strict=True)]

    @cached_property
    def duration_ns(self) -> int:
        return sum(stage.duration_ns for stage in self.parsed_stages)

    @cached_property
    def graceful_ramp_down_ns(self) -> int:  # type: ignore[override]
        return self._ns("graceful_ramp_down")

    @cached_property
    def max_vus(self) -> int:
        return max(self.start_vus, *(stage.target for stage in self.parsed_stages))

    def steps(self) -> Sequence[Step]:
        return self._steps

    @cached_property
    def _steps(self) -> Sequence[Step]:
        stages = self.parsed_stages
        steps = [Step(0, self.start_vus)]
        begin_ns = 0
        vus = self.start_vus
        for stage in stages:
            changes = abs(stage.target - vus)
            sign = 1 if stage.target > vus else -1
            for i in range(1, changes + 1):
                step = Step(begin_ns + stage.duration_ns * i // changes, vus + sign * i)
                if steps[-1].at_ns == step.at_ns:
                    # Of several changes at one instant only the last holds: a user that is
                    # stopped and wanted again at once just goes on.
                    steps.pop()
                if not steps or steps[-1].vus != step.vus:
                    steps.append(step)
            begin_ns += stage.duration_ns
            vus = stage.target
        return steps

    def describe(self) -> str:
        parts = [
            f"{format_duration(stage.duration_ns / 1e9)}:{stage.target}"
            for stage in self.parsed_stages
        ]
        if len(parts) > SHOWN_STAGES:
            parts = [*parts[:3], "...", parts[-1]]
        begin = f"from {self.start_vus} " if self.start_vus != 1 else ""
        most = _counted(self.max_vus, "user")
        duration = format_duration(self.duration_ns / 1e9)
        return f"ramp {begin}{', '.join(parts)} (up to {most}, {duration}){self._timing()}"


_MODELS: dict[str, type[LoadModel]] = {
    model.executor: model for model in (ConstantVUs, RampingVUs, PerVUIterations)
}


def profile_from_dict(data: Mapping[str, Any]) -> LoadModel:
    """The profile that :meth:`LoadModel.to_dict` wrote. Values are not checked: see ``validate``.

    :raises UsageError: no such executor; arguments that it does not have, or lacks.
    """
    arguments = dict(data)
    name = arguments.pop("executor", None)
    model = _MODELS.get(name) if isinstance(name, str) else None
    if model is None:
        raise UsageError(f"executor must be one of {', '.join(sorted(_MODELS))}, not {name!r}")
    known = {item.name for item in fields(model)}
    unknown = sorted(str(key) for key in arguments if key not in known)
    if unknown:
        raise UsageError(f"{name} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    try:
        return model(**arguments)
    except TypeError as error:  # the only one that is left: a missing argument
        raise UsageError(f"{name}: {error}") from None


def _step_time(step: Step) -> int:
    return step.at_ns


def _count_problems(
    name: str, value: object, least: int, most: int = MAX_VUS
) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = ""
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            hint = f" (write {int(value)})"
        yield f"{name} must be a whole number of at least {least}, but is {value!r}{hint}"
    elif value < least:
        yield f"{name} must be at least {least}, but is {value}"
    elif value > most:
        yield f"{name} must be at most {most}, but is {value}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _plain(value: Any) -> Any:
    """Tuples as lists, so that JSON gives back what it was given."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value
