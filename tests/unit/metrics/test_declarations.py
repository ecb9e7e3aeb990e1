from __future__ import annotations

import dataclasses
import math
import pickle

import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import (
    Counter,
    Declaration,
    Gauge,
    Rate,
    Trend,
    declaration_from_wire,
)

EACH = [
    Trend("t"),
    Trend("t", unit="items", resolution=0.5),
    Counter("c"),
    Counter("c", unit="bytes"),
    Rate("r"),
    Gauge("g"),
    Gauge("g", unit="users", additive=True),
]


@pytest.mark.parametrize(
    ("unit", "resolution", "unit_ns"),
    [
        ("ms", 0.001, 1e6),
        ("s", 1e-6, 1e9),
        ("us", 1.0, 1e3),
        ("ns", 1000.0, 1.0),
        ("items", 0.001, 0.0),
        ("", 0.001, 0.0),
    ],
)
def test_durations_resolve_one_microsecond_others_a_thousandth(
    unit: str, resolution: float, unit_ns: float
) -> None:
    trend = Trend("t", unit=unit)
    assert trend.resolution == pytest.approx(resolution, rel=1e-15)
    assert trend.unit_ns == unit_ns


def test_declarations_are_equal_by_kind_name_unit_and_resolution() -> None:
    assert Trend("x") == Trend("x", "ms") == Trend("x", resolution=0.001)
    assert hash(Trend("x")) == hash(Trend("x", resolution=0.001))
    different = [*EACH, Trend("u"), Trend("t", unit="s"), Trend("t", resolution=1)]
    assert len(set(different)) == len(different)
    assert Counter("x") != Gauge("x") != Rate("x")  # type: ignore[comparison-overlap]


def test_declarations_cannot_be_changed() -> None:
    for declaration in EACH:
        with pytest.raises(dataclasses.FrozenInstanceError):
            declaration.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a.b", "a b", "ä", "a\n", "x" * 129, None, 5])
@pytest.mark.parametrize("kind", [Trend, Counter, Rate, Gauge])
def test_bad_names_are_refused(kind: type[Declaration], name: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 128 letters, digits and underscores"):
        kind(name)


def test_names_may_be_128_long_and_begin_with_an_underscore() -> None:
    assert Rate("_" + "a" * 127).name == "_" + "a" * 127


@pytest.mark.parametrize("resolution", [0, -1, math.nan, math.inf, "1", True, 1e-320])
def test_bad_resolutions_are_refused(resolution: float) -> None:
    with pytest.raises(UsageError, match="expected a number above 0"):
        Trend("t", resolution=resolution)


@pytest.mark.parametrize("unit", [None, 5, "x" * 33, "a\nb"])
def test_bad_units_are_refused(unit: str) -> None:
    for kind in (Trend, Counter, Gauge):
        with pytest.raises(UsageError, match="printable characters"):
            kind("m", unit=unit)


@pytest.mark.parametrize("declaration", EACH, ids=repr)
def test_declarations_travel(declaration: Declaration) -> None:
    assert declaration_from_wire(declaration.to_wire()) == declaration
    assert pickle.loads(pickle.dumps(declaration)) == declaration


@pytest.mark.parametrize("wire", [None, [], ["x"], ["rate"], ["rate", "a", "b", "c"], ["rate", ""]])
def test_wire_garbage_is_refused(wire: object) -> None:
    with pytest.raises(ValueError, match=r"not the declaration|expected 1 to 128"):
        declaration_from_wire(wire)
