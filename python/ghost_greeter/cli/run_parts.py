"""What accompanies a run, in parts: each has a ``setup()`` and a ``teardown()`` of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

__all__ = ["Part", "hooks_of"]

Hook = Callable[[], Coroutine[Any, Any, Any]]


class Part(Protocol):
    """Something that is there as long as the load is."""

    async def setup(self) -> dict[str, str]:
        """Before the load; returns by what users find it in ``vu.data``."""

    async def teardown(self) -> None:
        """After the load, also where the set-up failed."""


def hooks_of(*parts: Part) -> tuple[Hook, Hook]:
    """The set-up and the teardown of a run, from those of its parts.

    They are set up in their order and torn down in reverse, each whatever becomes of the others;
    what several find wrong is raised together.
    """
    begun: list[Part] = []

    async def setup() -> dict[str, str]:
        data: dict[str, str] = {}
        for part in parts:
            begun.append(part)
            data |= await part.setup()
        return data

    async def teardown() -> None:
        faults: list[Exception] = []
        while begun:
            try:
                await begun.pop().teardown()
            except Exception as fault:
                faults.append(fault)
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise ExceptionGroup("several parts failed", faults)

    return setup, teardown
