"""How built-in agents answer calls, and how often which way."""

from __future__ import annotations

from dataclasses import dataclass, field

from ghost_greeter.simulator.setup.distribution import Distribution
from ghostcore import UsageError

__all__ = ["ANSWERS", "Behaviour"]

ANSWERS = ("accept", "reject", "ignore")
"""What an agent can do with a call that rings, in the order of the shares of a mix."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How built-in agents answer calls.

    :ivar mix: shares of calls accepted, rejected and ignored. They are kept to exactly: of 100
        calls under 90, 8, 2 there are 90, 8 and 2, evenly spread.
    :ivar answer: how long they let it ring before they accept or reject.
    """

    mix: tuple[float, float, float] = (1.0, 0.0, 0.0)
    answer: Distribution = field(default_factory=lambda: Distribution.parse("1s..3s"))

    def __post_init__(self) -> None:
        if min(self.mix) < 0 or not 0 < sum(self.mix) < float("inf"):
            raise UsageError(
                f"agent mix is {self.mix}: expected shares accepted, rejected, ignored"
            )

    @classmethod
    def parse_mix(cls, text: str) -> tuple[float, float, float]:
        """``90,8,2``, or one of the words accept, reject and ignore.

        :raises UsageError: neither.
        """
        if text in ANSWERS:
            accepts, rejects, ignores = (float(text == answer) for answer in ANSWERS)
            return accepts, rejects, ignores
        try:
            accepts, rejects, ignores = map(float, text.split(","))
        except ValueError:
            raise UsageError(
                f"agent mix is {text!r}: expected three shares such as 90,8,2 (accepted, rejected, "
                f"ignored), or one of {', '.join(ANSWERS)}"
            ) from None
        return accepts, rejects, ignores
