"""What is to be run: scenarios, load, thresholds and settings, checked before anything starts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import KINDS, InvalidPlan, UsageError
from ghostcore.execution.hooks import HOOK_TIMEOUT_S, Hook, HookFunction, make_hook
from ghostcore.load import ExternallyControlled, LoadModel
from ghostcore.load.control import VuControl
from ghostcore.load.model import text_problems
from ghostcore.metrics import (
    BUILTINS,
    Condition,
    Declaration,
    Trend,
    from_due,
    parse_selector,
    tag_problems,
    threshold_of,
)
from ghostcore.users.feeder import Feed, Feeder, Rows
from ghostcore.users.scenario import Env, Scenario, ScenarioFunction

__all__ = ["Plan", "PlannedThreshold", "RunOptions", "ScenarioPlan", "make_plan"]


class RunOptions(TypedDict, total=False):
    """What a run may be given: see :func:`ghostcore.run`."""

    load: LoadModel | None
    env: Mapping[str, str] | None
    seed: int | None
    warmup: Duration
    setup: HookFunction | None
    teardown: HookFunction | None
    setup_timeout: Duration
    teardown_timeout: Duration
    allow_empty: bool
    allow_script_errors: bool
    allow_oversized: bool
    calibrate: bool


@dataclass(frozen=True, slots=True)
class PlannedThreshold:
    """A threshold on a metric or on its samples with certain tags.

    :ivar delay_ns: from the start of the run, before which it ends none.
    """

    selector: str
    condition: Condition
    abort_on_fail: bool = False
    delay_ns: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "metric": self.selector,
            "expression": self.condition.expression,
            "abort_on_fail": self.abort_on_fail,
            "delay_s": self.delay_ns / 1e9,
        }


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """One scenario as it will run."""

    name: str
    function: ScenarioFunction
    load: LoadModel
    tags: Mapping[str, str]
    env: Mapping[str, str]
    feeds: Mapping[Feeder, Feed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can start.

    :ivar declarations: every metric that scenarios declared, by name.
    :ivar allow_empty: thresholds without data pass.
    :ivar allow_script_errors: errors of the script's own do not fail the run.
    :ivar warmup_ns: from the start, in which nothing counts for metrics and thresholds.
    :ivar env: of the run; scenarios have their own on top.
    :ivar setup: the hook that runs once before the load.
    :ivar teardown: the hook that runs once after it.
    :ivar allow_oversized: it may ask for more than this machine seems to have.
    :ivar calibrate: the noise floor of this machine is measured first.
    """

    scenarios: tuple[ScenarioPlan, ...]
    thresholds: tuple[PlannedThreshold, ...]
    declarations: Mapping[str, Declaration]
    seed: int
    allow_empty: bool = False
    allow_script_errors: bool = False
    warmup_ns: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    setup: Hook | None = None
    teardown: Hook | None = None
    allow_oversized: bool = False
    calibrate: bool = False

    @property
    def max_vus(self) -> int:
        """The most users that can exist at one time."""
        return sum(scenario.load.peak_vus for scenario in self.scenarios)

    @property
    def duration_ns(self) -> int:
        """From the start to the expected end of the last profile, graceful stops not included."""
        return max(one.load.start_time_ns + one.load.expected_ns for one in self.scenarios)

    def vu_controls(self) -> dict[str, VuControl]:
        """For each externally controlled scenario, what controls it in one run."""
        return {
            one.name: VuControl(one.load.vus, one.load.peak_vus)
            for one in self.scenarios
            if isinstance(one.load, ExternallyControlled)
        }

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data. Values of env are left out: keys may be secret."""
        return {
            "scenarios": [
                {
                    "name": one.name,
                    "load": _without_env(one.load.to_dict()),
                    "description": one.load.describe(),
                    "tags": dict(one.tags),
                    "env": sorted(one.env),
                    "feeders": [
                        {
                            "name": feed.feeder.name,
                            "order": feed.feeder.order,
                            "rows": len(feed.rows),
                        }
                        for feed in one.feeds.values()
                    ],
                }
                for one in self.scenarios
            ],
            "thresholds": [one.to_dict() for one in self.thresholds],
            "seed": self.seed,
            "max_vus": self.max_vus,
            "duration_s": self.duration_ns / 1e9,
            "warmup_s": self.warmup_ns / 1e9,
            "setup_timeout_s": None if self.setup is None else self.setup.timeout_s,
            "teardown_timeout_s": None if self.teardown is None else self.teardown.timeout_s,
            "allow_empty": self.allow_empty,
            "allow_script_errors": self.allow_script_errors,
        }


def _without_env(load: dict[str, Any]) -> dict[str, Any]:
    return {**load, "env": sorted(load.get("env", ()))}


@dataclass
class _Draft:
    """Collects a plan and all that is wrong with it."""

    problems: list[str] = field(default_factory=list)
    declarations: dict[str, Declaration] = field(default_factory=dict)

    def declare(self, scenario: str, metric: object) -> None:
        if not isinstance(metric, Declaration):
            self.problems.append(
                f"{scenario}: {metric!r} is no metric: expected a Trend, Counter, Rate or Gauge"
            )
            return
        known = self.declarations.setdefault(metric.name, BUILTINS.get(metric.name, metric))
        if known != metric:
            self.problems.append(
                f"{scenario}: metric {metric.name} is {metric!r}, but also {known!r}"
            )

    def _response(self, name: str) -> Declaration | None:
        """The Trend ``NAME_from_due`` of a Trend that is known, being asked for."""
        for one in (*self.declarations.values(), *BUILTINS.values()):
            if isinstance(one, Trend) and from_due(one).name == name:
                return self.declarations.setdefault(name, from_due(one))
        return None

    def texts(self, name: str, given: Any) -> Mapping[str, str]:
        """`given` as a mapping of names to texts; empty, with a problem noted, if it is none."""
        problems = list(text_problems(name, given))
        self.problems += problems
        return {} if problems else given

    def tags(self, scenario: str, given: Mapping[str, str]) -> None:
        self.problems.extend(f"{scenario}: {problem}" for problem in tag_problems(given))
        if "scenario" in given:
            self.problems.append(f"{scenario}: tag 'scenario' is the scenario's name, always")

    def duration(self, given: object, name: str) -> float:
        """Seconds; 0 for what is no duration."""
        try:
            return parse_duration(given, name)
        except UsageError as error:
            self.problems.append(str(error))
            return 0.0

    def threshold(self, scenario: str, metric: object, given: object) -> PlannedThreshold | None:
        selector = metric.name if isinstance(metric, Declaration) else str(metric)
        try:
            name, tags = parse_selector(selector)
        except UsageError as error:
            self.problems.append(f"{scenario}: {error}")
            return None
        kind = dict(tags).get("kind")
        if name == "ws_errors" and kind is not None and kind not in KINDS:
            self.problems.append(
                f"{scenario}: threshold on {selector!r}: there is no such kind of error: it may be "
                f"{', '.join(sorted(KINDS))}"
            )
        found = None
        try:
            found = threshold_of(given)
        except InvalidPlan as error:
            self.problems.extend(f"{scenario}: {text} (on {name})" for text in error.problems)
        declaration = self.declarations.get(name) or BUILTINS.get(name) or self._response(name)
        if declaration is None:
            self.problems.append(
                f"{scenario}: threshold {given!r} on {name!r}, which is neither built in nor "
                "declared: use the metric itself as the key, or name it in metrics=[...]"
            )
        if found is None or declaration is None:
            return None
        condition, abort_on_fail, delay_s = found
        self.problems.extend(f"{scenario}: {text}" for text in condition.validate(declaration))
        return PlannedThreshold(selector, condition, abort_on_fail, seconds_to_ns(delay_s))


def make_plan(
    scenarios: Sequence[Scenario],
    *,
    load: LoadModel | None = None,
    env: Mapping[str, str] | None = None,
    seed: int | None = None,
    warmup: Duration = 0,
    setup: HookFunction | None = None,
    teardown: HookFunction | None = None,
    setup_timeout: Duration = HOOK_TIMEOUT_S,
    teardown_timeout: Duration = HOOK_TIMEOUT_S,
    allow_empty: bool = False,
    allow_script_errors: bool = False,
    allow_oversized: bool = False,
    calibrate: bool = False,
) -> Plan:
    """Check everything and put it together; arguments as for :func:`ghostcore.run`.

    :param seed: 0 to 2**63 - 1; None draws one.
    :raises InvalidPlan: with every problem that was found.
    """
    draft = _Draft()
    planned: list[ScenarioPlan] = []
    thresholds: list[PlannedThreshold] = []
    if not scenarios:
        draft.problems.append("there is no scenario to run")
    names = [one.name for one in scenarios]
    for name in sorted({name for name in names if names.count(name) > 1}):
        draft.problems.append(f"two scenarios are named {name!r}: give one of them another name=")
    if load is not None and len(scenarios) > 1:
        draft.problems.append("a load that replaces the profile needs one scenario to apply to")
    for scenario in scenarios:
        for metric in scenario.metrics:
            draft.declare(scenario.name, metric)
        for metric, _ in scenario.thresholds:
            if isinstance(metric, Declaration):
                draft.declare(scenario.name, metric)
    if seed is None:
        seed = secrets.randbits(48)
    elif isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        draft.problems.append(f"seed must be an int from 0 to 2**63 - 1, got {seed!r}")
    env = draft.texts("env", {} if env is None else env)
    feeds = _plan_feeds(draft, scenarios, seed)
    for scenario in scenarios:
        one = _plan_scenario(draft, scenario, load or scenario.load, env, feeds)
        if one is not None:
            planned.append(one)
        for metric, given in scenario.thresholds:
            threshold = draft.threshold(scenario.name, metric, given)
            if threshold is not None and threshold not in thresholds:
                thresholds.append(threshold)
    warmup_s = draft.duration(warmup, "warmup")
    plan = Plan(
        tuple(planned),
        tuple(thresholds),
        draft.declarations,
        seed,
        allow_empty,
        allow_script_errors,
        seconds_to_ns(warmup_s),
        Env(env),
        make_hook("setup", setup, ("env",), setup_timeout, draft.problems),
        make_hook("teardown", teardown, ("data", "env"), teardown_timeout, draft.problems),
        allow_oversized,
        calibrate,
    )
    if planned and 0 < plan.duration_ns <= plan.warmup_ns:
        draft.problems.append(
            f"a warmup of {format_duration(warmup_s)} leaves nothing to count: the load lasts "
            f"{format_duration(plan.duration_ns / 1e9)}"
        )
    if draft.problems:
        raise InvalidPlan(draft.problems)
    return plan


def _plan_feeds(
    draft: _Draft, scenarios: Sequence[Scenario], seed: int
) -> dict[str, dict[Feeder, Feed]]:
    """The feeds of each scenario. Each feeder is read once, and unique rows are dealt out."""
    loaded: dict[Feeder, Rows] = {}
    users: dict[Feeder, list[str]] = {}
    for scenario in scenarios:
        for one in scenario.feeders:
            if not isinstance(one, Feeder):
                draft.problems.append(
                    f"{scenario.name}: {one!r:.100} is no feeder: make one with feeder(...)"
                )
                continue
            names = users.setdefault(one, [])
            if scenario.name not in names:
                names.append(scenario.name)
    for one in users:
        try:
            loaded[one] = one.load()
        except InvalidPlan as error:
            draft.problems.extend(error.problems)
    return {
        scenario.name: {
            one: Feed(
                one, rows, seed, scenario.name, users[one].index(scenario.name), len(users[one])
            )
            for one, rows in loaded.items()
            if scenario.name in users[one]
        }
        for scenario in scenarios
    }


def _plan_scenario(
    draft: _Draft,
    scenario: Scenario,
    load: object,
    env: Mapping[str, str],
    feeds: Mapping[str, Mapping[Feeder, Feed]],
) -> ScenarioPlan | None:
    if load is None:
        draft.problems.append(
            f"{scenario.name}: no load model: pass load= to @scenario or to run(), "
            "or -u and -d on the command line"
        )
        return None
    if not isinstance(load, LoadModel):
        draft.problems.append(f"{scenario.name}: load {load!r} is no load model")
        return None
    problems = [
        *text_problems("tags", scenario.tags),
        *text_problems("env", scenario.env),
        *load.validate(),
    ]
    draft.problems.extend(f"{scenario.name}: {text}" for text in problems)
    if problems:
        return None
    tags = {**scenario.tags, **load.tags}
    draft.tags(scenario.name, tags)
    own_feeds = feeds[scenario.name]
    draft.problems.extend(_too_few_rows(scenario.name, load, own_feeds))
    return ScenarioPlan(
        scenario.name,
        scenario.function,
        load,
        tags,
        Env({**env, **scenario.env, **load.env}),
        own_feeds,
    )


def _too_few_rows(name: str, load: LoadModel, feeds: Mapping[Feeder, Feed]) -> Iterator[str]:
    """Problems of a scenario that has more starts than unique rows, where both are known before
    the run."""
    starts = load.known_starts
    if starts is None:
        return
    for one, feed in feeds.items():
        if feed.unique_rows is not None and feed.unique_rows < starts:
            yield (
                f"{name}: {starts} iterations need as many unique rows, but feeder {one.name} "
                f"has {feed.unique_rows} for this scenario"
            )
