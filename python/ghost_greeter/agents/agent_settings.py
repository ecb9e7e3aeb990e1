"""How a pool of agents behaves, and how many agents a load needs."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.distribution import Distribution

__all__ = [
    "AgentSettings",
    "Answer",
    "Answers",
    "agents_needed",
    "longest_s",
    "parse_mix",
]

Answer = Literal["accept", "reject", "ignore"]
ANSWERS: tuple[Answer, ...] = ("accept", "reject", "ignore")
HUNDRED = 100
_ROUNDING = 1e-9

VISITORS_PER_AGENT = 25
DEFAULT_MIX = (90.0, 8.0, 2.0)
DEFAULT_ANSWER = "500ms..2s"
"""So that a call which two agents rejected is still answered within 5 s, at the most."""

LONGEST_CALL_S = 30.0

_BACK_OFF_FIRST_S = 0.5
_BACK_OFF_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agents of a pool behave. Times in seconds.

    :ivar url: the server's base URL.
    :ivar mix: shares of calls accepted, rejected and ignored.
    :ivar answer: how long a call rings before it is accepted or rejected.
    :ivar back_s: shortest and longest time before an agent that was marked away comes back.
    :ivar unheard_back_s: after a call that it ignored an agent comes back after that, even if
        nobody told it that it was marked away.
    :ivar heartbeat_s: from one heartbeat to the next; the server waits 120 s for one.
    :ivar longest_call_s: after which an agent ends a call that the visitor has not ended.
    """

    url: str
    mix: tuple[float, float, float] = DEFAULT_MIX
    answer: Distribution = field(default_factory=lambda: Distribution.parse(DEFAULT_ANSWER))
    back_s: tuple[float, float] = (1.0, 3.0)
    unheard_back_s: float = 30.0
    heartbeat_s: float = 25.0
    longest_call_s: float = LONGEST_CALL_S

    def __post_init__(self) -> None:
        Behaviour(self.mix, self.answer)  # refuses what cannot be

    @staticmethod
    def back_off_s(failures: int, source: random.Random) -> float:
        """How long to wait before the next attempt to log in: doubling, with jitter."""
        limit_s = min(_BACK_OFF_MAX_S, _BACK_OFF_FIRST_S * 2.0 ** min(failures, 16))
        return limit_s * source.uniform(0.5, 1.0)


class Answers:
    """How calls are answered, one after another: by chance, but with the shares of the mix kept in
    every hundred, so that of 100 calls under 90, 8, 2 there are 90, 8 and 2. A short run would
    else be as good as its luck: two ignored calls more in 40 are its p95.

    :param mix: shares accepted, rejected and ignored.
    """

    def __init__(self, mix: tuple[float, float, float], source: random.Random) -> None:
        self._shares = [HUNDRED * share / sum(mix) for share in mix]
        self._owed = [0.0, 0.0, 0.0]
        self._left: list[Answer] = []
        self._random = source

    def next(self) -> Answer:
        """How to answer the next call."""
        while not self._left:
            for place, answer in enumerate(ANSWERS):
                self._owed[place] += self._shares[place]
                whole = math.floor(self._owed[place] + _ROUNDING)
                self._owed[place] -= whole
                self._left += [answer] * whole
            self._random.shuffle(self._left)
        return self._left.pop()


def agents_needed(
    visitors: int, rate: float = 0.0, ring_s: float = 0.0, hold_s: float = 0.0
) -> int:
    """How many agents serve so many visitors at a time, and so many calls a second.

    The larger of visitors / 25 + 10 % (25 visitors are what one takes) and, by Little's law with
    half as many again in reserve, rate x (ring + hold) x 1.5.

    :param ring_s: the longest ring before an answer. :param hold_s: the longest call.
    """
    if visitors < 1:
        return 0
    return max(
        math.ceil(visitors * 11 / (VISITORS_PER_AGENT * 10)),
        math.ceil(rate * (ring_s + hold_s) * 1.5),
    )


def parse_mix(text: str) -> tuple[float, float, float]:
    """``90,8,2``, or one of the words accept, reject and ignore.

    :raises UsageError: neither.
    """
    mix = Behaviour.parse_mix(text)
    Behaviour(mix)
    return mix


def longest_s(answer: Distribution) -> float:
    """The longest time of a distribution; of one with a tail, its scale times ten."""
    longest: Sequence[float] = [part[2] for part in answer.parts]
    return max(longest) if longest else answer.scale_s * 10
