"""Who the agents of a pool log in as."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ghost_greeter.simulator.setup.token_file import ANY_AGENT, read_token_file
from ghostcore import InvalidPlan, UsageError

__all__ = ["Identity", "identities"]

DEFAULT_PREFIX = "load-agent"


class Identity(NamedTuple):
    """Who an agent logs in as."""

    agent_id: str
    token: str

    def __repr__(self) -> str:
        return f"Identity({self.agent_id!r})"  # tokens are shown nowhere


def identities(
    count: int, token_file: Path | None = None, prefix: str = DEFAULT_PREFIX
) -> list[Identity]:
    """The agents of a pool.

    Without a file they are `prefix`-1, -2, ... with an empty token, which a server that checks no
    tokens takes. Each line of a file is a token and an agent id, or * for a token that is every
    agent's; empty lines and those that begin with # are left out. The ids named come first.

    :raises InvalidPlan: the file cannot be read, or names fewer agents than `count`.
    """
    if count < 0:
        raise InvalidPlan([f"agents is {count}: expected 0 or more"])
    if token_file is None:
        return [Identity(f"{prefix}-{number}", "") for number in range(1, count + 1)]
    named, shared = _read(token_file)
    found = named[:count]
    if len(found) < count and shared is not None:
        found += [
            Identity(f"{prefix}-{number}", shared) for number in range(1, count - len(found) + 1)
        ]
    if len(found) < count:
        raise InvalidPlan(
            [
                f"{token_file} has tokens of {len(named)} agents, {count} are wanted: ask for "
                "fewer (--agents), or give a token for every agent (TOKEN *)"
            ]
        )
    return found


def _read(path: Path) -> tuple[list[Identity], str | None]:
    """Those that are named, and the token that is every agent's."""
    try:
        lines = read_token_file(path)
    except UsageError as error:
        raise InvalidPlan([str(error)]) from None
    named = [Identity(agent_id, token) for token, agent_id in lines if agent_id != ANY_AGENT]
    shared = [token for token, agent_id in lines if agent_id == ANY_AGENT]
    if len({one.agent_id for one in named}) < len(named):
        raise InvalidPlan([f"{path} names an agent twice: the second would cut off the first"])
    return named, shared[-1] if shared else None
