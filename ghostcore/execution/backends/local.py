"""One worker in this process, on the loop that runs already."""

from __future__ import annotations

from collections.abc import Callable

from ghostcore.execution.plan import Plan
from ghostcore.execution.worker import Worker, WorkerEnd, WorkerReport
from ghostcore.load.control import RunControl

__all__ = ["run_local"]


async def run_local(
    plan: Plan, control: RunControl, on_report: Callable[[WorkerReport], None]
) -> WorkerEnd:
    """Run the whole plan here."""
    return await Worker(plan, control, on_report).run()
