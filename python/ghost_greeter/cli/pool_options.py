"""The options of a command line that has agents, and the pool that they ask for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ghost_greeter.agents.agent_settings import (
    DEFAULT_ANSWER,
    DEFAULT_MIX,
    LONGEST_CALL_S,
    AgentSettings,
    longest_s,
    parse_mix,
)
from ghost_greeter.agents.identities import identities
from ghost_greeter.agents.pool import AgentPool
from ghost_greeter.simulator import Distribution
from ghostcore import UsageError

__all__ = ["PoolOptions", "agent_options", "seed_of"]

HANGING_S = 20.0
"""How much longer than a visitor would an agent waits before it hangs up."""

Function = TypeVar("Function", bound=Callable[..., Any])


def agent_options(command: Function) -> Function:
    """Options of a command: ``agent_mix``, ``agent_answer``, ``agent_hold`` and
    ``agent_token_file``. Hand them to :meth:`PoolOptions.of`."""
    options = (
        click.option(
            "--agent-mix",
            metavar="A,R,I",
            help="Shares of calls that agents accept, reject and ignore. Default: 90,8,2.",
        ),
        click.option(
            "--agent-answer",
            metavar="TIME",
            help=f"How long they let it ring, e.g. 500ms or 1s..3s. Default: {DEFAULT_ANSWER}.",
        ),
        click.option(
            "--agent-hold",
            metavar="TIME",
            help="After which they hang up themselves. Default: 30s, and longer than visitors do.",
        ),
        click.option(
            "--agent-token-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="What agents log in with: lines of a token and an agent id, or * for any agent.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """A pool as it is asked for.

    :ivar count: how many agents; None: as the run needs, if it brings the server along.
    :ivar longest_call_s: after which they end a call that the visitor has not ended; None: as long
        as visitors need.
    """

    count: int | None
    mix: tuple[float, float, float]
    answer: Distribution
    longest_call_s: float | None
    token_file: Path | None

    @classmethod
    def of(cls, count: int | None, given: Mapping[str, Any], *, embedded: bool) -> PoolOptions:
        """From what was typed.

        :param embedded: the run starts the simulator, with agents unless told otherwise.
        :raises UsageError: what cannot be, or is for agents where there are none.
        """
        if count is not None and count < 0:
            raise UsageError(f"--agents is {count}: expected 0 or more")
        if not (count or (embedded and count is None)):
            for name in ("agent_mix", "agent_answer", "agent_hold", "agent_token_file"):
                if given[name] is not None:
                    raise UsageError(
                        f"--{name.replace('_', '-')} is for agents of this run, and there are "
                        "none: say how many with --agents N"
                    )
        mix = parse_mix(given["agent_mix"]) if given["agent_mix"] else DEFAULT_MIX
        answer = Distribution.parse(given["agent_answer"] or DEFAULT_ANSWER)
        hold_s = None
        if given["agent_hold"] is not None:
            hold_s = longest_s(Distribution.parse(given["agent_hold"]))
            if not hold_s > 0:
                raise UsageError("--agent-hold must be more than 0")
        return cls(count, mix, answer, hold_s, given["agent_token_file"])

    def pool(self, url: str, default: int, seed: int, held_s: float = 0.0) -> AgentPool | None:
        """The pool, `default` agents unless a number was given; None for no agents.

        :param held_s: the longest that visitors hold a call.
        :raises InvalidPlan: the tokens cannot be read, or are too few.
        """
        count = default if self.count is None else self.count
        if not count:
            return None
        longest_call_s = self.longest_call_s or max(LONGEST_CALL_S, held_s + HANGING_S)
        settings = AgentSettings(url, self.mix, self.answer, longest_call_s=longest_call_s)
        return AgentPool(settings, identities(count, self.token_file), seed=seed)


def seed_of(given: int | None) -> int:
    """The seed that was given, or one drawn: the agents of a run have that of its users."""
    return secrets.randbits(48) if given is None else given
