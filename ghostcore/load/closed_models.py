"""The closed load models: what is planned, as pure mathematics in whole ns.

In these a user that is done with one iteration begins the next: how many start depends on how long
they take.

Names and behaviour are those of k6's executors:
https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.load.model import (
    ClosedModel,
    Step,
    count_problems,
    counted,
    frozen_stages,
    shortened,
    stage_problems,
)

__all__ = [
    "ConstantVUs",
    "ExternallyControlled",
    "PerVUIterations",
    "RampingVUs",
    "SharedIterations",
    "Stage",
]

MAX_ITERATIONS = 1_000_000_000


class Stage(NamedTuple):
    """Within `duration_ns`, go evenly to `target` users."""

    duration_ns: int
    target: int


class _FixedVUs(ClosedModel):
    """A model whose number of users does not change."""

    vus: int

    @property
    def peak_vus(self) -> int:
        self.check()
        return self.vus

    def steps(self) -> Iterator[Step]:
        return iter([Step(0, self.peak_vus)])


class _FixedIterations(_FixedVUs):
    """A model that ends when its iterations are made; after `max_duration` none starts."""

    positive_durations = ("max_duration",)

    @cached_property
    def duration_ns(self) -> int:
        return self.to_ns("max_duration")


class _RampedVUs(ClosedModel):
    """A model whose users come and go."""

    durations = ("graceful_ramp_down", *ClosedModel.durations)
    graceful_ramp_down: Duration

    @cached_property
    def graceful_ramp_down_ns(self) -> int:
        return self.to_ns("graceful_ramp_down")


@dataclass(frozen=True)
class ConstantVUs(_FixedVUs):
    """`vus` users iterate for `duration`, then finish what they are at (k6: constant-vus)."""

    executor = "constant-vus"
    positive_durations = ("duration",)

    vus: int
    duration: Duration

    def validate(self) -> list[str]:
        return [*count_problems("vus", self.vus, 1), *super().validate()]

    @cached_property
    def duration_ns(self) -> int:
        return self.to_ns("duration")

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        return f"{counted(self.vus, 'user')} for {duration}{self.timing()}"


@dataclass(frozen=True)
class PerVUIterations(_FixedIterations):
    """`vus` users iterate `iterations` times each (k6: per-vu-iterations).

    After `max_duration` no iteration starts; what is left of each user's number counts as dropped.
    """

    executor = "per-vu-iterations"

    vus: int = 1
    iterations: int = 1
    max_duration: Duration = 600

    def validate(self) -> list[str]:
        return [
            *count_problems("vus", self.vus, 1),
            *count_problems("iterations", self.iterations, 1, MAX_ITERATIONS),
            *super().validate(),
        ]

    @property
    def iterations_per_user(self) -> int:
        self.check()
        return self.iterations

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        users, each = counted(self.vus, "user"), counted(self.iterations, "iteration")
        return f"{users}, {each} each, within {duration}{self.timing()}"


@dataclass(frozen=True)
class SharedIterations(_FixedIterations):
    """`vus` users share `iterations` iterations: whoever is free takes the next one (k6:
    shared-iterations).

    After `max_duration` no iteration starts; those that are left count as dropped. The random
    numbers of an iteration depend on its number alone, not on the user that takes it.
    """

    executor = "shared-iterations"

    iterations: int = 1
    vus: int = 1
    max_duration: Duration = 600

    def validate(self) -> list[str]:
        problems = [
            *count_problems("iterations", self.iterations, 1, MAX_ITERATIONS),
            *count_problems("vus", self.vus, 1),
        ]
        if not problems and self.iterations < self.vus:
            problems.append(
                f"iterations must be at least vus ({self.vus}), but is {self.iterations}: "
                "some users would have nothing to do"
            )
        return [*problems, *super().validate()]

    @property
    def shared_iterations(self) -> int:
        self.check()
        return self.iterations

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        users, together = counted(self.vus, "user"), counted(self.iterations, "iteration")
        return f"{users}, {together} in all, within {duration}{self.timing()}"


@dataclass(frozen=True)
class ExternallyControlled(_RampedVUs):
    """As many users iterate as the program says while the run goes (k6: externally-controlled).

    The run begins with `vus` users; ``RunControl.set_vus()``, ``pause()`` and ``resume()`` of the
    run's control change that, from any thread. The duration goes on during a pause.

    :param vus: users at the beginning; 0 waits for the first ``set_vus()``.
    :param max_vus: the most that may be asked for; None: `vus`.
    :param graceful_ramp_down: how long a user that is taken off, or paused, may take to finish its
        iteration.
    """

    executor = "externally-controlled"
    positive_durations = ("duration",)

    vus: int
    max_vus: int | None
    duration: Duration
    graceful_ramp_down: Duration = 30

    def validate(self) -> list[str]:
        problems = [
            *count_problems("vus", self.vus, 0),
            *count_problems("max_vus", self.max_vus, 1, optional=True),
        ]
        if not problems and self.max_vus is None and self.vus == 0:
            problems.append("max_vus must be given if vus is 0: nobody could ever run")
        elif not problems and self.max_vus is not None and self.max_vus < self.vus:
            problems.append(f"max_vus must be at least vus ({self.vus}), but is {self.max_vus}")
        return [*problems, *super().validate()]

    @cached_property
    def duration_ns(self) -> int:
        return self.to_ns("duration")

    @property
    def peak_vus(self) -> int:
        self.check()
        return self.vus if self.max_vus is None else self.max_vus

    def steps(self) -> Iterator[Step]:
        self.check()
        return iter([Step(0, self.vus)])

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        users = counted(self.vus, "user")
        return f"{users} at first, up to {self.peak_vus} as told, for {duration}{self.timing()}"


@dataclass(frozen=True)
class RampingVUs(_RampedVUs):
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

    stages: Sequence[tuple[Duration, int]]
    start_vus: int = 1
    graceful_ramp_down: Duration = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stages", frozen_stages(self.stages))

    def validate(self) -> list[str]:
        problems = [
            *stage_problems(
                self.stages, "a number of users", lambda name, vus: count_problems(name, vus, 0)
            ),
            *count_problems("start_vus", self.start_vus, 0),
        ]
        if not problems:
            if sum(self._parsed_durations()) == 0:
                problems.append("stages must last more than 0 in all")
            if max(self.start_vus, *(target for _, target in self.stages)) == 0:
                problems.append("start_vus and the targets of all stages are 0: nobody would run")
        return [*problems, *super().validate()]

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
    def peak_vus(self) -> int:
        return max(self.start_vus, *(stage.target for stage in self.parsed_stages))

    def steps(self) -> Iterator[Step]:
        self.check()
        return self._steps()

    def _steps(self) -> Iterator[Step]:
        # One at a time: a list of them costs 130 bytes for each user of a ramp.
        held_ns, held_vus, told_vus = 0, self.start_vus, -1
        begin_ns, vus = 0, self.start_vus
        for stage in self.parsed_stages:
            duration_ns, first_vus = stage.duration_ns, vus
            changes = abs(stage.target - first_vus)
            sign = 1 if stage.target > first_vus else -1
            for i in range(1, changes + 1):
                at_ns = begin_ns + duration_ns * i // changes
                # Of several changes at one instant only the last holds: a user that is stopped and
                # wanted again at once just goes on.
                if at_ns != held_ns and held_vus != told_vus:
                    yield Step(held_ns, held_vus)
                    told_vus = held_vus
                held_ns, held_vus = at_ns, first_vus + sign * i
            begin_ns += duration_ns
            vus = stage.target
        if held_vus != told_vus:
            yield Step(held_ns, held_vus)

    def describe(self) -> str:
        parts = [
            f"{format_duration(stage.duration_ns / 1e9)}:{stage.target}"
            for stage in self.parsed_stages
        ]
        begin = f"from {self.start_vus} " if self.start_vus != 1 else ""
        most = counted(self.peak_vus, "user")
        duration = format_duration(self.duration_ns / 1e9)
        stages = ", ".join(shortened(parts))
        return f"ramp {begin}{stages} (up to {most}, {duration}){self.timing()}"
