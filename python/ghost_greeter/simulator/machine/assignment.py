"""Who serves whom: choosing an agent, handing over those who wait, moving visitors on.

Two records say that a visitor is an agent's: the visitor's own assignment, and the agent's list.
They differ where the real server's do. A visitor that was told ``agent:unavailable`` after a
rejection or an unanswered ring has lost its assignment but is still in the list; assigned to the
same agent again it is in there twice, and is told everything twice.
"""

from __future__ import annotations

from ghost_greeter.events import Reason
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.model import Agent, Visitor, VisitorId

__all__ = ["Assignment"]

Listed = tuple[VisitorId, ...]


class Assignment:
    """Assignments of visitors to agents."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def best(self, exclude: Agent | None = None) -> Agent | None:
        """The agent for the next visitor or call: idle ones in turn, else the least loaded."""
        return self._core.queue.best(exclude)

    def assign(
        self, visitor: Visitor, agent: Agent, *, turn: bool = True, listed: Listed | None = None
    ) -> None:
        """The visitor is the agent's now.

        :param turn: does it count as the agent's turn? It does not when the agent comes and is
            given those who wait.
        :param listed: the agent's list as it was read; None: as it is. Redis mode writes back what
            it has read, whatever has been written in between.
        """
        self._drop_assignment(visitor)
        visitor.agent = agent
        agent.assigned += 1
        agent.listed = (*(agent.listed if listed is None else listed), visitor.visitor_id)
        if agent not in visitor.listed_by:
            visitor.listed_by.append(agent)
        if agent.status == "idle":
            agent.status = "in_simulation"
        if turn:
            self._core.queue.assigned(agent)
        else:
            self._core.queue.update(agent)

    def wait(self, visitor: Visitor) -> None:
        """The visitor is nobody's: it is served when an agent comes."""
        self._drop_assignment(visitor)
        self._core.waiting[visitor.visitor_id] = visitor

    def let_go(self, visitor: Visitor) -> None:
        """Nobody took the visitor's call: its assignment ends, in the agent's list it stays.

        In Redis mode the server changes a copy of the visitor that it never writes back.
        """
        if not self._core.setup.redis:
            self.wait(visitor)

    def release(self, visitor: Visitor) -> None:
        """The visitor leaves every list, or begins anew."""
        self._drop_assignment(visitor)
        for agent in visitor.listed_by:
            self._set_list(agent, tuple(v for v in agent.listed if v != visitor.visitor_id))
        visitor.listed_by.clear()

    def write_without(self, visitor: Visitor, agent: Agent, listed: Listed) -> None:
        """Redis mode: the agent's list as it was read, less this visitor."""
        self._drop_assignment(visitor)
        visitor.listed_by.clear()
        self._set_list(agent, tuple(v for v in listed if v != visitor.visitor_id))

    def serve_waiting(self, agent: Agent) -> None:
        """Waiting visitors for whom this agent is the best choice get it."""
        waiting = self._core.waiting
        while waiting and self.best() is agent:
            visitor = next(iter(waiting.values()))
            self.assign(visitor, agent, turn=False)
            self._core.send(visitor.socket_id, packets.assigned(visitor, agent, waited=True))

    def move_visitors(self, old: Agent, reason: str) -> None:
        """The old agent serves nobody any more but its caller: the others go on, or wait.

        :param reason: agent_busy, agent_away or agent_offline.
        """
        core = self._core
        moving: dict[VisitorId, int] = {}
        staying = []
        for visitor_id in old.listed:
            visitor = core.visitors.get(visitor_id)
            if visitor is None or visitor.agent is not old:
                continue
            if visitor.call is not None:
                staying.append(visitor_id)
            else:
                moving[visitor_id] = moving.get(visitor_id, 0) + 1
        self._set_list(old, tuple(staying))
        for visitor_id, times in moving.items():
            visitor = core.visitors[visitor_id]
            visitor.listed_by.remove(old)
            packet = self._move(visitor, old, reason)
            for _ in range(times):
                core.send(visitor.socket_id, packet)

    def _move(self, visitor: Visitor, old: Agent, reason: str) -> str:
        new = self.best(exclude=old)
        if new is not None:
            self.assign(visitor, new)
            # The real server overwrites the field first unless the agent has dropped off: the
            # "previous" agent is then the new one.
            previous = old if reason == Reason.AGENT_OFFLINE else new
            return packets.reassigned(previous, new, reason)
        self.wait(visitor)
        if reason == Reason.AGENT_OFFLINE:
            return packets.unavailable(visitor)
        # Recorded: an agent that is busy with a call is called offline here.
        said = Reason.AGENT_OFFLINE if reason == Reason.AGENT_BUSY else reason
        return packets.unavailable(visitor, old, said)

    def _drop_assignment(self, visitor: Visitor) -> None:
        self._core.stop_waiting(visitor)
        if visitor.agent is not None:
            visitor.agent.assigned -= 1
            visitor.agent = None

    def _set_list(self, agent: Agent, listed: Listed) -> None:
        agent.listed = listed
        if agent.status == "in_simulation" and not listed:
            agent.status = "idle"
        self._core.queue.update(agent)
