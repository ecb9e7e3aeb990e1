"""One worker in this process, on the loop that runs already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ghostcore.execution.plan import Plan
from ghostcore.execution.worker import Worker, WorkerEnd, WorkerReport
from ghostcore.load.control import RunControl

__all__ = ["run_local"]


async def run_local(
    plan: Plan, control: RunControl, on_report: Callable[[WorkerReport], None], data: Any = None
) -> WorkerEnd:
    """Run the whole plan here. ``data``: what the set-up returned."""
    return await Worker(plan, control, on_report, data).run()
