"""Thresholds while a run goes and at its end.

Once a second, those that may end the run are judged on what there is so far, and those over a
window on that window. Only what is certain counts as a breach: no data ends no run, nor does a
verdict that operations which were cut off leave open.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from ghostcore.execution.plan import Plan, PlannedThreshold
from ghostcore.metrics import (
    KNOWN_WITH,
    Declaration,
    SeriesKey,
    Snapshot,
    ThresholdResult,
    Totals,
    View,
    evaluate,
    is_empty,
    number_text,
    parse_selector,
    view_of,
)
from ghostcore.metrics.recorders import AnyState, CounterState
from ghostcore.metrics.snapshot import MAX_SERIES

__all__ = ["BREACHES_IN_A_ROW", "SlidingWindow", "ThresholdWatch"]

BREACHES_IN_A_ROW = 2
"""Times in a row, a second apart, that a window must fail to end a run: a single second's stall in
a short window is no trend."""

MAX_PARTS = 600
"""Parts that a window is made of; beyond ten minutes each part is longer than a second."""


class SlidingWindow:
    """What a metric measured in the last so many ns, in steps of a second.

    It begins at the border of two parts that is nearest to its length ago: within half a second,
    or half of 1/600 of a longer window.
    """

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self._parts: deque[tuple[int, int, AnyState | None]] = deque()
        self._began_ns: int | None = None

    def add(self, start_ns: int, end_ns: int, state: AnyState | None) -> None:
        """Take in the part that follows the last one. The window keeps the state."""
        if self._began_ns is None:
            self._began_ns = start_ns
        if self._parts and end_ns - self._parts[-1][0] <= self.length_ns // MAX_PARTS:
            start_ns, _, earlier = self._parts.pop()
            state = _appended([earlier, state])
        self._parts.append((start_ns, end_ns, state))
        from_ns = end_ns - self.length_ns
        # The middle of the first part lies before the window. The last part always stays, even one
        # that a stall of the process made longer than the window.
        while len(self._parts) > 1 and self._parts[0][0] + self._parts[0][1] < 2 * from_ns:
            self._parts.popleft()

    @property
    def is_full(self) -> bool:
        """Has as much been measured as the window is long (to half a second)?"""
        if self._began_ns is None or not self._parts:
            return False
        return self._parts[-1][1] - self._began_ns >= self.length_ns - 500_000_000

    @property
    def seconds(self) -> float:
        """How long what it holds is."""
        return (self._parts[-1][1] - self._parts[0][0]) / 1e9 if self._parts else 0.0

    def state(self) -> AnyState | None:
        """All of it together; None where nothing was measured."""
        return _appended([state for _, _, state in self._parts])


def _appended(states: list[AnyState | None]) -> AnyState | None:
    found: AnyState | None = None
    for state in states:
        if state is None:
            continue
        if found is None:
            found = state.copy()
        else:
            found.append(state)
    return found


@dataclass
class _Watched:
    """A threshold of the plan, and what became of it so far."""

    planned: PlannedThreshold
    declaration: Declaration
    selected: SeriesKey
    window: SlidingWindow | None
    in_a_row: int = 0
    breaches: int = 0
    first_breach_s: float | None = None
    final: ThresholdResult | None = field(default=None)

    def view(self, totals: Totals) -> View:
        if self.window is None:
            state, seconds = totals.metric(self.planned.selector), totals.seconds
        else:
            state, seconds = self.window.state(), self.window.seconds
        if state is None and self._is_known(totals):
            state = CounterState(0.0, 1)
        return view_of(self.declaration, state, seconds=seconds, name=self.planned.selector)

    def _is_known(self, totals: Totals) -> bool:
        """A counter that counted before is known to be 0 in a window in which it did not; and with
        it, of errors, every kind: what kinds there are is settled before the run. So are counters
        of what can happen to an iteration, once there was one."""
        name, tags = self.selected
        if name == "ws_errors":
            tags = tuple(tag for tag in tags if tag[0] != "kind")
        selected = SeriesKey(KNOWN_WITH.get(name, name), tags)
        return isinstance(totals.metric(str(selected)), CounterState)

    def is_complete(self, totals: Totals) -> bool:
        """False where samples that the selector asks for may stand in ``__other__``."""
        return totals.complete(self.planned.selector)

    def due(self, at_ns: int) -> bool:
        """Is it judged while the run goes, at this time?"""
        if self.planned.abort_on_fail and at_ns < self.planned.delay_ns:
            return False
        return self.planned.abort_on_fail if self.window is None else self.window.is_full


class ThresholdWatch:
    """Follows a run second by second.

    :param declarations: of all metrics, the built-in ones included.
    """

    def __init__(self, plan: Plan, declarations: dict[str, Declaration]) -> None:
        self._allow_empty = plan.allow_empty
        self._watched = [
            _Watched(
                planned,
                declarations[parse_selector(planned.selector).name],
                parse_selector(planned.selector),
                None
                if planned.condition.window_s is None
                else SlidingWindow(round(planned.condition.window_s * 1e9)),
            )
            for planned in plan.thresholds
        ]

    def add(self, snapshot: Snapshot) -> None:
        """Take in the window of a second that followed the last one."""
        for one in self._watched:
            if one.window is not None:
                state = snapshot.metric(one.selected)
                one.window.add(snapshot.start_ns, snapshot.end_ns, state)

    def judge_now(self, totals: Totals, at_ns: int) -> list[ThresholdResult]:
        """Judge what is due while the run goes.

        :param totals: everything that counts so far.
        :param at_ns: since the start of the run.
        :returns: the thresholds for which the run must end now.
        """
        ended = []
        for one in self._watched:
            if not one.due(at_ns):
                continue
            view = one.view(totals)
            result = None if is_empty(view) else evaluate(one.planned.condition, view)
            if result is None or result.verdict != "fail" or not one.is_complete(totals):
                one.in_a_row = 0
                continue
            one.in_a_row += 1
            if one.window is not None:
                one.breaches += 1
                if one.first_breach_s is None:
                    one.first_breach_s = at_ns / 1e9
            needed = 1 if one.window is None else BREACHES_IN_A_ROW
            if one.planned.abort_on_fail and one.in_a_row >= needed:
                ended.append(one)
                one.final = replace(
                    result,
                    reason=f"{result.reason}: that ended the run at {_seconds(at_ns / 1e9)} s",
                    aborted_at_s=at_ns / 1e9,
                )
        return [one.final for one in ended if one.final is not None]

    def conclude(self, totals: Totals) -> list[ThresholdResult]:
        """Every threshold at the end of the run, in the order of the plan.

        One that ended the run stands as it was judged then: what was cut off by that end could
        only blur it.
        """
        return [self._final(one, totals) for one in self._watched]

    def _final(self, one: _Watched, totals: Totals) -> ThresholdResult:
        result = one.final or evaluate(one.planned.condition, one.view(totals), self._allow_empty)
        if not one.is_complete(totals):
            reason = (
                f"{result.reason}, but there were more than {MAX_SERIES:,} combinations of metric "
                "and tags: some of its samples may be counted in __other__"
            )
            result = replace(result, verdict="undetermined", reason=reason)
        if not one.breaches or one.first_breach_s is None:
            return result
        reason = result.reason
        if one.final is None:
            times = "once" if one.breaches == 1 else f"{one.breaches} times"
            reason += (
                f"; judged once a second, it failed {times} while the run went, first at "
                f"{_seconds(one.first_breach_s)} s"
            )
        return replace(
            result, reason=reason, breaches=one.breaches, first_breach_s=one.first_breach_s
        )


def _seconds(seconds: float) -> str:
    return number_text(round(seconds, 1))
