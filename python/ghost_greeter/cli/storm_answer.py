"""What came of a storm of reconnects, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ghost_greeter.metrics.storm import (
    ATTEMPTS,
    DROPPED,
    RECONNECT_FAILURES,
    RECOVERY_TIME,
    SERVED_AGAIN,
)
from ghost_greeter.scenarios.storm import StormPlan
from ghostcore import Result

__all__ = ["storm_lines"]


def storm_lines(plan: StormPlan, result: Result) -> Iterator[str]:
    """The answer of a storm, in sentences."""
    metrics = result.metrics
    dropped = metrics.count_of(DROPPED.name)
    if not dropped:
        yield "storm: there was none, since no visitor was connected when it was to come"
        return
    recovery: Any = metrics[RECOVERY_TIME.name]
    served: Any = metrics[SERVED_AGAIN.name]
    seen = recovery.count - recovery.failed - recovery.cut_off
    storms = f" in {recovery.count} storms" if recovery.count > 1 else ""
    if seen == recovery.count > 0:
        longest = ", in the longest of them" if storms else ""
        yield (
            f"storm: {dropped:,} visitors dropped{storms}; 99 % of them were served again after "
            f"{recovery.max / 1000:.2f} s{longest}"
        )
    else:
        yield (
            f"storm: {dropped:,} visitors dropped{storms}; 99 % of them were NOT served again "
            f"within {plan.recover_s:g} s: {served.passes:,} were"
        )
    attempts, failed = metrics.count_of(ATTEMPTS.name), metrics.count_of(RECONNECT_FAILURES.name)
    kinds = {
        value: metrics.count_of(f"{RECONNECT_FAILURES.name}{{kind:{value}}}")
        for key in metrics.series(RECONNECT_FAILURES.name)
        for tag, value in key.tags
        if tag == "kind"
    }
    most = sorted(kinds.items(), key=lambda item: -item[1])
    listed = ": " + ", ".join(f"{count:,} x {kind}" for kind, count in most) if most else ""
    yield f"{attempts:,} attempts to reconnect, {failed:,} failed{listed}"
