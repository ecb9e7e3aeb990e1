"""The closed load models: what is planned, as pure mathematics in whole ns.

Names and behaviour are those of k6's executors:
https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import UsageError
from ghostcore.load.model import ClosedModel, LoadModel, Step, count_problems, counted

__all__ = ["ConstantVUs", "PerVUIterations", "RampingVUs", "Stage", "profile_from_dict"]

MAX_ITERATIONS = 1_000_000_000

SHOWN_STAGES = 5
"""A description lists that many stages, and of a longer profile the first three and the last."""


class Stage(NamedTuple):
    """Within `duration_ns`, go evenly to `target` users."""

    duration_ns: int
    target: int


@dataclass(frozen=True)
class ConstantVUs(ClosedModel):
    """`vus` users iterate for `duration`, then finish what they are at (k6: constant-vus)."""

    executor = "constant-vus"
    positive_durations = ("duration",)
    graceful_ramp_down_ns = 0

    vus: int
    duration: Duration

    def validate(self) -> list[str]:
        return [*count_problems("vus", self.vus, 1), *super().validate()]

    @cached_property
    def duration_ns(self) -> int:
        return self.to_ns("duration")

    @property
    def max_vus(self) -> int:
        self.check()
        return self.vus

    def steps(self) -> Sequence[Step]:
        return [Step(0, self.max_vus)]

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        return f"{counted(self.vus, 'user')} for {duration}{self.timing()}"


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
            *count_problems("vus", self.vus, 1),
            *count_problems("iterations", self.iterations, 1, MAX_ITERATIONS),
            *super().validate(),
        ]

    @cached_property
    def duration_ns(self) -> int:
        return self.to_ns("max_duration")

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
        users, each = counted(self.vus, "user"), counted(self.iterations, "iteration")
        return f"{users}, {each} each, within {duration}{self.timing()}"


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
        problems = [*self._stage_problems(), *count_problems("start_vus", self.start_vus, 0)]
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
            yield from count_problems(f"the target of stages[{number}]", stage[1], 0)

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
        return self.to_ns("graceful_ramp_down")

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
        most = counted(self.max_vus, "user")
        duration = format_duration(self.duration_ns / 1e9)
        return f"ramp {begin}{', '.join(parts)} (up to {most}, {duration}){self.timing()}"


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
