"""Arrival models once more, in the slowest and plainest way, to compare with.

Nothing here is shared with ghostcore: the integral is a sum of trapezoids in fractions, and a due
time is searched for, ns by ns, by halving.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

RateStages = list[tuple[int, Fraction]]
"""Pairs of duration in ns and target rate, in starts per ns."""


def area(start_rate: Fraction, stages: RateStages, at_ns: Fraction | int) -> Fraction:
    """The integral of the rate from 0 to an instant."""
    total, rate, left = Fraction(0), start_rate, Fraction(at_ns)
    for duration, target in stages:
        inside = min(left, Fraction(duration))
        if duration:
            now = rate + (target - rate) * inside / duration
            total += (rate + now) / 2 * inside
        left -= inside
        rate = target
        if left <= 0 and duration:
            break
    return total


def due_ns(start_rate: Fraction, stages: RateStages, wanted: Fraction | int) -> int:
    """The first instant at which the integral is `wanted`, cut to whole ns."""
    low, high = -1, sum(duration for duration, _ in stages)
    while high - low > 1:
        middle = (low + high) // 2
        if area(start_rate, stages, middle) >= wanted:
            high = middle
        else:
            low = middle
    # `high` is the first whole ns at which it has been reached: unless it is reached there and not
    # before, it was within the ns before.
    return high if high == 0 or area(start_rate, stages, high) == wanted else high - 1


def ramping_starts(start_rate: Fraction, stages: RateStages) -> list[int]:
    """Every due time: the integral reaches 1, 2, 3, ... up to the end, that included."""
    end = sum(duration for duration, _ in stages)
    count = int(area(start_rate, stages, end))
    return [due_ns(start_rate, stages, i) for i in range(1, count + 1)]


def constant_starts(rate: Fraction, duration_ns: int) -> list[int]:
    """Every due time: i periods after the begin, from 0 on, before the end."""
    found: list[int] = []
    while len(found) / rate < duration_ns:
        found.append(int(len(found) / rate))
    return found


class Play(NamedTuple):
    """What becomes of a plan of starts: times from the profile's start."""

    begun: list[tuple[int, int]]  # number of the start, when it began
    dropped: list[tuple[int, int]]  # number of the start, when it was dropped
    freed: list[int]  # for each of those dropped, when a user was free again
    ended_ns: int


def play(
    dues: list[int],
    *,
    users: int,
    most: int,
    length_ns: int,
    queue: bool,
    end_ns: int,
    graceful_stop_ns: int,
) -> Play:
    """Users who all take the same time for an iteration, none of which ends when a start is due.

    :param users: those there are at first; one more is made for each start that is dropped, up to
        `most`.
    """
    begun: list[tuple[int, int]] = []
    dropped: list[tuple[int, int]] = []
    free_at = [0] * users
    for number, due in enumerate(dues):
        soonest = min(free_at)
        if soonest <= due or (queue and soonest < end_ns):
            at = max(due, soonest)
            begun.append((number, at))
            free_at[free_at.index(soonest)] = at + length_ns
        elif queue:
            dropped.append((number, end_ns))
        else:
            dropped.append((number, due))
            if len(free_at) < most:
                free_at.append(due)
    last = end_ns + graceful_stop_ns
    ended = sorted(min(at + length_ns, last) for _, at in begun)
    freed: list[int] = []
    for number, at in dropped:
        grown = [b for n, b in dropped if n == number and users + dropped.index((n, b)) < most]
        freed.append(at if queue or grown else next(end for end in ended if end > at))
    return Play(begun, dropped, freed, max([end_ns, *ended]))
