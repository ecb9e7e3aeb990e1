"""The collector is tuned for a run and is as it was afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ghostcore.execution.collector import THRESHOLDS, quiet_collector


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    """As in a program of its own: the test run has frozen what tests share."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_it_is_tuned_inside_and_restored_after() -> None:
    before = gc.get_threshold()
    with quiet_collector():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with quiet_collector():
            pass
        # A few of them may have gone meanwhile, of themselves.
        assert gc.get_freeze_count() > frozen // 2
    finally:
        gc.unfreeze()


def test_it_is_restored_when_the_block_fails() -> None:
    before = gc.get_threshold()
    try:
        with quiet_collector():
            raise RuntimeError
    except RuntimeError:
        pass
    assert gc.get_threshold() == before


def test_of_runs_that_overlap_the_last_one_restores_it() -> None:
    before = gc.get_threshold()
    first, second = quiet_collector(), quiet_collector()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() > 0
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
