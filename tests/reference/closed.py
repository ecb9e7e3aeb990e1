"""The closed load models once more, in the slowest and plainest way, to compare with.

Nothing here is shared with ghostcore: the ramp is asked slot by slot and instant by instant in
fractions, and a slot is simulated alone, as if it were the only one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

Stages = list[tuple[int, int]]
"""Pairs of duration in ns and target."""


def planned_vus(stages: Stages, start_vus: int, at_ns: int) -> int:
    """How many users are planned at an instant before the end: count what is due on the line."""
    begin, vus = 0, start_vus
    for duration, target in stages:
        if at_ns >= begin + duration:
            begin, vus = begin + duration, target
            continue
        changes = abs(target - vus)
        due = 0
        while due < changes and int(Fraction(duration, changes) * (due + 1)) <= at_ns - begin:
            due += 1
        return vus + due if target > vus else vus - due
    return vus


def changes_of(stages: Stages, start_vus: int) -> list[int]:
    """Every instant at which the number may change, the borders of stages included."""
    instants, begin, vus = {0}, 0, start_vus
    for duration, target in stages:
        changes = abs(target - vus)
        instants |= {begin + int(Fraction(duration, changes) * i) for i in range(1, changes + 1)}
        begin, vus = begin + duration, target
        instants.add(begin)
    return sorted(instants)


class Happening(NamedTuple):
    at_ns: int
    slot: int
    what: str  # "begin" or "finish" or "interrupt" of an iteration


def slot_history(
    slot: int,
    *,
    wanted: list[tuple[int, bool]],
    iteration_ns: int,
    ramp_down_ns: int,
    end_ns: int,
    graceful_stop_ns: int,
) -> list[Happening]:
    """What one slot does.

    :param wanted: (instant, is wanted from then on), the instants before or at the end of the
        profile, alternating, the first one True.
    """
    history: list[Happening] = []
    final_ns = end_ns + graceful_stop_ns
    begun: int | None = None  # when the current iteration began
    deadline = final_ns
    is_wanted = False
    for at, becomes in [*wanted, (final_ns, False)]:
        # Finish what ends before `at`.
        while begun is not None and begun + iteration_ns < min(at, deadline):
            finished = begun + iteration_ns
            history.append(Happening(finished, slot, "finish"))
            begun = finished if is_wanted and finished < end_ns else None
            if begun is not None:
                history.append(Happening(begun, slot, "begin"))
        if begun is not None and (deadline < at or at == final_ns):
            history.append(Happening(deadline, slot, "interrupt"))
            begun = None
        if becomes and at < end_ns:
            is_wanted, deadline = True, final_ns
            if begun is None:
                begun = at
                history.append(Happening(at, slot, "begin"))
        elif not becomes and at < final_ns:
            is_wanted, deadline = False, min(at + ramp_down_ns, final_ns)
    return history


def run_history(
    stages: Stages,
    start_vus: int,
    iteration_ns: list[int],
    ramp_down_ns: int,
    graceful_stop_ns: int,
) -> list[Happening]:
    """What all slots do, in order of time and slot."""
    end_ns = sum(duration for duration, _ in stages)
    # The last instant counts too: a ramp to 0 removes its last user exactly at the end.
    instants = changes_of(stages, start_vus)
    history: list[Happening] = []
    for slot, length_ns in enumerate(iteration_ns):
        wanted: list[tuple[int, bool]] = []
        for at in instants:
            is_wanted = planned_vus(stages, start_vus, at) > slot
            if is_wanted != (wanted[-1][1] if wanted else False):
                wanted.append((at, is_wanted))
        history += slot_history(
            slot,
            wanted=wanted,
            iteration_ns=length_ns,
            ramp_down_ns=ramp_down_ns,
            end_ns=end_ns,
            graceful_stop_ns=graceful_stop_ns,
        )
    return sorted(history)
