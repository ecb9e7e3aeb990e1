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


KEPT: list[object] = [[]]
"""What is there before a run and lives on after it."""


def frozen() -> bool:
    """Whether it is out of the collector's sight. The count of what is frozen would not say so: a
    collection of Python 3.12 counts immortal objects too, whoever freezes."""
    return all(seen is not KEPT for seen in gc.get_objects())


def test_it_is_tuned_inside_and_restored_after() -> None:
    before = gc.get_threshold()
    assert not frozen()
    with quiet_collector():
        assert gc.get_threshold() == THRESHOLDS
        assert frozen()
    assert gc.get_threshold() == before
    assert not frozen()


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        with quiet_collector():
            assert frozen()
        assert frozen()
    finally:
        gc.unfreeze()


def test_what_came_after_somebody_elses_freeze_stays_in_sight() -> None:
    gc.freeze()
    try:
        late: list[object] = []
        with quiet_collector():
            assert any(seen is late for seen in gc.get_objects())
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
    assert frozen()
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
    assert not frozen()
