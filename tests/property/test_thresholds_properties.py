"""A verdict holds for every value that cut-off operations could have reached."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from ghostcore.metrics.declarations import Trend
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import TrendState
from ghostcore.metrics.thresholds import evaluate, parse
from ghostcore.metrics.views import view_of

OPS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
}
FIGURES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "avg": lambda values: sum(values) / len(values),
    "med": lambda values: sorted(values)[math.ceil(len(values) / 2) - 1],
    "p(75)": lambda values: sorted(values)[math.ceil(len(values) * 3 / 4) - 1],
    "count": len,
}
METRIC = Trend("t", unit="", resolution=1)
small = st.integers(0, 12)


def histogram(samples: list[int]) -> Histogram:
    h = Histogram()
    for sample in samples:
        h.record(sample)
    return h


@given(
    good=st.lists(small, max_size=5),
    failed=st.integers(0, 2),
    cut=st.lists(st.tuples(small, st.one_of(small, st.just(math.inf))), max_size=4),
    figure=st.sampled_from(sorted(FIGURES)),
    op=st.sampled_from(sorted(OPS)),
    limit=small,
)
def test_a_verdict_holds_whatever_became_of_the_cut_off(
    *,
    good: list[int],
    failed: int,
    cut: list[tuple[int, float]],
    figure: str,
    op: str,
    limit: int,
) -> None:
    state = TrendState(
        1.0, histogram(good), failed, {"end": histogram([t for t, _ in cut])} if cut else {}
    )
    result = evaluate(parse(f"{figure}{op}{limit}"), view_of(METRIC, state, seconds=1))
    reached = [*map(float, good), *[math.inf] * failed, *(t + more for t, more in cut)]
    if not reached:
        assert result.verdict == "fail"
        return
    outcome = OPS[op](FIGURES[figure](reached), limit)
    if result.verdict == "undetermined":
        assert cut
    else:
        assert outcome == (result.verdict == "pass")
    if not cut:
        assert result.verdict != "undetermined"
