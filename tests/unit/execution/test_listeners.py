"""Several follow a run: each is told the same, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ghostcore
from ghostcore import VU, ConstantVUs, Progress, Result, Scenario, scenario
from ghostcore.execution.listeners import Listeners, listeners_of
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.metrics import Totals
from ghostcore.results.timeline import Timeline
from ghostcore.testing.fakeclock import run_fake
from tests.support.results import make_result


class Diary:
    """Writes down what it is told, and fails at one of these moments if it is to."""

    def __init__(self, name: str, diary: list[str], fails_when: str = "") -> None:
        self.name = name
        self.last: Progress | None = None
        self._diary = diary
        self._fails_when = fails_when

    def started(self, plan: Plan) -> None:
        self._write("started")

    def progressed(self, progress: Progress) -> None:
        self.last = progress
        self._write("progressed")

    def finished(self, result: Result) -> None:
        self._write("finished")

    def _write(self, moment: str) -> None:
        self._diary.append(f"{self.name} {moment}")
        if moment == self._fails_when:
            raise KeyError(self.name)


def naps(duration_s: float) -> Scenario:
    @scenario(load=ConstantVUs(2, duration_s))
    async def nap(vu: VU) -> None:
        await vu.sleep(0.5)

    return nap


def run_it(listener: Any, duration_s: float = 2) -> Result:
    """A run whose seconds take no time."""
    return run_fake(lambda: ghostcore.run_async(naps(duration_s), seed=1, listener=listener))


def a_second() -> Progress:
    plan = make_plan([naps(1)])
    return Progress(plan, Totals(), Timeline(), [], 1.0, 1.0, 2, 2, "")


# ---- telling them -------------------------------------------------------------------------------


def test_one_several_or_none_may_be_given() -> None:
    first, second = Diary("first", []), Diary("second", [])
    assert listeners_of(None) == ()
    assert listeners_of(first) == (first,)
    assert listeners_of([first, second]) == (first, second)
    assert listeners_of(()) == ()


def test_each_is_told_in_order() -> None:
    diary: list[str] = []
    listeners = Listeners([Diary("first", diary), Diary("second", diary)])
    listeners.started(make_plan([naps(1)]))
    listeners.progressed(a_second())
    listeners.finished(make_result([]))
    assert diary == [
        f"{name} {moment}"
        for moment in ("started", "progressed", "finished")
        for name in ("first", "second")
    ]
    assert listeners.error is None


def test_one_that_fails_is_told_nothing_more_and_the_others_are() -> None:
    diary: list[str] = []
    broken = Diary("broken", diary, "progressed")
    listeners = Listeners([broken, Diary("whole", diary)])
    listeners.progressed(a_second())
    listeners.progressed(a_second())
    assert diary == ["broken progressed", "whole progressed", "whole progressed"]
    assert isinstance(listeners.error, KeyError)
    assert listeners.any_follows


def test_the_first_error_is_kept_with_the_others_as_notes() -> None:
    names = ("first", "second", "third")
    listeners = Listeners([Diary(name, [], "progressed") for name in names])
    listeners.progressed(a_second())
    assert not listeners.any_follows
    assert listeners.error is not None
    assert listeners.error.args == ("first",)
    assert listeners.error.__notes__ == [
        "another listener failed as well: KeyError('second')",
        "another listener failed as well: KeyError('third')",
    ]


def test_all_are_told_of_the_end_before_an_error_is_raised() -> None:
    diary: list[str] = []
    listeners = Listeners([Diary("broken", diary, "finished"), Diary("whole", diary)])
    with pytest.raises(KeyError, match="broken"):
        listeners.finished(make_result([]))
    assert diary == ["broken finished", "whole finished"]


# ---- runs ---------------------------------------------------------------------------------------


def test_several_follow_a_run() -> None:
    diary: list[str] = []
    first, second = Diary("first", diary), Diary("second", diary)
    assert run_it([first, second]).verdict == "pass"
    assert diary[:2] == ["first started", "second started"]
    assert diary[-2:] == ["first finished", "second finished"]
    assert diary.count("first progressed") == diary.count("second progressed") >= 2
    assert first.last is second.last, "a second is put together once"


def test_one_that_fails_at_the_start_keeps_the_run_from_starting() -> None:
    diary: list[str] = []
    listeners = [Diary("first", diary), Diary("broken", diary, "started"), Diary("last", diary)]
    with pytest.raises(KeyError, match="broken"):
        run_it(listeners)
    assert diary == ["first started", "broken started"]


def test_one_that_fails_ends_the_run_and_the_others_see_why() -> None:
    diary: list[str] = []
    whole = Diary("whole", diary)
    with pytest.raises(KeyError, match="broken"):
        run_it((Diary("broken", diary, "progressed"), whole), duration_s=600)
    assert diary.count("broken progressed") == 1
    assert 2 <= diary.count("whole progressed") < 10
    assert whole.last is not None
    assert whole.last.stopping == "the listener failed: KeyError('broken')"
    assert "whole finished" not in diary, "there is no result"


def test_several_follow_a_run_that_is_followed_second_by_second() -> None:
    diary: list[str] = []

    async def main() -> int:
        listeners = [Diary("first", diary), Diary("second", diary)]
        seconds = 0
        async with ghostcore.start(naps(3), seed=1, listener=listeners) as running:
            async for _ in running:
                seconds += 1
                await asyncio.sleep(0)
        return seconds

    seconds = run_fake(main)
    assert diary.count("first progressed") == diary.count("second progressed") >= seconds >= 3
    assert diary[-2:] == ["first finished", "second finished"]
