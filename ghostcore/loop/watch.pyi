from collections.abc import Callable

from ghostcore.loop.timers import TimerQueue

BEAT_NS: int
STALL_NS: int

def running_core() -> int:
    """The core that the calling thread runs on; -1 where the system does not tell."""

class LoopWatch:
    """Measures how late a loop comes to its timers, and tells when a callback has stopped it.

    :param timers: the queue of the loop, in whose thread the watch is made.
    :param locate: called in another thread, with the GIL, while the loop is stuck; gives (the line
        that blocks it, what it does there, the callback that runs). None: no thread is started;
        stalls are not told.
    """

    def __init__(
        self, timers: TimerQueue, locate: Callable[[], tuple[str, str, object]] | None = None
    ) -> None: ...
    def take_lag(self) -> tuple[int, int]:
        """(p99, greatest) lateness of the heartbeat since the last call, in ns. A beat that is
        overdue at this moment counts as well."""
    def take_stalls(self) -> list[tuple[int, int, int, str, str]]:
        """(start_ns, end_ns, machine_ns, line, what it did) of the stalls that have ended since the
        last call: spans of 100 ms and more in which one callback kept the loop. machine_ns of them
        the thread waited for a core, or the machine stood still."""
    def waited_ns(self) -> int:
        """How long the loop's thread has waited for a core since it began; -1 if unknown."""
    def close(self) -> None:
        """Stop the heartbeat and the thread. Idempotent."""
