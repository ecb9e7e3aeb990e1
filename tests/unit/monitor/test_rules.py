"""When a second is suspect: each rule just below its limit, and at it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ghostcore.monitor import rules
from ghostcore.monitor.rules import doubts_of, is_blamed, is_grave
from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall

WELL = GeneratorSample(
    1.0,
    0.5,
    0.3,
    10_000_000,
    20,
    loop_cpu_share=0.3,
    waiting_share=0.01,
    steal_share=0.0,
)


def rules_of(**changes: Any) -> list[str]:
    return [doubt.rule for doubt in doubts_of(replace(WELL, **changes))]


def test_a_second_without_trouble_is_valid() -> None:
    assert rules_of() == []
    unknown = GeneratorSample(1.0, 0.0, math.nan, 0, 0)
    assert doubts_of(unknown) == ()


@pytest.mark.parametrize(
    ("field", "limit", "rule"),
    [
        ("loop_lag_ms", rules.LAG_MS, "loop_lag"),
        ("loop_cpu_share", rules.CPU_SHARE, "cpu"),
        ("waiting_share", rules.WAITING_SHARE, "core"),
        ("steal_share", rules.STEAL_SHARE, "steal"),
        ("gc_pause_ms", rules.GC_PAUSE_MS, "gc"),
        ("clock_jump_ms", rules.CLOCK_JUMP_MS, "clock"),
        ("local_failures", 1, "resources"),
    ],
)
def test_each_rule_begins_at_its_limit(field: str, limit: float, rule: str) -> None:
    assert rules_of(**{field: limit}) == [rule]
    assert rules_of(**{field: limit * 0.999 if limit != 1 else 0}) == []
    assert rule in rules.RULES


def test_a_callback_that_blocks_is_told_with_its_line() -> None:
    stall = Stall(0.2, 500.0, 10.0, "chat.py:12: time.sleep(0.5)")
    found = doubts_of(replace(WELL, stalls=(stall,)))
    assert [doubt.rule for doubt in found] == ["blocked"]
    assert found[0].text == "blocked for 490 ms: chat.py:12: time.sleep(0.5)"
    assert is_blamed(stall)


def test_what_the_machine_did_is_not_the_callbacks_fault() -> None:
    stall = Stall(0.2, 500.0, 450.0, "chat.py:12: await ws.send('x')")
    assert not is_blamed(stall)
    assert rules_of(stalls=(stall,)) == []
    assert rules_of(stalls=(stall,), loop_lag_ms=490.0) == ["loop_lag"], "but the lag is there"
    own = Stall(0.2, 500.0, 0.0, "", "console.py:88")
    assert not is_blamed(own), "it is nobody's line"
    assert rules_of(stalls=(own,)) == ["blocked"]


def test_a_second_after_a_standstill_is_suspect_too_but_not_the_one_after_that() -> None:
    late = doubts_of(replace(WELL, loop_lag_ms=300.0))
    after = doubts_of(WELL, late)
    assert [doubt.rule for doubt in after] == ["after"]
    assert doubts_of(WELL, after) == ()
    full = doubts_of(replace(WELL, loop_cpu_share=1.0))
    assert doubts_of(WELL, full) == (), "a full core leaves nothing behind that lag does not tell"


def test_shares_of_a_moment_are_not_judged() -> None:
    assert rules_of(loop_cpu_share=1.0, waiting_share=0.9, window_s=rules.SHORTEST_S / 2) == []
    assert rules_of(loop_lag_ms=90.0, window_s=rules.SHORTEST_S / 2) == ["loop_lag"]


def test_what_can_fail_operations_is_grave() -> None:
    def sample(**changes: Any) -> GeneratorSample:
        one = replace(WELL, **changes)
        return replace(one, doubts=doubts_of(one))

    assert not is_grave(sample())
    assert not is_grave(sample(loop_lag_ms=rules.GRAVE_LAG_MS - 1, loop_cpu_share=1.0))
    assert is_grave(sample(loop_lag_ms=rules.GRAVE_LAG_MS))
    assert is_grave(sample(local_failures=3))
    assert is_grave(sample(clock_jump_ms=5000.0))
    assert is_grave(sample(stalls=(Stall(0.0, 120.0, 0.0, "a.py:1"),)))


def test_doubts_carry_a_size_to_find_the_worst() -> None:
    found = doubts_of(replace(WELL, loop_lag_ms=300.0, loop_cpu_share=0.99))
    assert found == (
        Doubt("loop_lag", "the event loop was 300 ms late", 300.0),
        Doubt("cpu", "the event loop used 99 % of a core", 0.99),
    )
