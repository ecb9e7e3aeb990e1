"""Metrics of calls: what a visitor sees of its own, and what both ends of it see together."""

from __future__ import annotations

from ghost_greeter import events
from ghost_greeter.metrics.subject import Subject
from ghostcore import Counter, Rate, Trend

__all__ = [
    "ACCEPTED",
    "ACCEPT_TIME",
    "ACCEPT_TO_ACCEPTED",
    "BOTH_ENDS",
    "CALL",
    "CANCELLED",
    "CUT_SHORT",
    "DISCONNECTED",
    "ENDED",
    "ENDED_EARLY",
    "EVENTS_DUPLICATED",
    "EVENTS_LOST",
    "EVENTS_MISDELIVERED",
    "LOST",
    "NO_AGENT",
    "QUEUED",
    "RATE_LIMITED",
    "REFUSED",
    "REJECTED",
    "REQUESTED",
    "REQUEST_TIME",
    "REQUEST_TO_INCOMING",
    "REROUTED",
    "SIGNALS_DUPLICATED",
    "SIGNALS_LOST",
    "SIGNALS_MISDELIVERED",
    "SIGNALS_RECEIVED",
    "SIGNALS_SENT",
    "SIGNAL_ROUND_TRIP",
    "SIGNAL_TIME",
    "SUCCESS_RATE",
    "TIMED_OUT",
]

CALL = Subject()
"""As the visitor sees it."""

REQUESTED = CALL.add(Counter("calls_requested"), "calls that visitors asked for")
ACCEPTED = CALL.add(Counter("calls_accepted"), "calls that an agent accepted")
REJECTED = CALL.add(
    Counter("calls_rejected"), "calls that agents rejected, nobody else being there"
)
TIMED_OUT = CALL.add(Counter("calls_timed_out"), "calls that rang until the server gave up")
CANCELLED = CALL.add(
    Counter("calls_cancelled"),
    "the visitor was told that its agent had gone, and nothing else until the deadline",
)
LOST = CALL.add(
    Counter("calls_lost"), "nothing at all until the deadline; tag came_to says how far it came"
)
RATE_LIMITED = CALL.add(Counter("calls_rate_limited"), "calls refused by the server's rate limit")
NO_AGENT = CALL.add(Counter("calls_no_agent"), "calls refused since there is no such agent")
REFUSED = CALL.add(
    Counter("calls_refused"), "calls answered with another error; tag code says which"
)
DISCONNECTED = CALL.add(
    Counter("calls_disconnected"), "the connection was lost while the visitor waited"
)
CUT_SHORT = CALL.add(
    Counter("calls_cut_short"), "the run ended while the visitor waited: there was no outcome"
)
REROUTED = CALL.add(
    Counter("calls_rerouted"), "calls accepted by another agent than the one asked for"
)
ENDED = CALL.add(Counter("calls_ended"), "calls that the visitor ended, and that were confirmed")
ENDED_EARLY = CALL.add(
    Counter("calls_ended_early"), "calls that the other side ended; tag reason says why"
)
ACCEPT_TIME = CALL.add(
    Trend("call_accept_time", unit="ms"), "request to acceptance, of calls accepted"
)
SUCCESS_RATE = CALL.add(Rate("call_success_rate"), "calls accepted, of those that had an outcome")
REQUEST_TIME = CALL.add(
    Trend("call_request_time", unit="ms"), "request to its outcome; without one it is infinite"
)

BOTH_ENDS = Subject()
"""As the visitor and an agent of the same run see it together."""

REQUEST_TO_INCOMING = BOTH_ENDS.add(
    Trend("call_request_to_incoming_time", unit="ms"),
    f"one way: {events.CALL_REQUEST} sent by the visitor to {events.CALL_INCOMING} at the first "
    "agent that rings",
)
ACCEPT_TO_ACCEPTED = BOTH_ENDS.add(
    Trend("call_accept_to_accepted_time", unit="ms"),
    f"one way: {events.CALL_ACCEPT} sent by the agent to {events.CALL_ACCEPTED} at the visitor",
)
SIGNAL_TIME = BOTH_ENDS.add(
    Trend("webrtc_signal_time", unit="ms"),
    f"one way: {events.WEBRTC_SIGNAL} from either side to the other",
)
SIGNAL_ROUND_TRIP = BOTH_ENDS.add(
    Trend("webrtc_signal_round_trip_time", unit="ms"),
    f"a visitor's {events.WEBRTC_SIGNAL} to the signal with which the agent answers it",
)
SIGNALS_SENT = BOTH_ENDS.add(Counter("webrtc_signals_sent"), "signals that either side sent")
SIGNALS_RECEIVED = BOTH_ENDS.add(
    Counter("webrtc_signals_received"), "signals that reached the other side"
)
SIGNALS_LOST = BOTH_ENDS.add(
    Counter("webrtc_signals_lost"), "signals that had not by the end of the call"
)
SIGNALS_DUPLICATED = BOTH_ENDS.add(
    Counter("webrtc_signals_duplicated"), "signals that came once more"
)
SIGNALS_MISDELIVERED = BOTH_ENDS.add(
    Counter("webrtc_signals_misdelivered"), "signals that were for somebody else, or never sent"
)
EVENTS_LOST = BOTH_ENDS.add(
    Counter("call_events_lost"), "answers about a call that did not come; tag event says which"
)
EVENTS_DUPLICATED = BOTH_ENDS.add(
    Counter("call_events_duplicated"), "events of a call that came once more; tag event"
)
EVENTS_MISDELIVERED = BOTH_ENDS.add(
    Counter("call_events_misdelivered"), "events of somebody else's call; tag event"
)
QUEUED = BOTH_ENDS.add(
    Counter("calls_queued"),
    "calls that waited for an agent who was busy or away: the visitor is told nothing of it",
)
