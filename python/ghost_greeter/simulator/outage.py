"""An outage of the embedded simulator: it is killed, and started again a while later."""

from __future__ import annotations

import threading
import time

from ghost_greeter.simulator.embedded import EmbeddedSimulator
from ghostcore import GhostError

__all__ = ["Outage"]


class Outage:
    """Kills the embedded simulator when it is told to, and starts it again.

    :param down_s: how long it stays dead before it is started.
    :ivar simulator: set before the run begins.
    """

    def __init__(self, down_s: float = 0.0) -> None:
        self.simulator: EmbeddedSimulator | None = None
        self._wait_s = down_s
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._down_s = 0.0
        self._failure = ""

    def begin(self) -> None:
        """Kill it now; returns before it has ended. Not a second time while it is down."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="outage", daemon=True)
            self._thread.start()

    def end(self) -> str:
        """Wait until the simulator is back; returns a sentence about the outage, "" without one."""
        if self._thread is None:
            return ""
        self._over.set()  # nobody waits for it any more
        self._thread.join()
        if self._failure:
            return f"the simulator was killed and did not come back: {self._failure}"
        return f"the simulator was down for {self._down_s:.2f} s, from the kill until it listened"

    def _run(self) -> None:
        assert self.simulator is not None
        began_s = time.monotonic()
        try:
            self.simulator.crash()
            self._over.wait(self._wait_s)
            self.simulator.restart()
        except (GhostError, OSError) as error:
            self._failure = str(error)
        self._down_s = time.monotonic() - began_s
