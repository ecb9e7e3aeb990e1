"""Loading scripts: Python files whose module-level scenarios are run.

Functions of a module that are named ``setup`` and ``teardown`` are run before and after the load.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ghostcore._tracebacks import OWN
from ghostcore.errors import InvalidPlan
from ghostcore.execution.hooks import HookFunction
from ghostcore.users.scenario import Scenario

__all__ = ["Script", "ScriptError", "choose", "load_script"]

_numbers = itertools.count(1)


class ScriptError(Exception):
    """A script that cannot be imported; the message says where and why, ``__cause__`` what it
    raised."""


@dataclass(frozen=True)
class Script:
    """What a script has: scenarios in the order of their definition, set-up and teardown."""

    scenarios: list[Scenario]
    setup: HookFunction | None = None
    teardown: HookFunction | None = None


def load_script(script: str | Path) -> Script:
    """Import a script.

    Its folder becomes the first of ``sys.path``, as ``python SCRIPT`` does it, and stays there:
    a scenario may import from it when it runs.

    :raises InvalidPlan: no such file, or no scenario in it.
    :raises ScriptError: it cannot be imported.
    """
    path = Path(script)
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise InvalidPlan([f"script {str(script)!r} {what}: expected a Python file"])
    path = path.resolve()
    if str(path.parent) not in sys.path[:1]:
        sys.path.insert(0, str(path.parent))
    names = _import(path, str(script))
    scenarios = [value for value in names.values() if isinstance(value, Scenario)]
    if not scenarios:
        raise InvalidPlan(
            [f"script {str(script)!r} has no scenario: decorate an async function with @scenario"]
        )
    return Script(
        list({id(one): one for one in scenarios}.values()),
        _function(names.get("setup")),
        _function(names.get("teardown")),
    )


def _function(value: object) -> HookFunction | None:
    """A function, whatever its kind: that it is a coroutine function is checked with the plan."""
    return value if callable(value) and not isinstance(value, type | Scenario) else None


def _import(path: Path, shown: str) -> dict[str, object]:
    # The name is unlike that of any module: a script named json.py must not replace json.
    name = f"ghostcore_script_{next(_numbers)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(
        name, path, loader=importlib.machinery.SourceFileLoader(name, str(path))
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ScriptError(_explained(error, path, shown)) from error
    return dict(vars(module))


def _explained(error: BaseException, path: Path, shown: str) -> str:
    """One paragraph: where the script, or what it imports, failed, and with what."""
    places = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((OWN, "<frozen"))
    ]
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        places.append((error.filename or str(path), error.lineno))
        text = f"{type(error).__name__}: {error.msg}"
    if isinstance(error, SystemExit):
        text = f"it ended the program while it was imported (exit code {error.code})"
    own = [line for file, line in places if file == str(path)]
    where = f"{shown}:{own[-1]}" if own else shown
    last = places[-1] if places else (str(path), None)
    deeper = f" (raised at {last[0]}:{last[1]})" if last[0] != str(path) else ""
    return f"{where}: the script cannot be imported: {text}{deeper}"


def choose(scenarios: Sequence[Scenario], names: Sequence[str], script: str) -> list[Scenario]:
    """The scenarios of these names, in the order of the script; without names the only one.

    :raises InvalidPlan: unknown names, or several scenarios and no name.
    """
    known = ", ".join(one.name for one in scenarios)
    if not names:
        if len(scenarios) > 1:
            raise InvalidPlan(
                [f"{script!r} has several scenarios: name the one to run, or several, of {known}"]
            )
        return list(scenarios)
    defined = {one.name for one in scenarios}
    problems = [
        f"{script!r} has no scenario {name!r}: it has {known}"
        for name in names
        if name not in defined
    ]
    if problems:
        raise InvalidPlan(problems)
    return [one for one in scenarios if one.name in names]
