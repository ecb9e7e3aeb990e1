"""When a second of a run can be trusted: the rules, and all their limits, in one place.

=============  =====================================================================================
rule           a second is suspect when
=============  =====================================================================================
loop_lag       a timer of the event loop came LAG_MS or more late
blocked        one callback kept the loop for 100 ms or more (of its own doing, not the machine's)
cpu            the loop's thread used CPU_SHARE of a core or more: it had no time to spare
core           the loop's thread was ready to run, but waited for a core, WAITING_SHARE of the time
steal          the hypervisor gave STEAL_SHARE of the machine's time to others
gc             a garbage collection took GC_PAUSE_MS or more
clock          the clock was set by CLOCK_JUMP_MS or more, or the machine slept that long
resources      this machine had no source port or descriptor left for a connection
after          it follows one in which the loop stood still: what piled up then is worked off now
=============  =====================================================================================

Shares of windows shorter than SHORTEST_S are not judged: a run may end a few ms into a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall

__all__ = [
    "BLAMED_MS",
    "CLOCK_JUMP_MS",
    "CPU_SHARE",
    "ERROR_MARGIN",
    "GC_PAUSE_MS",
    "GRAVE_LAG_MS",
    "LAG_MS",
    "LEAST_PERCENTILE",
    "LOCAL_KINDS",
    "RULES",
    "SHORTEST_S",
    "STEAL_SHARE",
    "UNDELIVERED_SHARE",
    "WAITING_SHARE",
    "doubts_of",
    "is_blamed",
    "is_grave",
]

LAG_MS = 50.0
CPU_SHARE = 0.95
WAITING_SHARE = 0.2
STEAL_SHARE = 0.1
GC_PAUSE_MS = 50.0
CLOCK_JUMP_MS = 100.0
SHORTEST_S = 0.1

BLAMED_MS = 100.0
"""A stall is a callback's fault if that much of it was its own doing."""

GRAVE_LAG_MS = 1000.0
"""From here on a late loop can let time-outs pass, and so fail counts and rates, not only times."""

UNDELIVERED_SHARE = 0.01
"""More of the offered load than this, lost through the generator, makes a run inconclusive."""

ERROR_MARGIN = 2.0
"""A high quantile fails for certain by so many times the generator's error: that is estimated from
100 timers a second, and an operation waits for the loop more than once."""

LEAST_PERCENTILE = 90.0
"""From here on a quantile is high: the error that 99 of 100 stay within is of its size."""

LOCAL_KINDS = ("no_source_port", "no_descriptors")
"""Kinds of errors that are this machine's, not the server's."""

RULES = ("loop_lag", "blocked", "cpu", "core", "steal", "gc", "clock", "resources", "after")

_STANDSTILLS = frozenset(("loop_lag", "blocked", "gc", "clock"))


def is_blamed(stall: Stall) -> bool:
    """Whether code of the user's kept the loop."""
    return bool(stall.where) and stall.own_ms >= BLAMED_MS


def is_grave(sample: GeneratorSample) -> bool:
    """Whether what happened can have failed operations, not only delayed them."""
    rules = {doubt.rule for doubt in sample.doubts}
    return sample.loop_lag_ms >= GRAVE_LAG_MS or bool(rules & {"blocked", "clock", "resources"})


def doubts_of(sample: GeneratorSample, before: Sequence[Doubt] = ()) -> tuple[Doubt, ...]:
    """Why a window is suspect; empty for a valid one.

    :param before: the doubts about the window before.
    """
    found = []

    def doubt(rule: str, size: float, text: str) -> None:
        found.append(Doubt(rule, text, size))

    lag_ms, pause_ms, jump_ms = sample.loop_lag_ms, sample.gc_pause_ms, sample.clock_jump_ms
    if lag_ms >= LAG_MS:
        doubt("loop_lag", lag_ms, f"the event loop was {lag_ms:.0f} ms late")
    for stall in sample.stalls:
        if stall.own_ms >= BLAMED_MS:
            place = f": {stall.place}" if stall.place else ""
            doubt("blocked", stall.own_ms, f"blocked for {stall.own_ms:.0f} ms{place}")
    if pause_ms >= GC_PAUSE_MS:
        doubt("gc", pause_ms, f"garbage was collected for {pause_ms:.0f} ms")
    if jump_ms >= CLOCK_JUMP_MS:
        doubt("clock", jump_ms, f"the clock jumped by {jump_ms:.0f} ms")
    if sample.local_failures:
        count = sample.local_failures
        doubt("resources", count, f"{count} connections found no source port or descriptor here")
    if sample.window_s >= SHORTEST_S:
        found += _shares(sample)
    if not found and any(doubt.rule in _STANDSTILLS for doubt in before):
        found.append(Doubt("after", "follows a second in which the event loop stood still"))
    return tuple(found)


def _shares(sample: GeneratorSample) -> list[Doubt]:
    limits = (
        ("cpu", sample.loop_cpu_share, CPU_SHARE, "the event loop used {} of a core"),
        (
            "core",
            sample.waiting_share,
            WAITING_SHARE,
            "the event loop had no core {} of the time",
        ),
        ("steal", sample.steal_share, STEAL_SHARE, "the hypervisor took {} of the machine's time"),
    )
    return [
        Doubt(rule, text.format(f"{100 * share:.0f} %"), share)
        for rule, share, limit, text in limits
        if share >= limit  # NaN is not
    ]
