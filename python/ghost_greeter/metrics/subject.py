"""A subject: a table of metrics, each with its meaning."""

from __future__ import annotations

from typing import TypeVar

from ghostcore import Counter, Gauge, Rate, Trend

__all__ = ["Metric", "Subject"]

Metric = Counter | Gauge | Rate | Trend

M = TypeVar("M", Counter, Gauge, Rate, Trend)


class Subject:
    """The metrics of one subject.

    :ivar meanings: what each metric measures, in one line, by its name, in the order of the table.
    """

    def __init__(self) -> None:
        self.meanings: dict[str, str] = {}
        self._metrics: list[Metric] = []

    def add(self, metric: M, meaning: str) -> M:
        """Enter a metric into the table; returns it.

        :param meaning: what it measures, in one line.
        :raises ValueError: a metric of this name is in there already.
        """
        if metric.name in self.meanings:
            raise ValueError(f"{metric.name} is listed twice")
        self.meanings[metric.name] = meaning
        self._metrics.append(metric)
        return metric

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of them, in the order of the table."""
        return tuple(self._metrics)

    @property
    def counters(self) -> tuple[Counter, ...]:
        """Its counters: those that are known to be 0 as soon as something could have counted."""
        return tuple(metric for metric in self._metrics if isinstance(metric, Counter))
