"""A run comes to the same figures with the names of asyncio that are not public, and without."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ghostcore import _asyncio_private

RUN = """
import asyncio, json, sys, warnings

for name in sys.argv[1:]:
    delattr(asyncio.tasks, name)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import ghostcore
from ghostcore.testing import EchoServer

ways = set()

@ghostcore.scenario(load=ghostcore.PerVUIterations(3, 4, max_duration=30))
async def user(vu):
    ways.add(type(asyncio.current_task().get_coro()).__name__)
    await vu.sleep(0.001)
    async with vu.connect(vu.env["URL"]) as session:
        for number in range(5):
            await session.send(str(number))
            await session.recv(timeout=5)
    if vu.iteration == 2:
        try:
            async with asyncio.timeout(0.01):
                await vu.sleep(60)
        except TimeoutError:
            raise ValueError("on purpose") from None

async def main():
    async with EchoServer() as server:
        return await ghostcore.run_async(user, seed=1, env={"URL": server.url})

result = asyncio.run(main())
counts = {
    name: result.metrics[name].count
    for name in result.metrics
    if hasattr(result.metrics[name], "count") and not name.startswith("tcp_")
}
print(json.dumps({"counts": counts, "exit_code": result.exit_code, "ways": sorted(ways),
    "warnings": [f"{one.category.__name__}: {one.message}" for one in caught]}))
"""


def run_without(*names: str) -> Any:
    """What a run in a process of its own tells, whose asyncio.tasks has not these names."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("missing", ["_enter_task", "_leave_task"])
def test_without_a_name_users_run_in_plain_tasks_to_the_same_counts(missing: str) -> None:
    whole, without = run_without(), run_without(missing)
    assert (whole["ways"], whole["warnings"]) == (["Stepper"], [])
    assert without["ways"] == ["coroutine"]
    (warning,) = without["warnings"]
    assert warning.startswith("RuntimeWarning: Python 3.")
    assert f"has no asyncio.tasks.{missing}: users run in plain tasks of asyncio" in warning
    assert whole["counts"]["iterations"] == 12 and whole["counts"]["ws_msgs_received"] == 60
    assert whole["counts"]["script_errors"] == 3
    assert (without["counts"], without["exit_code"]) == (whole["counts"], whole["exit_code"])


def test_to_give_a_task_up_is_no_reason_to_run_plain_tasks() -> None:
    without = run_without("_unregister_task")
    assert without["ways"] == ["Stepper"]
    (warning,) = without["warnings"]
    assert "has no asyncio.tasks._unregister_task: a script that swallows" in warning


def test_every_name_that_is_missing_is_in_the_warning() -> None:
    names = ["tasks._gone", "Task._must_cancel", "Task._gone_too"]
    with pytest.warns(RuntimeWarning, match=r"no asyncio\.tasks\._gone, asyncio\.Task\._gone_too:"):
        found = _asyncio_private._found(names, "nothing works")
    assert found == [None, asyncio.Task._must_cancel, None]  # type: ignore[attr-defined]


def test_no_other_module_uses_such_a_name() -> None:
    private = re.compile(
        r"\basyncio(\.\w+)*\._[a-z]|\._(must_cancel|cancel_message|log_destroy_pending|fut_waiter)\b"
    )
    package = Path(_asyncio_private.__file__).parent
    sources = [path for path in package.rglob("*.p[yx]*") if path.suffix in (".py", ".pyx", ".pxi")]
    using = {path.name for path in sources if private.search(path.read_text())}
    assert using == {"_asyncio_private.py"}
