"""Everything that is to happen later, in the order in which it is due."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["Timer", "Timers"]


class Timer:
    """One call that is to be made later. ``node`` is the replica on whose behalf."""

    __slots__ = ("_timers", "arguments", "due_s", "function", "node")

    def __init__(
        self,
        timers: Timers,
        due_s: float,
        node: int,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
    ) -> None:
        self._timers = timers
        self.due_s = due_s
        self.node = node
        self.function: Callable[..., object] | None = function
        self.arguments = arguments

    def cancel(self) -> None:
        """It shall not happen. Does nothing once it has."""
        if self.function is not None:
            self.function, self.arguments = None, ()
            self._timers.cancelled()


class Timers:
    """A heap of timers; those that are due at the same moment keep the order of their making.

    A cancelled timer stays in the heap until its time, or until half of the heap is cancelled ones:
    nearly every ring and every call is cancelled long before its time, and none may cost O(n).
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._made = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(
        self, due_s: float, node: int, function: Callable[..., object], *arguments: Any
    ) -> Timer:
        """Call ``function(*arguments)`` at `due_s`."""
        timer = Timer(self, due_s, node, function, arguments)
        self._made += 1
        heapq.heappush(self._heap, (due_s, self._made, timer))
        return timer

    @property
    def next_due_s(self) -> float | None:
        """When the next one is due; None: never."""
        heap = self._heap
        while heap and heap[0][2].function is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def pop(self, now_s: float) -> tuple[Timer, Callable[..., object], tuple[Any, ...]] | None:
        """The next one that is due at `now_s`, what it calls and with what; None: none is."""
        due_s = self.next_due_s
        if due_s is None or due_s > now_s:
            return None
        timer = heapq.heappop(self._heap)[2]
        function, arguments = timer.function, timer.arguments
        assert function is not None
        timer.function, timer.arguments = None, ()
        return timer, function, arguments

    def cancel_of(self, node: int) -> None:
        """Nothing of what is to happen on behalf of this replica shall happen."""
        for _, _, timer in list(self._heap):
            if timer.node == node:
                timer.cancel()

    def cancelled(self) -> None:
        """One of the timers has been cancelled."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].function is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
