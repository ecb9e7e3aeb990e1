"""Every time of the protocol in one place, so that a test can have a ring of 15 s in a second."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ghostcore import UsageError

__all__ = ["Timings"]


@dataclass(frozen=True, slots=True)
class Timings:
    """Times of the real server, in seconds.

    :ivar ping_interval_s: from the open packet, and from each pong, to the next ping.
    :ivar ping_timeout_s: how long a pong may take.
    :ivar connect_timeout_s: within which a connection must enter its namespace.
    :ivar ring_s: ring-no-answer: how long a call rings.
    :ivar ring_grace_s: and how long it is waited on top of that.
    :ivar ring_poll_s: Redis mode: how often calls are looked through that rang too long.
    :ivar ring_ttl_s: Redis mode: how long the record of a ring is kept: a replica that looks later
        does not find it.
    :ivar queue_s: from the end of an agent's call to the ring of the next one in its queue.
    :ivar agent_grace_s: that an agent has to come back before it is unregistered.
    :ivar stale_after_s: without a heartbeat an idle agent is marked away after this,
    :ivar stale_poll_s: at the next of these checks.
    :ivar max_call_s: longest call, where there is no database to say otherwise.
    :ivar rate_window_s: window of the limits of events and of HTTP requests.
    :ivar pending_ttl_s: Redis mode: how long a call request is kept.
    :ivar reconnect_s: that the other side of a call has to come back, too.
    :ivar scale: what all of them were multiplied by.
    """

    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    connect_timeout_s: float = 45.0
    ring_s: float = 15.0
    ring_grace_s: float = 0.1
    ring_poll_s: float = 5.0
    ring_ttl_s: float = 35.0
    queue_s: float = 1.0
    agent_grace_s: float = 10.0
    stale_after_s: float = 120.0
    stale_poll_s: float = 60.0
    max_call_s: float = 7200.0
    rate_window_s: float = 60.0
    pending_ttl_s: float = 300.0
    reconnect_s: float = 30.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise UsageError(f"{field.name} is {value}: expected more than 0 seconds")

    def scaled(self, factor: float) -> Timings:
        """Every time multiplied by `factor`: 0.1 makes all of it ten times faster."""
        if not 0 < factor < float("inf"):
            raise UsageError(f"time scale is {factor}: expected more than 0 (0.1: 10 times faster)")
        return replace(self, **{one.name: getattr(self, one.name) * factor for one in fields(self)})
