"""Scripts that swallow their interruption: the run ends, and says whose fault it was."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys

from ghostcore import VU, ConstantVUs, scenario
from tests.support.running import run_it


def test_one_that_swallows_a_few_comes_to_its_end() -> None:
    @scenario(load=ConstantVUs(2, 5, graceful_stop=1))
    async def careless(vu: VU) -> None:
        for _ in range(4):
            with contextlib.suppress(BaseException):
                await vu.sleep(60)

    result = run_it(careless)
    assert result.metrics.count_of("script_errors") == 0
    assert result.metrics["iterations"].count == 2
    assert 16 <= result.duration_s < 17  # its time, the graceful stop, and that to clean up


def test_one_that_swallows_all_of_them_is_left_behind() -> None:
    @scenario(load=ConstantVUs(2, 5, graceful_stop=1))
    async def stubborn(vu: VU) -> None:
        while True:
            with contextlib.suppress(BaseException):
                await vu.sleep(60)

    result = run_it(stubborn)
    assert result.exit_code == 107
    assert result.metrics.count_of("script_errors") == 2
    sample = result.errors[0].samples[0]
    assert "test_swallowed.py:" in sample.text and "CancelledError" in sample.text
    assert result.duration_s < 20
    gc.collect()


STUBBORN = """
import contextlib, gc, logging
import ghostcore

logging.getLogger("asyncio").setLevel(logging.ERROR)  # that the machine is slow is a warning

@ghostcore.scenario(load=ghostcore.ConstantVUs(2, 0.1, graceful_stop=0))
async def stubborn(vu):
    while True:
        with contextlib.suppress(BaseException):
            await vu.sleep(60)

result = ghostcore.run(stubborn)
gc.collect()
print(result.exit_code)
"""


def test_a_program_that_left_one_behind_comes_to_its_end() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", STUBBORN],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # In asyncio's debug mode a step that a busy machine makes slow is told; that is no complaint.
    told = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, done.stdout.strip(), told) == (0, "107", [])


def test_a_slow_clean_up_is_given_its_time() -> None:
    cleaned = []

    @scenario(load=ConstantVUs(1, 5, graceful_stop=1))
    async def tidy(vu: VU) -> None:
        try:
            await vu.sleep(60)
        finally:
            await vu.sleep(8)
            cleaned.append(vu.id)

    result = run_it(tidy)
    assert cleaned == [1]
    assert result.metrics.count_of("iterations_interrupted") == 1
