"""The built-in metrics. Names and meanings follow k6 where k6 has the metric."""

from __future__ import annotations

from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend

__all__ = ["BUILTINS", "DESCRIPTIONS", "KNOWN_WITH", "MEASURED_BY_THE_KERNEL"]

_TABLE: tuple[tuple[Declaration, str], ...] = (
    # users and iterations
    (Gauge("vus", additive=True), "users that are running an iteration"),
    (Gauge("vus_max", additive=True), "users that exist, running or not"),
    (Counter("iterations_started"), "iterations that began"),
    (Counter("iterations"), "iterations that came to their end, by a return or by an error"),
    (Trend("iteration_duration"), "start to end of an iteration, sleeps included"),
    (Trend("iteration_lateness"), "due time to start of an iteration"),
    (Trend("iteration_response_time"), "due time to end of an iteration, or of a dropped start"),
    (Counter("iterations_failed"), "iterations that an error of the server's ended"),
    (Counter("iterations_interrupted"), "iterations that the end of the run or of a stage cut off"),
    (Counter("dropped_iterations"), "starts that were due and not made"),
    (Rate("checks"), "checks that held"),
    (Counter("script_errors"), "iterations that ended with an error that is not the server's"),
    (Counter("data_exhausted"), "starts for which a feeder of unique rows had none left"),
    # traffic
    (
        Counter("data_sent", unit="bytes"),
        "bytes of the WebSocket frames sent; not those of the upgrade and of TLS",
    ),
    (
        Counter("data_received", unit="bytes"),
        "bytes of the WebSocket frames received; not those of the upgrade and of TLS",
    ),
    # sessions
    (Counter("ws_sessions"), "connections attempted"),
    (Counter("ws_sessions_opened"), "connections that were upgraded to WebSocket"),
    (Trend("ws_connecting"), "dial to the answer 101; a failed attempt is infinite"),
    (Trend("ws_session_duration"), "dial to the end of a session that was opened"),
    (Counter("ws_msgs_sent"), "data messages sent, those of Engine.IO included"),
    (Counter("ws_msgs_received"), "data messages received, those of Engine.IO included"),
    (Counter("ws_msgs_missed"), "messages of every() that were due while the socket was full"),
    (Trend("ws_ping"), "ping that the script sent to its pong (RFC 6455, not Engine.IO)"),
    (Counter("ws_errors"), "errors of the server or the network; tag kind says which"),
    (Counter("events_discarded"), "Socket.IO events that no one waited for"),
    # phases of opening a session
    (Trend("ws_dns"), "name resolution"),
    (Trend("ws_tcp"), "TCP connect"),
    (Trend("ws_tls"), "TLS handshake"),
    (Trend("ws_upgrade"), "upgrade request to the answer 101"),
    (Trend("engineio_open"), "the answer 101 to the Engine.IO open packet"),
    (Trend("socketio_connect"), "Socket.IO connect packet to its answer"),
    # the network's part, as the kernel saw it
    (Trend("tcp_rtt"), "smoothed TCP round trip at the end of a connection; up to 100 a second"),
    (Counter("tcp_retransmits", unit="segments"), "retransmitted by the same connections"),
)

BUILTINS: dict[str, Declaration] = {metric.name: metric for metric, _ in _TABLE}
"""The built-in metrics by name."""

DESCRIPTIONS: dict[str, str] = {metric.name: text for metric, text in _TABLE}
"""What each built-in metric measures, in one line."""

MEASURED_BY_THE_KERNEL = frozenset(("tcp_rtt",))
"""Durations that a late event loop does not change."""

KNOWN_WITH = {
    "iterations_failed": "iterations_started",
    "iterations_interrupted": "iterations_started",
    "dropped_iterations": "iterations_started",
    "script_errors": "iterations_started",
    "data_exhausted": "iterations_started",
    "events_discarded": "ws_sessions",
}
"""Counters of faults, each with a counter of attempts: once there was an attempt, the absence of a
fault is a measured 0. Before that it says nothing."""
