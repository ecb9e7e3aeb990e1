"""A pool of agents that lives as long as a run: logged in before its load, gone after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from ghost_greeter.agents.agent import Agent
from ghost_greeter.agents.agent_settings import AgentSettings, Answer, Answers
from ghost_greeter.agents.identities import Identity
from ghost_greeter.events import Key
from ghost_greeter.metrics import agents as metrics
from ghost_greeter.payloads import error_code, payload_of
from ghost_greeter.switchboard import Switchboard
from ghostcore import ErrorReply, InvalidPlan, TargetError

__all__ = ["AgentPool"]

LOGINS_AT_ONCE = 32
LEAVE_TIMEOUT_S = 5.0


class AgentPool:
    """Agents in the process and on the event loop of a run::

        pool = AgentPool(AgentSettings(url), identities(10), seed=7)
        ghostcore.run(calls, setup=pool.setup, teardown=pool.teardown, seed=7, env={...})

    Their connections and messages are not those of the run's users: only what visitors and agents
    record of calls, and the metrics in ``metrics/agents.py``, is in its result.

    :param seed: of all random choices. The n-th call that rings in the pool is answered as the seed
        says, whoever of them it rings at.
    :ivar board: where the agents and the visitors of the run meet.
    """

    def __init__(
        self, settings: AgentSettings, agents: Sequence[Identity], *, seed: int = 0
    ) -> None:
        self.settings = settings
        self.board = Switchboard()
        self._answers = Answers(settings.mix, random.Random(f"{seed}/answers"))
        self._agents = [Agent(one, self, random.Random(f"{seed}/{one.agent_id}")) for one in agents]
        self.board.agents.update((one.agent_id, one) for one in self._agents)
        self._online = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def size(self) -> int:
        """How many agents there are."""
        return len(self._agents)

    # -- of a run --------------------------------------------------------------------------------

    async def setup(self) -> dict[str, str]:
        """Log all of them in; they serve from then on.

        :returns: by what the visitors of the run find them (``vu.data``).
        :raises InvalidPlan: one of them cannot log in: no load is started.
        """
        for metric in metrics.AGENTS.counters:
            self.board.record(metric, 0)  # none so far: that is known
        await self._log_in()
        self._tasks = [asyncio.create_task(one.serve()) for one in self._agents]
        return self.board.open()

    async def teardown(self) -> None:
        """They leave."""
        self.board.close()
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await asyncio.gather(*(one.leave() for one in self._agents), return_exceptions=True)
        except TimeoutError:
            pass  # a server that does not answer the close: the sockets end with the loop
        faults = [one for one in ends if isinstance(one, Exception)]
        if faults:
            raise faults[0]  # ours: an agent's work ends by being cancelled only

    async def _log_in(self) -> None:
        room = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def log_in(agent: Agent) -> None:
            async with room:
                try:
                    await agent.log_in()
                except TargetError as error:
                    raise InvalidPlan([self._refusal(agent, error)]) from None

        tasks = [asyncio.create_task(log_in(one)) for one in self._agents]
        if not tasks:
            return
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def _refusal(self, agent: Agent, error: TargetError) -> str:
        """Why there will be no run, in one sentence."""
        what = str(error)
        if isinstance(error, ErrorReply):
            told = payload_of(error.event)
            if told:
                what = f"{told.get(Key.MESSAGE, '')} ({error_code(error)})"
        return f"agent {agent.agent_id}, one of {self.size}, cannot log in: {what}"

    # -- what agents ask -------------------------------------------------------------------------

    def next_answer(self) -> Answer:
        """How to answer the next call."""
        return self._answers.next()

    def online(self, change: int) -> None:
        """That many more agents are there."""
        self._online += change
        self.board.record(metrics.ONLINE, self._online)

    def __repr__(self) -> str:
        return f"<AgentPool of {self.size} at {self.settings.url}>"
