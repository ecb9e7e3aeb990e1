"""What is recorded of each session of a scenario, in one call for all its figures."""

from libc.stdint cimport int64_t

from ghostcore.sessions.session cimport Session
from ghostcore.metrics.recorders cimport CounterRecorder, TrendRecorder


cdef class SessionCounters:
    """Where the figures of attempts to open a session go.

    :param attempts, errors, opened: counters.
    :param tcp, upgrade, connecting: times.
    """

    def __init__(self, CounterRecorder attempts not None, CounterRecorder errors not None,
                 CounterRecorder opened not None, TrendRecorder tcp not None,
                 TrendRecorder upgrade not None, TrendRecorder connecting not None):
        self._attempts = attempts
        self._errors = errors
        self._opened = opened
        self._tcp = tcp
        self._upgrade = upgrade
        self._connecting = connecting

    def dialing(self) -> None:
        """A session is about to be opened."""
        self._attempts.add(1)
        # From the first attempt on, "no errors" is something known, not something unmeasured.
        self._errors.add(0)

    def opened(self, Session session not None, int64_t tcp_ns) -> None:
        """The 101 of a session arrived; `tcp_ns` is what the TCP connection took."""
        self._opened.add(1)
        self._tcp.record_ns(tcp_ns)
        self._upgrade.record_ns(session.opened_ns - session._upgrading_ns)
        self._connecting.record_ns(session.opened_ns - session.dialed_ns)
