"""Clean runs, and one that blocks. No verdict is judged here: the machine may be busy."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from benches import clean
from benches.processes import Server
from tests.support.tables import text_of


@pytest.fixture(scope="module")
def server() -> Any:
    with Server("benches.limit.server") as started:
        yield started


@pytest.mark.parametrize("kind", ["arrivals", "paced"])
def test_a_clean_run_measures_and_judges(kind: str, server: Server) -> None:
    before = server.state().messages
    run = clean.measured(kind, server.url, 1.0)
    assert "refused" not in run, run["refused"]
    assert run["verdict"] in ("pass", "inconclusive", "fail"), run["reasons"]  # it has one
    assert run["suspect_s"] >= 0
    assert server.state().messages - before >= 100


def test_a_script_that_sleeps_is_inconclusive_and_named(server: Server) -> None:
    run = clean.measured("blocking", server.url, 2.0)
    shown = text_of(*clean.tables({"seconds": 2.0, "runs": [], "blocking": run}))
    assert run["exit_code"] == 111, run
    assert clean.blocking_place() in "\n".join(run["reasons"])
    assert f"names     │ {clean.blocking_place()}" in shown
    assert "NO" not in shown


def test_a_run_that_fails_is_said() -> None:
    run = clean.measured("paced", "no url", 0.5)
    assert "refused" in run or run["exit_code"] != 0


def test_every_kind_has_its_turn_and_each_verdict_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def measured(kind: str, *_: object) -> dict[str, Any]:
        kinds.append(kind)
        if len(kinds) == 2:
            return {"kind": kind, "refused": "it hung"}
        found = {1: "inconclusive", 3: "fail"}.get(len(kinds), "pass")
        reasons = [f"because of {len(kinds)}"]
        return {"kind": kind, "verdict": found, "exit_code": 0, "reasons": reasons, "suspect_s": 1}

    monkeypatch.setattr(clean, "measured", measured)
    report = clean.measure(Namespace(quick=True))
    assert kinds == ["arrivals", "paced", "arrivals", "paced", "blocking"]
    first, second = clean.tables(report)
    lines = text_of(first).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:5]] for line in lines if line[0] == "│"]
    assert cells == [
        ["pass", "1", "4", "NO"], ["inconclusive", "1", "0", "NO"], ["fail", "1", "0", "NO"],
        ["with a second that was suspect", "3", "", ""],
    ]  # fmt: skip
    said = " ".join(text_of(first).split())
    assert "arrivals: inconclusive: because of 1" in said
    assert "arrivals: fail: because of 3" in said and "refused: paced: it hung" in said
    assert text_of(second).count("NO") == 2
