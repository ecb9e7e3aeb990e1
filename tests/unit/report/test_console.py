"""What the console prints of a run, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Iterator

import pytest

from ghostcore import VU, ConstantVUs, EngineError, run, scenario
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.execution.progress import Progress
from ghostcore.metrics import BUILTINS, Totals
from ghostcore.report import Console, summary_text
from tests.support.results import make_result, troubled_result


@scenario(load=ConstantVUs(5, "30s"))
async def shop(vu: VU) -> None:
    await vu.sleep(0.05)


def plan() -> Plan:
    return make_plan([shop], seed=7)


def progress(elapsed_s: float) -> Progress:
    result = troubled_result()
    totals = Totals(BUILTINS)
    return Progress(plan(), totals, result.timeline, [], elapsed_s, 30.0, 5, 4, "")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    yield


def test_a_stream_gets_plain_text_that_ends_with_the_summary() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.started(plan())
    console.finished(troubled_result())
    console.saved("out/result.json")
    begin = "running shop: 5 users for 30s\nseed 7\nran 2s\n\n"
    end = "saved to out/result.json\n"
    assert stream.getvalue() == begin + summary_text(troubled_result()) + end


def test_forcing_colors_does_not_put_escape_codes_into_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    Console(stream).finished(troubled_result())
    assert "\x1b" not in stream.getvalue()


def test_a_stream_gets_one_line_every_few_seconds() -> None:
    stream = io.StringIO()
    console = Console(stream, interval_s=5)
    console.started(plan())
    for second in range(1, 13):
        console.progressed(progress(second + 0.001))
    lines = stream.getvalue().splitlines()[2:]
    assert [line.split()[0] for line in lines] == ["5s/30s", "10s/30s"]


def test_without_progress_there_is_none() -> None:
    for stream in (io.StringIO(), Terminal()):
        console = Console(stream, interval_s=1, progress=False)
        console.started(plan())
        before = stream.getvalue()
        console.progressed(progress(3))
        assert stream.getvalue() == before


def test_a_terminal_gets_a_block_that_changes_in_place() -> None:
    stream = Terminal()
    console = Console(stream)
    console.started(plan())
    console.progressed(progress(1))
    console.progressed(progress(2))
    shown = stream.getvalue()
    assert "1s of 30s, 29s left" in shown
    assert shown.index("\x1b[1A") < shown.index("2s of 30s, 28s left")
    console.finished(troubled_result())
    assert "verdict: " in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_the_cursor_comes_back_when_a_run_breaks() -> None:
    stream = Terminal()
    console = Console(stream)
    console.started(plan())
    console.close()
    console.close()
    assert stream.getvalue().count("\x1b[?25h") == 1


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    def colors() -> list[str]:
        stream = Terminal()
        Console(stream).finished(troubled_result())
        return re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", stream.getvalue())

    assert colors()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colors()


def test_a_dumb_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    console = Console(stream)
    console.started(plan())
    console.progressed(progress(5))
    console.finished(troubled_result())
    assert "\x1b" not in stream.getvalue()
    assert "5s/30s" in stream.getvalue()


def test_an_encoding_that_lacks_a_letter_loses_only_that_letter() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(stream).finished(troubled_result())
    assert b"  \\u2713  join_time" in raw.getvalue()
    assert b"verdict: fail" in raw.getvalue()


def test_a_reader_that_goes_away_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        console = Console(stream, interval_s=1)
        result = run(shop, load=ConstantVUs(1, 0.1), seed=1, listener=console)
        console.saved("out")
    assert result.verdict == "pass"


def test_a_real_run_on_a_real_terminal() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        result = run(shop, load=ConstantVUs(2, 0.3), seed=1, listener=Console(stream))
        shown = b""
        while b"verdict: " not in shown:  # a terminal gives what it has so far, not all at once
            shown += os.read(leader, 1 << 16)
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert result.exit_code == 0
    assert "running " in text
    assert f"answered {result.outcome.answered:,}" in text


def test_faults_of_the_console_are_not_hidden() -> None:
    stream = io.StringIO()
    console = Console(stream)
    stream.close()
    with pytest.raises(ValueError, match="closed file"):
        console.finished(make_result([]))


def test_engine_errors_are_not_reported_as_results() -> None:
    class Broken(Console):
        def progressed(self, progress: Progress) -> None:
            raise EngineError("made up")

    with pytest.raises(EngineError):
        run(shop, load=ConstantVUs(1, 0.1), seed=1, listener=Broken(io.StringIO()))
