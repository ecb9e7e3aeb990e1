"""The metrics of a result, asked for by declaration and by name."""

from __future__ import annotations

import dataclasses

import pytest

from ghostcore import Counter, Gauge, Rate, Trend
from tests.support.results import ITEMS, JOIN, troubled_result

CHECKS = Rate("checks")
VUS = Gauge("vus", additive=True)


def test_a_declaration_finds_the_metric_that_its_name_finds() -> None:
    metrics = troubled_result().metrics
    assert metrics[JOIN] is metrics.view(JOIN.name)
    assert metrics[ITEMS] is metrics.view(ITEMS.name)
    assert metrics[CHECKS] is metrics.view(CHECKS.name)
    assert metrics[VUS] is metrics.view(VUS.name)


def test_the_view_has_the_kind_of_the_declaration() -> None:
    metrics = troubled_result().metrics
    assert metrics[JOIN].count == 110
    assert metrics[JOIN].text(100) == ">= 10000"
    assert metrics[ITEMS].count == 12.5
    assert (metrics[CHECKS].passes, metrics[CHECKS].fails) == (999, 1)
    assert (metrics[VUS].value, metrics[VUS].max) == (0, 20)


@pytest.mark.parametrize(
    "other",
    [
        Counter(JOIN.name),
        dataclasses.replace(ITEMS, name=JOIN.name),
        Trend(JOIN.name, unit="s"),
        Trend(JOIN.name, unit="ms", resolution=1),
    ],
    ids=str,
)
def test_another_declaration_of_the_same_name_finds_nothing(other: Trend | Counter) -> None:
    metrics = troubled_result().metrics
    with pytest.raises(KeyError, match="join_time was declared as Trend"):
        metrics[other]


def test_what_was_never_declared_is_not_found() -> None:
    metrics = troubled_result().metrics
    for selector in ("unheard_of", "join_time{", ""):
        with pytest.raises(KeyError):
            metrics[selector]
    with pytest.raises(KeyError, match="unheard_of"):
        metrics[Trend("unheard_of")]
