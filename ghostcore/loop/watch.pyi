from collections.abc import Callable

from ghostcore.loop.timers import TimerQueue

BEAT_NS: int
STALL_NS: int

def running_core() -> int:
    """The core that the calling thread runs on; -1 where the system does not tell."""

class LoopWatch:
    """Measures how late a loop comes to its timers, and sees when a callback has stopped it.

    :param timers: the queue of the loop, in whose thread the watch is made.
    :param locate: called in another thread, with the GIL, while the loop is stuck; gives (the line
        that blocks it, what the line does, the callback that runs). None: no thread is started, and
        no stall is seen.
    """

    def __init__(
        self, timers: TimerQueue, locate: Callable[[], tuple[str, str, object]] | None = None
    ) -> None: ...
    def take_lag(self) -> tuple[int, int]:
        """How late the heartbeat came since the last call; a beat that is overdue now counts too.

        :returns: (99th percentile, greatest) lateness in ns.
        """
    def take_stalls(self) -> list[tuple[int, int, int, str, str]]:
        """The stalls that have ended since the last call: 100 ms or more in which one callback kept
        the loop.

        :returns: (start_ns, end_ns, machine_ns, line, what the line did) of each; for machine_ns of
            it the thread waited for a core, or the machine stood still.
        """
    def waited_ns(self) -> int:
        """How long the loop's thread has waited for a core since it began, in ns; -1: unknown."""
    def close(self) -> None:
        """Stop the heartbeat and the thread. Idempotent."""
