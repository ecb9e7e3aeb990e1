"""Runs and coroutines carried out to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

import ghostcore
from ghostcore import Result, Scenario
from ghostcore.testing.fakeclock import run_fake

ResultT = TypeVar("ResultT")

LOOPS = ["uvloop", "asyncio"]
"""The kinds of loops that the engine works on."""


def run_on(kind: str, main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of a coroutine on a loop of that kind, one of LOOPS."""
    return uvloop.run(main) if kind == "uvloop" else asyncio.run(main)


def run_it(*scenarios: Scenario, **options: Any) -> Result:
    """The result of a run whose seconds take no time, by default with seed 1."""
    options.setdefault("seed", 1)
    return run_fake(lambda: ghostcore.run_async(*scenarios, **options))
