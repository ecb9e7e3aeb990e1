"""Fixtures for every test."""

from __future__ import annotations

import gc
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import none

from ghostcore.testing.leaks import assert_no_leaks
from tests.support.running import LOOPS, run_on

# A busy machine is no failure, and the same tree has the same result everywhere. To look for new
# examples: --hypothesis-profile=search.
settings.register_profile("search", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Put what all tests share out of the collector's sight: those that look for leaks collect
    twice each, and went through a million objects of the other tests every time."""
    # Hypothesis asks the collector once who holds its random numbers: before it cannot see that.
    given(none())(lambda _: None)()
    gc.collect()
    gc.freeze()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """The test leaves no session, operation or descriptor behind, and no loop complains."""
    with assert_no_leaks():
        yield


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine to its end on each kind of loop."""

    def execute(main: Coroutine[Any, Any, Any]) -> Any:
        return run_on(request.param, main)

    return execute
