"""The data of a finished run, apart from how it is shown or saved."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ghostcore.metrics import SeriesKey
from ghostcore.metrics.recorders import AnyState, CounterState, RateState
from ghostcore.results.record import Metrics, Record, WarmUp
from tests.support.results import make_result, tagged, trend_state, troubled_result


def test_the_fields_keep_their_order() -> None:
    """Who makes a result by position, or unpacks its fields, relies on it."""
    assert [field.name for field in dataclasses.fields(Record)] == [
        "metrics",
        "thresholds",
        "errors",
        "outcome",
        "verdict",
        "exit_code",
        "reasons",
        "seed",
        "plan",
        "timeline",
        "generator",
        "machine",
        "started_at",
        "duration_s",
        "warnings",
        "warmup",
        "setup_ms",
        "teardown_ms",
    ]


def test_metrics_are_those_with_data_and_those_declared() -> None:
    metrics = make_result([{tagged("items"): CounterState(3, 1)}]).metrics
    assert list(metrics) == ["items", "join_time"]
    assert len(metrics) == 2
    assert metrics["join_time"] is metrics["join_time"], "a view is made once"


def test_a_selector_that_cannot_be_read_is_a_key_error() -> None:
    metrics = make_result([]).metrics
    with pytest.raises(KeyError, match="no_such_metric"):
        metrics["no_such_metric"]
    assert "no_such_metric" not in metrics


def test_counts_of_selected_samples() -> None:
    metrics = troubled_result().metrics
    assert metrics.count_of("iterations") == 1234
    assert metrics.count_of("ws_errors{kind:connection_refused}") == 3
    assert metrics.count_of("ws_errors{kind:closed}") == 0
    assert [str(key) for key in metrics.series("iterations")] == ["iterations{scenario:shop}"]


def test_a_warmup_counts_its_samples_and_iterations() -> None:
    cut = make_result(
        [
            {
                tagged("join_time"): trend_state([1, 2], failed=1, cut_off_ms={"end": [3]}),
                tagged("checks", check="fine"): RateState(4, 1),
                tagged("iterations"): CounterState(6, 6),
            }
        ]
    ).metrics
    warmup = WarmUp(1.0, Metrics(cut.totals))
    assert warmup.samples == 4 + 5
    assert warmup.iterations == 6


def test_the_generator_error_is_known_of_durations_only() -> None:
    result = troubled_result()
    assert result.generator_error("join_time") == 2.5
    assert result.generator_error("join_time{scenario:shop}") == 2.5, "of the metric, tags or not"
    assert math.isnan(result.generator_error("iterations"))
    assert math.isnan(result.generator_error("tcp_rtt")), "the kernel measures it"


def test_seconds_of_the_warmup_do_not_count_for_the_generator_error() -> None:
    windows: list[dict[SeriesKey, AnyState]] = [{tagged("join_time"): trend_state([1.0] * 10)}] * 2
    samples = troubled_result().generator
    whole = make_result(windows, generator=samples)
    cut = make_result(windows, generator=samples, warmup=WarmUp(1.0, whole.metrics))
    assert whole.generator_error("join_time") == 2.5
    assert cut.generator_error("join_time") == 2.5
    first_only = make_result(windows[:1], generator=samples, warmup=WarmUp(1.0, whole.metrics))
    assert math.isnan(first_only.generator_error("join_time"))
