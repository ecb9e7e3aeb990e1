"""Ring-no-answer: who finds out that a call has rung too long, and when.

In memory mode a timer per call. In Redis mode every replica looks through the shared record of
ringing calls every 5 s: whichever comes first does the work, but can reach its own sockets only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.model import Request

__all__ = ["RingWatch"]


class RingWatch:
    """Watches ringing calls.

    :param rang_out: what to do with a call that nobody answered.
    """

    def __init__(self, core: Core, rang_out: Callable[[Request], None]) -> None:
        self._core = core
        self._rang_out = rang_out
        # Redis mode. All ring equally long: they are in the order of their end.
        self._ringing: OrderedDict[str, Request] = OrderedDict()

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
        if core.redis_down:
            return
        kept_s = core.timings.ring_ttl_s - core.timings.ring_s
        while self._ringing:
            request = next(iter(self._ringing.values()))
            ended_s = request.ring_end_s
            assert ended_s is not None
            if ended_s > core.now_s:
                break
            # One record in Redis: what this replica has taken no other finds.
            self.forget(request)
            if core.now_s <= ended_s + kept_s:
                grace_s = core.timings.ring_grace_s
                request.ring_timer = core.after(grace_s, self._over, request)
            # Else no replica was there to look: it rings until its request is forgotten.
