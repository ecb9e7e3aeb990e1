"""Metrics: what they are, how windows of them merge, what users read of them, how they are judged.

The recorders themselves are C (``metrics.recorders``); the rest gives them names and tags.
"""

from __future__ import annotations

from ghostcore.metrics.declarations import (
    FROM_DUE,
    Counter,
    Declaration,
    Gauge,
    Rate,
    Trend,
    from_due,
)
from ghostcore.metrics.names import BUILTINS, DESCRIPTIONS, KNOWN_WITH, MEASURED_BY_THE_KERNEL
from ghostcore.metrics.quantiles import Bounds, Interval, TooFew, bounds, interval, needed_samples
from ghostcore.metrics.registry import AnyRecorder, Registry
from ghostcore.metrics.snapshot import SeriesKey, Snapshot, Totals, parse_selector, tag_problems
from ghostcore.metrics.thresholds import (
    Condition,
    Threshold,
    ThresholdResult,
    Verdict,
    evaluate,
    is_empty,
    parse,
    threshold_of,
)
from ghostcore.metrics.views import (
    CounterView,
    GaugeView,
    NamedView,
    RateView,
    TrendView,
    View,
    number_text,
    view_of,
)

__all__ = [
    "BUILTINS",
    "DESCRIPTIONS",
    "FROM_DUE",
    "KNOWN_WITH",
    "MEASURED_BY_THE_KERNEL",
    "AnyRecorder",
    "Bounds",
    "Condition",
    "Counter",
    "CounterView",
    "Declaration",
    "Gauge",
    "GaugeView",
    "Interval",
    "NamedView",
    "Rate",
    "RateView",
    "Registry",
    "SeriesKey",
    "Snapshot",
    "Threshold",
    "ThresholdResult",
    "TooFew",
    "Totals",
    "Trend",
    "TrendView",
    "Verdict",
    "View",
    "bounds",
    "evaluate",
    "from_due",
    "interval",
    "is_empty",
    "needed_samples",
    "number_text",
    "parse",
    "parse_selector",
    "tag_problems",
    "threshold_of",
    "view_of",
]
