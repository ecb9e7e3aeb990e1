"""From metrics and tags to the recorders that the hot path writes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.names import BUILTINS
from ghostcore.metrics.recorders import (
    CounterRecorder,
    GaugeRecorder,
    RateRecorder,
    TrendRecorder,
)
from ghostcore.metrics.snapshot import MAX_SERIES, OTHER, SeriesKey, Snapshot, tag_problems

__all__ = ["AnyRecorder", "Registry"]

AnyRecorder = CounterRecorder | GaugeRecorder | RateRecorder | TrendRecorder


def recorder_for(declaration: Declaration) -> AnyRecorder:
    """A new recorder for one series of a metric."""
    match declaration:
        case Trend():
            return TrendRecorder(declaration.resolution, declaration.unit_ns, name=declaration.name)
        case Counter():
            return CounterRecorder(name=declaration.name)
        case Rate():
            return RateRecorder(name=declaration.name)
        case Gauge():
            return GaugeRecorder(declaration.additive, name=declaration.name)
    raise UsageError(f"{declaration!r} is no metric: expected a Trend, Counter, Rate or Gauge")


class Registry:
    """The series of one worker. Recorders stay valid for its whole life: keep them.

    :param declarations: metrics that can be recorded by name, beside the built-in ones.
    :ivar warnings: what a user should know, each said once.
    """

    def __init__(
        self, declarations: Iterable[Declaration] = (), *, max_series: int = MAX_SERIES
    ) -> None:
        self._declarations: dict[str, Declaration] = dict(BUILTINS)
        self._series: dict[SeriesKey, AnyRecorder] = {}
        self._max_series = max_series
        self._ordinary = 0
        self.warnings: list[str] = []
        for declaration in declarations:
            self.declare(declaration)

    @property
    def declarations(self) -> Mapping[str, Declaration]:
        """Every metric known by name, the built-in ones included."""
        return self._declarations

    def declare(self, declaration: Declaration) -> None:
        """Make a metric known by its name. UsageError if the name means another metric already."""
        if type(declaration) not in (Trend, Counter, Rate, Gauge):
            raise UsageError(
                f"{declaration!r} is no metric: expected a Trend, Counter, Rate or Gauge"
            )
        known = self._declarations.setdefault(declaration.name, declaration)
        if known != declaration:
            raise UsageError(
                f"metric {declaration.name} is declared as {declaration!r}, but it already is "
                f"{known!r}: use one declaration or another name"
            )

    def recorder(
        self, metric: Declaration | str, tags: Mapping[str, str] | None = None
    ) -> AnyRecorder:
        """The recorder of a series, made on first use.

        Beyond the limit of series (1,000) one more per metric takes all further tags, and
        ``warnings`` says so. Raises UsageError for an unknown name, a conflict of names, or a tag
        that no selector could name.
        """
        if isinstance(metric, str):
            declaration = self._declarations.get(metric)
            if declaration is None:
                raise UsageError(
                    f"unknown metric {metric!r}: declare it, e.g. as Trend({metric!r}), "
                    "or use a built-in name"
                )
        else:
            self.declare(metric)
            declaration = metric
        key = SeriesKey.of(declaration.name, tags)
        found = self._series.get(key)
        return self._new_series(key, declaration) if found is None else found

    def _new_series(self, key: SeriesKey, declaration: Declaration) -> AnyRecorder:
        for problem in tag_problems(dict(key.tags)):
            raise UsageError(f"metric {key.name}: {problem}")
        if key.tags == OTHER:
            pass  # the series beyond the limit
        elif self._ordinary < self._max_series:
            self._ordinary += 1
        else:
            if not self.warnings:
                self.warnings.append(
                    f"more than {self._max_series} series (combinations of metric and tags): "
                    f"the first too many was {key}; further ones are counted together, tagged "
                    "__other__. Use tags with few values."
                )
            return self.recorder(declaration, dict(OTHER))
        made = recorder_for(declaration)
        self._series[key] = made
        return made

    def drain(self, start_ns: int, end_ns: int) -> Snapshot:
        """End the window of every series: what was recorded since the last call.

        :param start_ns: begin of the window, in ns since the start of the run.
        :param end_ns: its end.
        """
        snapshot = Snapshot(start_ns, end_ns)
        for key, recorder in self._series.items():
            state = recorder.drain()
            if state is not None:
                snapshot.series[key] = state
                snapshot.declarations[key.name] = self._declarations[key.name]
        return snapshot
