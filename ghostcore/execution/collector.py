"""The garbage collector during a run: no full collection in the middle of a measurement."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_collector"]

# Young objects are looked at after 50,000 more were made than freed, not 700: to connect 19,000
# users would otherwise start hundreds of collections that find nothing. The oldest generation
# holds every user there is, and to go through it stops the loop for as long as a slow request
# takes; it is left alone for 100 million allocations.
THRESHOLDS = (50_000, 20, 100)


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Collect now, take what exists out of the collector's sight, and tune it for the block.

    Everything is restored at the end, a collector that was off stays off, and objects that somebody
    else had frozen stay frozen.
    """
    before = gc.get_threshold()
    gc.collect()
    freezes = gc.get_freeze_count() == 0
    if freezes:
        gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()
