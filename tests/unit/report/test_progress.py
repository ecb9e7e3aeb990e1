"""Figures of a run that goes on."""

from __future__ import annotations

from rich.console import Console

from ghostcore import VU, ConstantVUs, scenario
from ghostcore.execution.plan import make_plan
from ghostcore.execution.progress import Progress
from ghostcore.metrics import BUILTINS, SeriesKey, Totals
from ghostcore.metrics.recorders import AnyState, CounterState
from ghostcore.report.progress import Figures, plain_line, screen
from ghostcore.results.timeline import Timeline
from tests.support.results import snapshot, tagged, trend_state


@scenario(load=ConstantVUs(5, "30s"))
async def shop(vu: VU) -> None:
    await vu.sleep(1)


def window(iterations: int) -> dict[SeriesKey, AnyState]:
    return {
        tagged("ws_sessions"): CounterState(4, 4),
        tagged("ws_sessions_opened"): CounterState(3, 3),
        tagged("ws_connecting"): trend_state([5.0] * 3, failed=1),
        tagged("ws_session_duration"): trend_state([900.0]),
        tagged("iterations"): CounterState(iterations, iterations),
        tagged("ws_errors"): CounterState(0, 1),
        tagged("ws_errors", kind="closed"): CounterState(1, 1),
        tagged("ws_errors", kind="tls_failed"): CounterState(iterations, iterations),
    }


def progress(seconds: int, elapsed_s: float, stopping: str = "") -> Progress:
    totals = Totals(BUILTINS)
    for second in range(seconds):
        totals.add(snapshot(second, window(10 * (second + 1))))
    plan = make_plan([shop], seed=7)
    return Progress(plan, totals, Timeline(), [], elapsed_s, 30.0, 5, 4, stopping)


def shown(figures: Figures, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(screen(figures, width))
    return capture.get()


def test_figures_are_those_of_the_totals() -> None:
    figures = Figures()
    figures.take(progress(2, 2.0))
    assert (figures.sessions, figures.open_sessions, figures.iterations) == (8, 4, 30)
    assert figures.kinds == {"tls_failed": 30, "closed": 2}
    assert figures.errors == 32
    assert figures.connecting_p95 == "inf"


def test_rates_are_since_the_last_figures() -> None:
    figures = Figures()
    figures.take(progress(1, 1.0))
    assert figures.iterations_per_s == 10
    figures.take(progress(3, 3.0))
    assert figures.iterations_per_s == 25
    assert figures.sessions_per_s == 4


def test_script_errors_are_errors() -> None:
    one = progress(1, 1.0)
    one.totals.add(snapshot(1, {tagged("script_errors"): CounterState(99, 99)}))
    figures = Figures()
    figures.take(one)
    assert figures.kinds == {"script_error": 99, "tls_failed": 10, "closed": 1}


def test_nothing_yet() -> None:
    figures = Figures()
    figures.take(progress(0, 0.0))
    assert plain_line(figures) == (
        "0s/30s  users 4/5  open 0  connects 0/s  iterations 0 (0/s)  p95 connecting - ms  errors 0"
    )


def test_the_line_for_logs() -> None:
    figures = Figures()
    figures.take(progress(2, 2.004, "SIGINT"))
    assert plain_line(figures) == (
        "2s/30s  users 4/5  open 4  connects 3.99/s  iterations 30 (15.0/s)  "
        "p95 connecting inf ms  errors 32 (mostly tls_failed)  stopping: SIGINT"
    )


def test_the_block_fits_the_screen() -> None:
    figures = Figures()
    figures.take(progress(2, 2.0))
    for width in (80, 100):
        lines = shown(figures, width).splitlines()
        assert len(lines) == 4
        assert max(map(len, lines)) <= width
        assert lines[0].rstrip().endswith("2s of 30s, 28s left")
        assert "4 of 5 planned" in lines[1]
        assert lines[3].startswith("errors 32  tls_failed 30  closed 2")


def test_what_is_left() -> None:
    figures = Figures()
    figures.take(progress(1, 10.0))
    assert figures.left_text == "20s left"
    figures.take(progress(1, 31.0))
    assert figures.left_text == "iterations are finishing"
    figures.take(progress(1, 31.0, "SIG\x1bINT"))
    assert figures.left_text == "stopping: SIG\\x1bINT"
