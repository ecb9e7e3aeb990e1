"""Which agent gets the next visitor: the idle one served longest ago, else the least loaded."""

from __future__ import annotations

import heapq

from ghost_greeter.simulator.machine.model import Agent

__all__ = ["AgentQueue"]

_Entry = tuple[int, int, int, int, Agent]


class AgentQueue:
    """Available agents by (visitors listed, last assignment, registration).

    A heap whose entries are never removed when an agent changes: an entry counts only while it
    bears its agent's revision. So every change costs O(log n), also with 400 agents.
    """

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._agents: set[Agent] = set()
        self._assignments = 0

    def update(self, agent: Agent) -> None:
        """The agent's status, call or visitors have changed."""
        agent.revision += 1
        if not agent.is_available:
            self._agents.discard(agent)
            return
        self._agents.add(agent)
        if len(self._heap) > 64 + 4 * len(self._agents):
            self._heap = [self._entry(known) for known in self._agents]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, self._entry(agent))

    def remove(self, agent: Agent) -> None:
        """The agent is gone."""
        agent.revision += 1
        self._agents.discard(agent)

    def best(self, exclude: Agent | None = None) -> Agent | None:
        """The agent that the next visitor goes to, None if none is available.

        :param exclude: an agent that shall not be it.
        """
        entry = self._top()
        if entry is None or entry[4] is not exclude:
            return entry and entry[4]
        heapq.heappop(self._heap)  # an agent has one entry that counts: the next top is another's
        second = self._top()
        heapq.heappush(self._heap, entry)
        return second and second[4]

    def assigned(self, agent: Agent) -> None:
        """The agent has had its turn."""
        self._assignments += 1
        agent.last_assigned = self._assignments
        self.update(agent)

    def _top(self) -> _Entry | None:
        while self._heap:
            entry = self._heap[0]
            if entry[3] == entry[4].revision:
                return entry
            heapq.heappop(self._heap)
        return None

    def _entry(self, agent: Agent) -> _Entry:
        return (
            len(agent.listed),
            agent.last_assigned,
            agent.serial,
            agent.revision,
            agent,
        )
