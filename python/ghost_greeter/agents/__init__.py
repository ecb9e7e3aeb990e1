"""Agents that take visitors and answer their calls: in the run of the visitors, or alone."""

from __future__ import annotations

from ghost_greeter.agents.agent_settings import AgentSettings, agents_needed
from ghost_greeter.agents.identities import Identity, identities
from ghost_greeter.agents.pool import AgentPool

__all__ = [
    "AgentPool",
    "AgentSettings",
    "Identity",
    "agents_needed",
    "identities",
]
