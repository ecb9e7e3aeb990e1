"""The listeners of a run: one that fails keeps nothing from the others."""

from __future__ import annotations

from collections.abc import Sequence

from ghostcore.execution.plan import Plan
from ghostcore.execution.progress import Progress, RunListener
from ghostcore.results.result import Result

__all__ = ["Listeners", "listeners_of"]


def listeners_of(given: RunListener | Sequence[RunListener] | None) -> tuple[RunListener, ...]:
    """One listener, several or none, as a tuple."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Sequence) else (given,)


class Listeners:
    """Tells the listeners of a run, in the order in which they were given.

    :ivar error: the first error of a listener, with those of others as notes; None without one.
    """

    def __init__(self, listeners: Sequence[RunListener] = ()) -> None:
        self._following = list(listeners)
        self.error: Exception | None = None

    @property
    def any_follows(self) -> bool:
        """Is there a listener that has not failed?"""
        return bool(self._following)

    def started(self, plan: Plan) -> None:
        """The plan is valid.

        :raises Exception: what a listener raises: nothing was begun, so that there is no run.
        """
        for listener in self._following:
            listener.started(plan)

    def progressed(self, progress: Progress) -> None:
        """Another second is over. A listener that fails is told nothing more; see ``error``."""
        following = []
        for listener in self._following:
            try:
                listener.progressed(progress)
            except Exception as error:
                self._keep(error)
            else:
                following.append(listener)
        self._following = following

    def finished(self, result: Result) -> None:
        """The run has ended and was judged.

        :raises Exception: what listeners raised, once all were told.
        """
        for listener in self._following:
            try:
                listener.finished(result)
            except Exception as error:
                self._keep(error)
        if self.error is not None:
            raise self.error

    def _keep(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        else:
            self.error.add_note(f"another listener failed as well: {error!r}")
