from ghostcore.metrics.recorders import CounterRecorder, TrendRecorder
from ghostcore.sessions.session import Session

class SessionCounters:
    """Where the figures of attempts to open a session go.

    :param attempts, errors, opened: counters.
    :param tcp, upgrade, connecting: times.
    """

    def __init__(
        self,
        attempts: CounterRecorder,
        errors: CounterRecorder,
        opened: CounterRecorder,
        tcp: TrendRecorder,
        upgrade: TrendRecorder,
        connecting: TrendRecorder,
    ) -> None: ...
    def dialing(self) -> None:
        """A session is about to be opened."""
    def opened(self, session: Session, tcp_ns: int) -> None:
        """The 101 of a session arrived; `tcp_ns` is what the TCP connection took."""
