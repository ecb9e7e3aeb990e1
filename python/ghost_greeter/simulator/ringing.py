"""Ring-no-answer: who finds out that a call has rung too long, and when.

In memory mode a timer per call. In Redis mode every replica looks through the shared record of
ringing calls every 5 s: whichever comes first does the work, but can reach its own sockets only.
"""

from __future__ import annotations

from collections.abc import Callable

from ghost_greeter.simulator.core import Core
from ghost_greeter.simulator.model import Request

__all__ = ["RingWatch"]


class RingWatch:
    """Watches ringing calls.

    :param rang_out: what to do with a call that nobody answered.
    """

    def __init__(self, core: Core, rang_out: Callable[[Request], None]) -> None:
        self._core = core
        self._rang_out = rang_out
        self._ringing: dict[str, Request] = {}  # Redis mode; all ring equally long: in order of end

    def start_polling(self) -> None:
        """Redis mode: this replica begins to look through the calls."""
        self._core.after(self._core.random.random() * self._core.timings.ring_poll_s, self._poll)

    def watch(self, request: Request) -> None:
        """The call rings from now."""
        core = self._core
        self.forget(request)
        if core.setup.redis:
            request.ring_end_s = core.now_s + core.timings.ring_s
            self._ringing[request.request_id] = request
        else:
            due_s = request.ring_s + core.timings.ring_grace_s
            request.ring_timer = core.after(due_s, self._over, request)

    def forget(self, request: Request) -> None:
        """The call does not ring any more, or is to ring for ever."""
        self._ringing.pop(request.request_id, None)
        request.ring_end_s = None
        if request.ring_timer is not None:
            request.ring_timer.cancel()
            request.ring_timer = None

    def _over(self, request: Request) -> None:
        request.ring_timer = None
        self._rang_out(request)

    def _poll(self) -> None:
        core = self._core
        core.after(core.timings.ring_poll_s, self._poll)
        over = []
        for request in self._ringing.values():
            assert request.ring_end_s is not None
            if request.ring_end_s > core.now_s:
                break
            over.append(request)
        for request in over:  # one record in Redis: what this replica has taken no other finds
            del self._ringing[request.request_id]
            request.ring_end_s = None
            request.ring_timer = core.after(core.timings.ring_grace_s, self._over, request)
