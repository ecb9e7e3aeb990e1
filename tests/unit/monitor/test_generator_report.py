"""What a run says of its generator: spans, errors beside metrics, stalls."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ghostcore.monitor.generator_report import GeneratorReport, error_within, is_within
from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall


def sample(
    second: int, p99_ms: float = 0.1, *doubts: str, stamp_ms: float = 0.0
) -> GeneratorSample:
    """The second that ends then."""
    return GeneratorSample(
        float(second),
        p99_ms,
        0.1,
        0,
        0,
        loop_lag_p99_ms=p99_ms,
        stamp_error_p99_ms=stamp_ms,
        doubts=tuple(Doubt(rule, rule) for rule in doubts),
    )


def test_suspect_seconds_that_follow_each_other_are_one_span() -> None:
    report = GeneratorReport(
        [
            sample(1),
            sample(2, 0.1, "loop_lag"),
            sample(3, 0.1, "after"),
            sample(4),
            sample(5, 0.1, "cpu"),
        ]
    )
    assert report.suspect_spans == [(1.0, 3.0), (4.0, 5.0)]
    assert [one.at_s for one in report.suspect] == [2, 3, 5]
    assert GeneratorReport().suspect_spans == []


def test_the_share_of_a_window_of_a_few_ms_is_no_peak() -> None:
    whole, last = sample(1), replace(sample(2), window_s=0.004, cpu_share=1.0, rss_bytes=7)
    report = GeneratorReport([whole, last])
    assert report.maximum("cpu_share") == 0.1
    assert report.maximum("rss_bytes") == 7
    assert GeneratorReport([last]).maximum("cpu_share") == 1.0, "of what there is"


def test_workers_of_the_same_second_make_one_span() -> None:
    report = GeneratorReport([sample(1, 0.1, "cpu"), sample(1), sample(2), sample(2, 0.1, "cpu")])
    assert report.suspect_spans == [(0.0, 2.0)]


def test_a_window_is_within_a_span_if_they_share_any_time() -> None:
    spans = [(2.0, 3.0)]
    assert is_within(2.0, 3.0, spans)
    assert is_within(0.0, 2.1, spans)
    assert is_within(2.5, 9.0, spans)
    assert not is_within(1.0, 2.0, spans)
    assert not is_within(3.0, 4.0, spans)
    assert not is_within(3.0, 4.0, [])


def test_the_error_is_that_of_the_seconds_in_which_the_metric_has_samples() -> None:
    samples = [sample(1, 300.0), sample(2, 0.2), sample(3, 0.4, stamp_ms=0.1)]
    assert error_within(samples, [(1.0, 0), (2.0, 500), (3.0, 0)]) == 0.2
    assert error_within(samples, [(2.0, 99), (3.0, 1)]) == 0.2, "99 of 100 samples"
    assert error_within(samples, [(2.0, 98), (3.0, 2)]) == 0.5
    assert error_within(samples, [(1.0, 1)]) == 300.0
    assert math.isnan(error_within(samples, [(1.0, 0)]))
    assert math.isnan(error_within(samples, [(7.0, 5)])), "a second that nobody watched"
    assert math.isnan(error_within([], [(1.0, 5)]))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=20))
def test_the_error_is_the_99th_percentile_over_all_samples(
    seconds: list[tuple[int, int]],
) -> None:
    samples = [sample(at, float(error)) for at, (error, _) in enumerate(seconds, 1)]
    found = error_within(samples, [(float(at), n) for at, (_, n) in enumerate(seconds, 1)])
    each = sorted(error for error, count in seconds for _ in range(count))
    if not each:
        assert math.isnan(found)
    else:
        assert found == each[math.ceil(len(each) * 99 / 100) - 1]


def test_the_worst_worker_of_a_second_counts() -> None:
    assert error_within([sample(1, 0.1), sample(1, 7.0)], [(1.0, 10)]) == 7.0


def test_unknown_parts_of_the_error_are_left_out() -> None:
    assert GeneratorSample(1.0, 0.1, 0, 0, 0).error_ms == 0
    assert sample(1, 0.25, stamp_ms=math.nan).error_ms == 0.25
    assert sample(1, 0.25, stamp_ms=0.5).error_ms == 0.75


def test_stalls_of_all_seconds_the_guilty_ones_by_length() -> None:
    short = Stall(0.1, 150.0, 0.0, "a.py:1: f()")
    long = Stall(1.2, 900.0, 0.0, "b.py:7: g()", "socket.py:706")
    machine = Stall(2.0, 400.0, 390.0, "a.py:2: h()")
    report = GeneratorReport(
        [
            GeneratorSample(1.0, 0, 0, 0, 0, stalls=(short,)),
            GeneratorSample(2.0, 0, 0, 0, 0, stalls=(long, machine)),
        ]
    )
    assert report.stalls == [short, long, machine]
    assert report.blamed == [long, short]
    assert long.place == "b.py:7: g() (in socket.py:706)"


def test_maxima_leave_out_what_is_not_known() -> None:
    report = GeneratorReport(
        [sample(1), GeneratorSample(2.0, 3.0, math.nan, 5, 0), GeneratorSample(3.0, 1.0, 0.2, 4, 0)]
    )
    assert report.maximum("loop_lag_ms") == 3.0
    assert report.maximum("cpu_share") == 0.2
    assert report.maximum("rss_bytes") == 5
    assert math.isnan(report.maximum("steal_share"))
