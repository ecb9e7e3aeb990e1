"""Fixtures for the tests of runs."""

from __future__ import annotations

import pytest

from tests.support.manners import KINDS, Runs


@pytest.fixture(params=KINDS)
def runs(request: pytest.FixtureRequest) -> Runs:
    """Carries out runs on each kind of loop."""
    return Runs(request.param)
