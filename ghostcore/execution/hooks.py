"""Set-up and teardown as they are planned: functions of the script, checked before they are run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ghostcore._units import parse_duration
from ghostcore.errors import UsageError

__all__ = ["HOOK_TIMEOUT_S", "Hook", "HookFunction", "make_hook"]

HOOK_TIMEOUT_S = 60.0
"""As in k6."""

HookFunction = Callable[..., Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Hook:
    """A coroutine function that runs once, before or after the load.

    :ivar takes: how many of the arguments that it is offered it takes.
    """

    name: str
    function: HookFunction
    takes: int
    timeout_s: float

    def call(self, *offered: Any) -> Coroutine[Any, Any, Any]:
        """The coroutine, given as much of what is offered as the function takes."""
        return self.function(*offered[: self.takes])


def make_hook(
    name: str,
    function: object,
    offered: tuple[str, ...],
    timeout: object,
    problems: list[str],
) -> Hook | None:
    """Check a function that a user gave.

    :param offered: the names of the arguments that it may take, in their order.
    :param problems: takes what is wrong.
    :returns: None where there is no function, or something is wrong.
    """
    timeout_s = 0.0
    try:
        timeout_s = parse_duration(timeout, f"{name}_timeout")
        if timeout_s <= 0:
            raise UsageError(f"{name}_timeout must be more than 0, but is {timeout!r}")
    except UsageError as error:
        problems.append(str(error))
    if function is None:
        return None
    form = f"async def {name}({', '.join(offered)})"
    if not inspect.iscoroutinefunction(function):
        problems.append(f"{name} must be a coroutine function, '{form}', not {function!r:.100}")
        return None
    signature = inspect.signature(function)
    for takes in range(len(offered), -1, -1):
        try:
            signature.bind(*offered[:takes])
        except TypeError:
            continue
        return Hook(name, function, takes, timeout_s)
    problems.append(f"{name}{signature} takes more than it is given: expected '{form}', or less")
    return None
