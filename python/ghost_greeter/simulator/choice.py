"""Which agent gets the next visitor: the idle one served longest ago, else the least loaded."""

from __future__ import annotations

import heapq

from ghost_greeter.simulator.model import Agent

__all__ = ["AgentQueue"]


class AgentQueue:
    """Available agents by (visitors, last assignment, registration).

    A heap whose entries are never removed when an agent changes: an entry counts only while it
    bears its agent's revision. So every change costs O(log n), also with 400 agents.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Agent]] = []
        self._agents: set[Agent] = set()
        self._assignments = 0

    def update(self, agent: Agent) -> None:
        """The agent's status or visitors have changed."""
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

    def best(self) -> Agent | None:
        """The agent that the next visitor goes to, None if none is available."""
        while self._heap:
            *_, revision, agent = self._heap[0]
            if revision == agent.revision:
                return agent
            heapq.heappop(self._heap)
        return None

    def assigned(self, agent: Agent) -> None:
        """The agent has been given a visitor."""
        self._assignments += 1
        agent.last_assigned = self._assignments
        self.update(agent)

    @staticmethod
    def _entry(agent: Agent) -> tuple[int, int, int, int, Agent]:
        return (
            len(agent.visitors),
            agent.last_assigned,
            agent.serial,
            agent.revision,
            agent,
        )
