"""What a metric is: values without state, so that two runs in one process never mix."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ghostcore.errors import UsageError

__all__ = [
    "FROM_DUE",
    "Counter",
    "Declaration",
    "Gauge",
    "Rate",
    "Trend",
    "declaration_from_wire",
    "from_due",
]

UNIT_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
"""Units of Trends that are durations, and the ns in one of each."""

_RESOLUTION_NS = 1e3
MAX_NAME = 128
_NAME = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_]{{0,{MAX_NAME - 1}}}")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"metric name {name!r}: expected 1 to 128 letters, digits and underscores, "
            "not beginning with a digit"
        )


def _check_unit(name: str, unit: object) -> None:
    if not isinstance(unit, str) or len(unit) > 32 or not (unit == "" or unit.isprintable()):
        raise UsageError(f"unit {unit!r} of metric {name}: expected up to 32 printable characters")


@dataclass(frozen=True, slots=True)
class Declaration(ABC):
    """Common to all metrics. ``name``: letters, digits and underscores, 1 to 128."""

    kind: ClassVar[str] = ""

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)

    @abstractmethod
    def to_wire(self) -> list[Any]:
        """The declaration as a list that msgpack carries."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Counter(Declaration):
    """A sum of amounts."""

    kind: ClassVar[str] = "counter"

    unit: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_unit(self.name, self.unit)

    def to_wire(self) -> list[Any]:
        return [self.kind, self.name, self.unit]


@dataclass(frozen=True, slots=True)
class Gauge(Declaration):
    """A level.

    :param additive: every worker and every series holds a share of the level, as with users: where
        they are merged, shares are added. The levels of other gauges are alternatives: the last
        one merged counts, with the extremes of all.
    """

    kind: ClassVar[str] = "gauge"

    unit: str = ""
    additive: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_unit(self.name, self.unit)

    def to_wire(self) -> list[Any]:
        return [self.kind, self.name, self.unit, self.additive]


@dataclass(frozen=True, slots=True)
class Rate(Declaration):
    """The share of what passed."""

    kind: ClassVar[str] = "rate"

    def to_wire(self) -> list[Any]:
        return [self.kind, self.name]


@dataclass(frozen=True, slots=True, init=False)
class Trend(Declaration):
    """Samples, of which quantiles are wanted.

    :param unit: "ns", "us", "ms" and "s" are durations; any other text is shown as it is.
    :param resolution: the smallest difference that is kept, in ``unit``. Values up to 3.6e9 times
        the resolution are held at three significant digits. Default: 1 us for durations (up to one
        hour), 0.001 for others.
    """

    kind: ClassVar[str] = "trend"

    unit: str
    resolution: float

    def __init__(self, name: str, unit: str = "ms", resolution: float | None = None) -> None:
        _check_name(name)
        _check_unit(name, unit)
        if resolution is None:
            resolution = _RESOLUTION_NS / UNIT_NS[unit] if unit in UNIT_NS else 0.001
        elif (
            isinstance(resolution, bool)
            or not isinstance(resolution, int | float)
            or not math.isfinite(resolution)
            or not 1e-100 < resolution < 1e100
        ):
            raise UsageError(
                f"resolution {resolution!r} of metric {name}: expected a number above 0 in its unit"
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "resolution", float(resolution))

    @property
    def unit_ns(self) -> float:
        """ns in one unit; 0 where the metric is no duration."""
        return UNIT_NS.get(self.unit, 0.0)

    def to_wire(self) -> list[Any]:
        return [self.kind, self.name, self.unit, self.resolution]


FROM_DUE = "_from_due"
"""What the name of a Trend that counts from due times ends with."""


def from_due(trend: Trend) -> Trend:
    """The Trend of the same operations, measured from when they were due instead of from when they
    began: ``NAME_from_due``."""
    name = trend.name[: MAX_NAME - len(FROM_DUE)] + FROM_DUE
    return Trend(name, trend.unit, trend.resolution)


_KINDS: dict[str, type[Declaration]] = {kind.kind: kind for kind in (Counter, Gauge, Rate, Trend)}


def declaration_from_wire(wire: object) -> Declaration:
    """The declaration that ``to_wire()`` described. ValueError for anything else."""
    if not isinstance(wire, list) or not wire or wire[0] not in _KINDS:
        raise ValueError(f"not the declaration of a metric: {wire!r}")
    try:
        return _KINDS[wire[0]](*wire[1:])
    except TypeError as error:
        raise ValueError(f"not the declaration of a metric: {wire!r}") from error
