"""The garbage collector during a run: no full collection in the middle of a measurement."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["quiet_collector"]

# Young objects are looked at after 50,000 more were made than freed, not 700: to connect 19,000
# users would otherwise start hundreds of collections that find nothing. The oldest generation
# holds every user there is, and to go through it stops the loop for as long as a slow request
# takes; it is left alone for 100 million allocations.
THRESHOLDS = (50_000, 20, 100)


_lock = threading.Lock()
_runs = 0
_restore: Callable[[], None] = gc.enable


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Collect now, take what exists out of the collector's sight, and tune it for the block.

    Everything is restored at the end, a collector that was off stays off, and objects that somebody
    else had frozen stay frozen. The collector is the process's: of runs that overlap the first
    tunes it and the last restores it.
    """
    global _runs, _restore  # noqa: PLW0603
    with _lock:
        if _runs == 0:
            _restore = _tune()
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if _runs == 0:
                _restore()


def _tune() -> Callable[[], None]:
    """Returns what undoes it."""
    before = gc.get_threshold()
    gc.collect()
    freezes = not _frozen_by_others()
    if freezes:
        gc.freeze()
    gc.set_threshold(*THRESHOLDS)

    def restore() -> None:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()

    return restore


def _frozen_by_others() -> bool:
    """Whether somebody called ``gc.freeze()``. The count alone does not say so: from Python 3.12
    on, every collection sets the immortal objects aside in the same place."""
    if gc.get_freeze_count() == 0:
        return False
    oldest = sys.modules  # whoever freezes anything freezes it as well
    return all(seen is not oldest for seen in gc.get_objects())
