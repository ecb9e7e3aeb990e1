"""Runs for the tests of what asyncio promises to a scenario: on each kind of loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

import ghostcore
from ghostcore import VU, PerVUIterations, Result, Scenario, scenario

__all__ = ["KINDS", "Runs", "task_of"]

Body = Callable[[VU], Coroutine[Any, Any, None]]
"""What users do in an iteration."""

KINDS = ["uvloop", "asyncio", "asyncio-debug"]


def task_of() -> asyncio.Task[Any]:
    """The running task, which there must be."""
    task = asyncio.current_task()
    assert task is not None
    return task


class Runs:
    """Carries out runs on one kind of loop.

    :param kind: one of ``KINDS``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_loop(self, main: Callable[[], Any]) -> Any:
        """What the coroutine of ``main()`` returns."""
        new = uvloop.new_event_loop if self.kind == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=new, debug=self.kind == "asyncio-debug") as runner:
            return runner.run(main())

    def of(self, one: Scenario, **options: Any) -> Result:
        """The result of a run of that scenario."""
        result = self.on_loop(lambda: self.within(one, **options))
        assert isinstance(result, Result)
        return result

    async def within(self, one: Scenario, **options: Any) -> Result:
        """The same on the loop that runs, beside the servers of the test."""
        options.setdefault("seed", 1)
        return await ghostcore.run_async(one, **options)

    def result(
        self,
        body: Body,
        *,
        users: int = 1,
        iterations: int = 1,
    ) -> Result:
        """The result of a run in which each user makes that many iterations of `body`."""
        made = scenario(load=PerVUIterations(users, iterations, max_duration=60))(body)
        return self.of(made)

    def well(
        self,
        body: Body,
        *,
        users: int = 1,
        iterations: int = 1,
    ) -> Result:
        """The same, and all of it must have gone well: an assertion that fails in a scenario is
        an error of the script."""
        result = self.result(body, users=users, iterations=iterations)
        told = [sample.text for error in result.errors for sample in error.samples]
        assert not told, told
        assert result.exit_code == 0, result.reasons
        assert result.metrics["iterations"].count == users * iterations
        return result
