"""Socket rate limits: fixed windows that begin with the first use, Redis mode only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from ghost_greeter import events
from ghost_greeter.events import Code
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.setup.rates import EVENT_LIMITS

__all__ = ["EventLimits", "Windows"]

_MESSAGES = {
    events.VISITOR_JOIN: "Too many requests. Please wait.",
    events.CALL_REQUEST: "Too many call requests. Please wait.",
    events.AGENT_LOGIN: "Too many login attempts. Please wait.",
    events.AGENT_STATUS: "Too many status changes. Please wait.",
}


class _Window(NamedTuple):
    began_s: float
    uses: int


class Windows:
    """Counts uses by key, each key in windows of its own that begin with its first use.

    Windows are kept in the order of their beginning, so that old ones are dropped in O(1) a use:
    the first of a dict, from which the first ones have been removed, would be searched for.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._windows: OrderedDict[object, _Window] = OrderedDict()

    def use(self, key: object, now_s: float) -> _Window:
        """One more use of `key`: its window, this use counted."""
        windows = self._windows
        while windows:
            oldest = next(iter(windows))
            if windows[oldest].began_s + self.window_s > now_s:
                break
            del windows[oldest]
        window = windows.get(key, _Window(now_s, 0))
        window = windows[key] = _Window(window.began_s, window.uses + 1)
        return window

    def __len__(self) -> int:
        return len(self._windows)


class EventLimits:
    """Refuses what comes too often, with the event ``error``; the connection stays.

    :ivar overrides: other limits than the server's own, in either mode: uses a window, by event.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._windows = Windows(core.timings.rate_window_s)
        self.overrides: Mapping[str, int] = {}

    def allow(self, socket_id: str, event: str, key: object) -> bool:
        """May this event be served? If not, the socket has been told."""
        limit = self.overrides.get(event)
        if limit is None:
            if not self._core.setup.redis:
                return True
            limit = EVENT_LIMITS[event]
        if self._windows.use((event, key), self._core.now_s).uses <= limit:
            return True
        self._core.outcomes["rate_limited"] += 1
        self._core.refuse(socket_id, Code.RATE_LIMITED, _MESSAGES[event])
        return False
