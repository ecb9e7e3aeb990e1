"""Windows against the raw samples, and bounds that hold the truth however samples were gathered."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.execution.watch import SlidingWindow
from ghostcore.metrics import Registry, Snapshot, Totals, Trend, TrendView, evaluate, parse
from ghostcore.metrics.recorders import CounterState

SECOND = 10**9
T = Trend("t", unit="", resolution=1)


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 5)), min_size=1, max_size=60),
    st.integers(1, 20),
    st.integers(0, 400),
)
def test_a_window_is_the_sum_of_its_seconds(
    amounts: list[int | None], length_s: int, late_ms: int
) -> None:
    window = SlidingWindow(length_s * SECOND)
    start_ns = 0
    for second, amount in enumerate(amounts):
        end_ns = (second + 1) * SECOND + (second % 2) * late_ms * 10**6
        window.add(start_ns, end_ns, None if amount is None else CounterState(amount, 1))
        start_ns = end_ns
        expected = amounts[max(0, second + 1 - length_s) : second + 1]
        known = [one for one in expected if one is not None]
        state = window.state()
        if not known:
            assert state is None
            continue
        assert isinstance(state, CounterState)
        assert (state.total, state.samples) == (sum(known), len(known))
        assert window.is_full == (second + 1 >= length_s)


operation = st.tuples(
    st.integers(0, 50),  # how long it really takes
    st.one_of(st.none(), st.integers(0, 50)),  # after how long it is cut off
    st.booleans(),  # fails
    st.integers(0, 2),  # worker
    st.integers(0, 3),  # second
    st.sampled_from("ab"),  # tag
)


@settings(max_examples=200)
@given(st.lists(operation, min_size=1, max_size=40), st.integers(0, 100), st.integers(0, 60))
def test_bounds_hold_the_truth_however_samples_were_gathered(
    operations: list[tuple[int, int | None, bool, int, int, str]], percentile: int, limit: int
) -> None:
    """True durations are known: three workers record them in four windows, in two series."""
    workers = [Registry([T]) for _ in range(3)]
    truth: list[float] = []
    totals = Totals({"t": T})
    for second in range(4):
        for takes, cut_at, fails, worker, when, tag in operations:
            if when != second:
                continue
            recorder = workers[worker].recorder(T, {"tag": tag})
            if cut_at is not None and cut_at <= takes:
                recorder.cut_off(cut_at, "deadline")  # type: ignore[union-attr]
                truth.append(math.inf if fails else takes)
            elif fails:
                recorder.fail()  # type: ignore[union-attr]
                truth.append(math.inf)
            else:
                recorder.record(takes)  # type: ignore[union-attr]
                truth.append(takes)
        together = Snapshot(second * SECOND, (second + 1) * SECOND)
        for one in workers:
            drained = one.drain(second * SECOND, (second + 1) * SECOND)
            together.merge(Snapshot.from_bytes(drained.to_bytes()))
        totals.add(together)
    view = totals.view("t")
    assert isinstance(view, TrendView)
    assert view.count == len(truth)
    true = sorted(truth)[max(1, -(-percentile * len(truth) // 100)) - 1]
    found = view.bounds(percentile)
    assert found.lower <= true <= found.upper
    verdict = evaluate(parse(f"p({percentile})<{limit}"), view).verdict
    assert verdict == "undetermined" or (verdict == "pass") == (true < limit)
