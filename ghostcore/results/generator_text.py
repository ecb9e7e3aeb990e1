"""How the load generator did, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ghostcore.monitor.generator_report import Calibration, GeneratorReport
from ghostcore.results.text import compact, size_text, three_digits

__all__ = ["calibration_text", "generator_lines"]

STALLS_SHOWN = 3


def generator_lines(report: GeneratorReport) -> Iterator[str]:
    """The peaks, the noise floor if it was measured, and the longest of what blocked the loop."""
    if not report.samples:
        yield "generator: not watched"
        return
    yield "generator peaks: " + ", ".join(_peaks(report))
    if report.calibration is not None:
        yield calibration_text(report.calibration)
    stalls = sorted(report.stalls, key=lambda stall: -stall.own_ms)
    for stall in stalls[:STALLS_SHOWN]:
        place = f": {stall.place}" if stall.place else ""
        machine = ""
        if stall.machine_ms >= stall.duration_ms / 10:
            machine = f" ({stall.machine_ms:.0f} ms of it the machine's doing)"
        yield (
            f"the event loop stood still for {stall.duration_ms:.0f} ms at "
            f"{stall.at_s:.1f} s{machine}{place}"
        )
    if len(stalls) > STALLS_SHOWN:
        yield f"and {len(stalls) - STALLS_SHOWN} more times"


def _peaks(report: GeneratorReport) -> Iterator[str]:
    yield f"loop lag {compact(report.maximum('loop_lag_ms'))} ms"
    stamp = report.maximum("stamp_error_ms")
    if not math.isnan(stamp):
        yield f"stamp error {compact(stamp)} ms"
    cpu = report.maximum("cpu_share")
    if not math.isnan(cpu):
        yield f"CPU {100 * cpu:.0f} % of a core"
    yield size_text(report.maximum("rss_bytes"))
    yield f"{int(report.maximum('descriptors')):,} files"
    backlog = report.maximum("backlog_bytes")
    if backlog:
        yield f"{size_text(backlog)} waiting to be sent"


def calibration_text(found: Calibration) -> str:
    """The noise floor in one line."""
    return (
        f"noise floor: round trips over loopback p50 {three_digits(found.p50_ms)} ms, "
        f"p99 {three_digits(found.p99_ms)} ms ({found.round_trips} in {found.seconds:.1f} s), "
        f"loop lag {three_digits(found.loop_lag_ms)} ms"
    )
