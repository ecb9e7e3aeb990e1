"""The part of a load that one worker carries: pure numbers, so that the parts make up the whole."""

from __future__ import annotations

from dataclasses import dataclass

from ghostcore.errors import UsageError

__all__ = ["ALL", "Share"]


@dataclass(frozen=True, slots=True)
class Share:
    """Every `of`-th thing of a plan, from number `index` on: users by slot, starts by index.

    Whatever is numbered from 0 belongs to exactly one worker, at any number of workers; and since
    users and starts keep their number in the whole plan, they draw the same random numbers.

    :param index: number of the worker, from 0.
    :param of: how many workers there are.
    """

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if self.of < 1 or not 0 <= self.index < self.of:
            raise UsageError(f"worker {self.index} of {self.of}: expected a number below {self.of}")

    def count(self, total: int) -> int:
        """How many of the first `total` things are this worker's."""
        if self.of == 1:
            return total if total > 0 else 0  # a ramp asks for each of its users
        return max(0, (total - self.index + self.of - 1) // self.of)

    def number(self, position: int) -> int:
        """The number in the whole plan of this worker's thing at `position`, from 0."""
        return self.index + position * self.of

    def owns(self, number: int) -> bool:
        """Whether the thing with that number is this worker's."""
        return number % self.of == self.index

    def among(self, users: int) -> Share | None:
        """The share of this worker if work is dealt only to workers that have one of `users` users;
        None: this one has none.

        With fewer users than workers, starts would otherwise be dealt to a worker without a user.
        """
        holders = min(self.of, users)
        return Share(self.index, holders) if self.index < holders else None


ALL = Share()
"""The whole plan: the share of a worker that is alone."""
