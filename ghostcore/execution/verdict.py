"""From the figures of a run to its verdict: the first rule that applies, and why."""

from __future__ import annotations

from collections.abc import Sequence

from ghostcore.execution.plan import Plan
from ghostcore.execution.validity import local_failures_of_run, suspect_note, undelivered
from ghostcore.metrics import ThresholdResult, parse_selector
from ghostcore.monitor.generator_report import GeneratorReport
from ghostcore.monitor.rules import UNDELIVERED_SHARE
from ghostcore.results.record import (
    EXIT_ABORTED,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SCRIPT,
    EXIT_THRESHOLDS,
    Metrics,
    Outcome,
    RunVerdict,
)
from ghostcore.results.timeline import Timeline

__all__ = ["judge", "outcome_of"]


def outcome_of(metrics: Metrics) -> Outcome:
    """Offered, delivered and answered, in iterations."""
    started = metrics.count_of("iterations_started")
    ended = metrics.count_of("iterations")
    return Outcome(
        offered=started + metrics.count_of("dropped_iterations"),
        delivered=started,
        answered=ended - metrics.count_of("iterations_failed"),
        interrupted=metrics.count_of("iterations_interrupted"),
    )


def _nothing_done(metrics: Metrics, outcome: Outcome, interrupted: bool) -> str | None:
    """Why the run measured nothing, if that is so: the plainest of failures."""
    attempts = metrics.count_of("ws_sessions")
    if attempts and local_failures_of_run(metrics) == attempts:
        return None  # nothing is known of the server
    if attempts and not metrics.count_of("ws_sessions_opened"):
        return f"nothing was opened: {attempts} connection attempts, none succeeded"
    failed = metrics.count_of("iterations_failed")
    if outcome.answered == 0 and failed:
        return f"nothing was completed: {failed} iterations ended, all of them with an error"
    if outcome.delivered == 0 and not interrupted:
        return "nothing was done: no iteration was started"
    if outcome.answered == 0 and attempts == 0:
        return f"nothing was completed: none of {outcome.delivered} iterations came to its end"
    return None


def judge(
    plan: Plan,
    metrics: Metrics,
    outcome: Outcome,
    thresholds: list[ThresholdResult],
    timeline: Timeline,
    generator: GeneratorReport,
    *,
    aborted: str | None,
    interrupted: str | None,
    failures: Sequence[str] = (),
    began: bool = True,
    short_of_users: int = 0,
) -> tuple[RunVerdict, int, list[str]]:
    """Verdict, exit code and reasons, in the order of precedence of the exit codes.

    :param timeline: the run second by second.
    :param generator: how the generator did after the warm-up.
    :param aborted: the reason that the script gave for ending the run.
    :param interrupted: what stopped the run from outside.
    :param failures: what went wrong in set-up and teardown.
    :param short_of_users: starts that were dropped because all users that are allowed were busy.
    :param began: False if the load never did: then nothing can be said of what it would have been.
    """
    reasons: list[str] = []
    found: list[tuple[int, RunVerdict]] = []
    if failures:
        found.append((EXIT_SCRIPT, "fail"))
        reasons += failures
    script_errors = metrics.count_of("script_errors")
    if script_errors and not plan.allow_script_errors:
        found.append((EXIT_SCRIPT, "fail"))
        reasons.append(f"{script_errors} errors in the script itself: see the samples")
    if aborted is not None:
        found.append((EXIT_ABORTED, "fail"))
        reasons.append(f"the script aborted the run: {aborted or 'no reason given'}")
    if interrupted is not None:
        found.append((EXIT_INTERRUPTED, "inconclusive"))
        reasons.append(f"interrupted: {interrupted}")
    if not began:
        code, verdict = found[0]
        return verdict, code, [*reasons, "the load was never started"]
    failed = [one for one in thresholds if one.verdict == "fail"]
    nothing = _nothing_done(metrics, outcome, interrupted is not None)
    if failed or nothing:
        found.append((EXIT_THRESHOLDS, "fail"))
        reasons += [nothing] if nothing else []
        reasons += [
            f"threshold {one.metric} {one.expression} failed: {one.reason}" for one in failed
        ]
    undetermined = [one for one in thresholds if one.verdict == "undetermined"]
    if undetermined:
        found.append((EXIT_INCONCLUSIVE, "inconclusive"))
        reasons += [
            f"threshold {one.metric} {one.expression} is undetermined: {one.reason}"
            for one in undetermined
        ]
    exhausted = metrics.count_of("data_exhausted")
    if exhausted:
        found.append((EXIT_INCONCLUSIVE, "inconclusive"))
        reasons.append(
            f"{exhausted} starts found no row left in a feeder of unique rows: less load was made "
            "than planned"
        )
    lost = list(undelivered(metrics, outcome, timeline, generator))
    lost += _too_few_users(plan, outcome, short_of_users)
    if lost:
        found.append((EXIT_INCONCLUSIVE, "inconclusive"))
        reasons += lost
    note = suspect_note(metrics, generator)
    if not found:
        stands = f"{note}; that can only have made latencies longer: the pass stands"
        return "pass", EXIT_OK, [_passed(thresholds), *([stands] if note else [])]
    code, verdict = found[0]
    if note and code == EXIT_INCONCLUSIVE:
        reasons.append(note)
    return verdict, code, reasons


def _too_few_users(plan: Plan, outcome: Outcome, starts: int) -> list[str]:
    """Why the load was not what the plan says, if the number of users was the reason: what a server
    did with a part of the load says nothing of the whole. Who has a threshold on dropped starts has
    said how many may be."""
    if starts <= UNDELIVERED_SHARE * outcome.offered:
        return []
    if any(parse_selector(one.selector).name == "dropped_iterations" for one in plan.thresholds):
        return []
    return [
        f"{starts} of {outcome.offered} starts were dropped since all users were busy: the load "
        "was not the one that was asked for. Allow more users (max_vus), or set a threshold on "
        "dropped_iterations if that many may be dropped"
    ]


def _passed(thresholds: list[ThresholdResult]) -> str:
    if not thresholds:
        return "no thresholds were set; sessions or iterations were completed"
    return f"all {len(thresholds)} thresholds passed on data"
