"""Where a run stands, as figures and as text."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ghostcore._units import format_duration
from ghostcore.errors import OWN_KINDS
from ghostcore.execution.progress import Progress
from ghostcore.metrics import CounterView, TrendView
from ghostcore.results.text import bounds_text, clean, compact

__all__ = ["Figures", "plain_line", "screen"]


@dataclass
class Figures:
    """What is shown of a :class:`Progress`. Rates are those since the last :meth:`take`."""

    elapsed_s: float = 0.0
    planned_s: float = 0.0
    active_vus: int = 0
    planned_vus: int = 0
    max_vus: int = 0
    sessions: int = 0
    open_sessions: int = 0
    sessions_per_s: float = 0.0
    iterations: int = 0
    iterations_per_s: float = 0.0
    connecting_p95: str = "-"
    errors: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    stopping: str = ""

    def take(self, progress: Progress) -> None:
        """Bring the figures up to date."""
        since_s = progress.elapsed_s - self.elapsed_s
        sessions, iterations = _count(progress, "ws_sessions"), _count(progress, "iterations")
        if since_s > 0:
            self.sessions_per_s = (sessions - self.sessions) / since_s
            self.iterations_per_s = (iterations - self.iterations) / since_s
        self.sessions, self.iterations = sessions, iterations
        ended = progress.totals.view("ws_session_duration")
        connecting = progress.totals.view("ws_connecting")
        assert isinstance(ended, TrendView)
        assert isinstance(connecting, TrendView)
        # Sessions report their duration when they end, however they end.
        self.open_sessions = max(0, _count(progress, "ws_sessions_opened") - ended.count)
        self.connecting_p95 = bounds_text(connecting.bounds(95))
        self.kinds = _kinds(progress)
        self.errors = sum(self.kinds.values())
        self.elapsed_s, self.planned_s = progress.elapsed_s, progress.planned_s
        self.active_vus, self.planned_vus = progress.active_vus, progress.planned_vus
        self.max_vus = progress.plan.max_vus
        self.stopping = progress.stopping

    @property
    def left_s(self) -> float:
        """Seconds until the profile ends; 0 when iterations are only finishing."""
        return max(0.0, self.planned_s - self.elapsed_s)

    @property
    def left_text(self) -> str:
        """What is left, in words."""
        if self.stopping:
            return f"stopping: {clean(self.stopping)}"
        if self.left_s < 0.5:
            return "iterations are finishing"
        return f"{format_duration(round(self.left_s))} left"


def _count(progress: Progress, name: str) -> int:
    view = progress.totals.view(name)
    return int(view.count) if isinstance(view, CounterView) else 0


def _kinds(progress: Progress) -> dict[str, int]:
    """Errors by kind so far, the most frequent first."""
    kinds: dict[str, int] = {}
    for key in progress.totals.keys("ws_errors"):
        kind = dict(key.tags).get("kind")
        state = progress.totals.series[key]
        if kind is not None:
            kinds[kind] = kinds.get(kind, 0) + int(getattr(state, "total", 0))
    for kind, own in OWN_KINDS.items():
        if count := _count(progress, own.counter):
            kinds[kind] = count
    return dict(sorted(kinds.items(), key=lambda pair: -pair[1]))


def plain_line(figures: Figures) -> str:
    """One line for logs."""
    elapsed = format_duration(round(figures.elapsed_s))
    planned = format_duration(figures.planned_s)
    errors = f"errors {figures.errors:,}"
    if figures.kinds:
        errors += f" (mostly {next(iter(figures.kinds))})"
    parts = [
        f"{elapsed}/{planned}",
        f"users {figures.active_vus:,}/{figures.planned_vus:,}",
        f"open {figures.open_sessions:,}",
        f"connects {compact(figures.sessions_per_s)}/s",
        f"iterations {figures.iterations:,} ({compact(figures.iterations_per_s)}/s)",
        f"p95 connecting {figures.connecting_p95} ms",
        errors,
    ]
    if figures.stopping or figures.left_s < 0.5:
        parts.append(figures.left_text)
    return "  ".join(parts)


def screen(figures: Figures, width: int) -> Group:
    """The block that changes in place on a terminal."""
    elapsed, planned = map(format_duration, (round(figures.elapsed_s), figures.planned_s))
    clock = Text(f"{elapsed} of {planned}, {figures.left_text}")
    bar = ProgressBar(
        total=max(figures.planned_s, 1e-9),
        completed=min(figures.elapsed_s, figures.planned_s),
        width=max(10, width - clock.cell_len - 4),
    )
    top = Table.grid(padding=(0, 1))
    top.add_row(bar, clock)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        Text("users", style="dim"),
        Text(f"{figures.active_vus:,} of {figures.planned_vus:,} planned"),
        Text("connections", style="dim"),
        Text(f"{figures.open_sessions:,} open, {compact(figures.sessions_per_s)}/s"),
    )
    grid.add_row(
        Text("iterations", style="dim"),
        Text(f"{figures.iterations:,}, {compact(figures.iterations_per_s)}/s"),
        Text("p95 of ws_connecting", style="dim"),
        Text(f"{figures.connecting_p95} ms"),
    )
    errors = Text(f"errors {figures.errors:,}", style="bold red" if figures.errors else "dim")
    for kind, count in list(figures.kinds.items())[:3]:
        errors.append(f"  {clean(kind)} {count:,}", style="not bold")
    errors.truncate(width, overflow="ellipsis")
    return Group(top, grid, errors)
