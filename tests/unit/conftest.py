"""Fixtures of the unit tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine to its end on each kind of loop."""

    def execute(main: Coroutine[Any, Any, Any]) -> Any:
        return uvloop.run(main) if request.param == "uvloop" else asyncio.run(main)

    return execute
