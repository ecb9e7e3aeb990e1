"""Agents that are idle and show no sign of life are marked away."""

from __future__ import annotations

from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.core import Core

__all__ = ["Staleness"]


class Staleness:
    """Looks through the agents once a minute: never per event."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def start(self) -> None:
        """Begin to look."""
        self._core.after(self._core.timings.stale_poll_s, self._check)

    def _check(self) -> None:
        core = self._core
        core.after(core.timings.stale_poll_s, self._check)
        if core.redis_down:
            return
        oldest_s = core.now_s - core.timings.stale_after_s
        for agent in core.agents.values():
            if agent.status != "idle" or agent.call is not None or agent.heard_s >= oldest_s:
                continue
            if core.is_inside(agent.socket_id):
                continue  # alive as long as its replica is
            agent.status = "away"
            core.queue.update(agent)
            core.send(agent.socket_id, packets.marked_away(packets.STALE))
