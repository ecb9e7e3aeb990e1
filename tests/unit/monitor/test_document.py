"""docs/generator.md says what the rules are, with the limits that the code has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from ghostcore.execution.calibration import CALIBRATION_S, RATE
from ghostcore.execution.recording import TCP_PER_WINDOW
from ghostcore.loop.watch import BEAT_NS, STALL_NS
from ghostcore.monitor import rules
from ghostcore.monitor.sample import GeneratorSample

TEXT = (Path(__file__).parents[3] / "docs" / "generator.md").read_text()


def rows(heading: str) -> dict[str, str]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if "| `" in line[:3]]
    return dict(lines)


def test_every_rule_is_documented_with_its_limit() -> None:
    found = {name.strip("`"): text for name, text in rows("When a second is suspect").items()}
    assert tuple(found) == rules.RULES
    for rule, limit in (
        ("loop_lag", f"{rules.LAG_MS:.0f} ms or more"),
        ("blocked", f"{rules.BLAMED_MS:.0f} ms or more"),
        ("cpu", f"{100 * rules.CPU_SHARE:.0f} %"),
        ("core", f"{100 * rules.WAITING_SHARE:.0f} %"),
        ("steal", f"{100 * rules.STEAL_SHARE:.0f} %"),
        ("gc", f"{rules.GC_PAUSE_MS:.0f} ms or more"),
        ("clock", f"{rules.CLOCK_JUMP_MS:.0f} ms or more"),
    ):
        assert limit in found[rule]
    assert f"shorter than {1000 * rules.SHORTEST_S:.0f} ms" in TEXT
    assert f"a lag of {rules.GRAVE_LAG_MS / 1000:.0f} s or more" in TEXT
    assert f"more than {100 * rules.UNDELIVERED_SHARE:.0f} % of the run" in TEXT


def test_every_figure_is_documented() -> None:
    told = {name for cell in rows("What is measured") for name in re.findall(r"`(\w+)`", cell)}
    known = {one.name for one in fields(GeneratorSample)} | {"error_ms"}
    assert told == known - {"at_s", "window_s", "doubts"}


def test_other_numbers() -> None:
    assert f"due every {BEAT_NS // 10**6} ms" in TEXT
    assert f"for {STALL_NS // 10**6} ms or more, and in which line" in TEXT
    assert f"at most {TCP_PER_WINDOW} connections a second" in TEXT
    assert (RATE, CALIBRATION_S) == (200, 2.0)
    assert "200 a second for two seconds" in TEXT
