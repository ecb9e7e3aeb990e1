"""Whose line it is: frames of scripts, of other user code, of everybody else's."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType

import uvloop

from ghostcore.monitor.lines import Locator, files_of, innermost

HERE = Path(__file__).name


def made(source: str, filename: str) -> ModuleType:
    """A module whose code says that it comes from that file."""
    module = ModuleType("made")
    exec(compile(source, filename, "exec"), module.__dict__)
    return module


CALLS = "def call(function):\n    return function()\n"


def frame_of() -> FrameType:
    return sys._getframe(1)


def test_the_innermost_frame_of_a_script_is_to_blame() -> None:
    script, helper = made(CALLS, "/home/me/load.py"), made(CALLS, "/home/me/helper.py")
    stack: FrameType = script.call(lambda: helper.call(frame_of))
    found = innermost(stack, frozenset(["/home/me/load.py"]))
    assert found is not None
    assert found.f_code.co_filename == "/home/me/load.py"
    found = innermost(stack, frozenset())
    assert found is not None
    assert found.f_code.co_filename == "/home/me/helper.py", "any code of the user"


def test_installed_packages_and_the_standard_library_are_not() -> None:
    installed = made(CALLS, str(Path(json.__file__).parent / "fake.py"))
    made_up = made(CALLS, "<string>")
    script = made(CALLS, "/home/me/load.py")
    stack: FrameType = script.call(lambda: installed.call(lambda: made_up.call(frame_of)))
    found = innermost(stack, frozenset())
    assert found is not None
    assert found.f_code.co_filename == __file__, "the lambda in this file"
    found = innermost(stack, frozenset(["<string>"]))
    assert found is not None
    assert found.f_code.co_filename == "<string>", "a scenario from anywhere is a script"


def test_frames_beyond_the_loop_are_not_looked_at() -> None:
    script = made(CALLS, "/home/me/load.py")
    caller = sys._getframe()
    stack: FrameType = script.call(frame_of)
    assert innermost(stack, frozenset([__file__]), frozenset([id(caller)])) is not None
    assert innermost(caller, frozenset([__file__]), frozenset([id(caller)])) is None


def test_the_files_of_functions() -> None:
    def plain() -> None:
        """Nothing."""

    @functools.wraps(plain)
    def wrapped() -> None:
        plain()

    assert files_of([plain, functools.partial(plain), wrapped]) == {__file__}
    assert files_of([len]) == frozenset()


def seen_from_outside(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> list[str]:
    """What a locator says while its loop waits in a callback, and while it waits for nothing."""
    found: list[str] = []

    async def main() -> None:
        locator = Locator([__file__])
        resume, looked = threading.Event(), threading.Event()

        def look() -> None:
            for _ in range(2):
                resume.wait(10)
                resume.clear()
                found.append(locator()[0])
                looked.set()

        watcher = threading.Thread(target=look)
        watcher.start()
        resume.set()
        looked.wait(10)  # the line that blocks
        looked.clear()
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.05, resume.set)
        while not looked.is_set():
            await asyncio.sleep(0.01)
        watcher.join()
        locator.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    return found


def test_a_thread_that_blocks_in_its_loop_is_found_at_its_line() -> None:
    for factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        blocked, idle = seen_from_outside(factory)
        assert blocked.startswith(f"{HERE}:")
        assert blocked.endswith(": looked.wait(10)  # the line that blocks")
        assert "runner.run" not in idle, "who called the loop does not block it"
        assert idle == "" or idle.startswith(HERE)
