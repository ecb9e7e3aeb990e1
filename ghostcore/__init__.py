"""ghostcore: a load-testing engine for WebSocket and Socket.IO servers.

Everything public is here, in ``ghostcore.testing`` (servers and asserts for tests), in
``ghostcore.report`` (ways to show a result) and in ``ghostcore.cli`` (its command line, for others
to build on). All other modules are private.
"""

from ghostcore.errors import (
    ClosedByPeer,
    ConnectFailed,
    DataExhausted,
    EngineError,
    ErrorReply,
    GhostError,
    HandshakeRejected,
    InvalidPlan,
    ProtocolViolation,
    ScriptAborted,
    TargetError,
    Timeout,
    UsageError,
)
from ghostcore.execution.progress import Progress, RunListener
from ghostcore.execution.runner import run, run_async
from ghostcore.execution.running import Running, start
from ghostcore.load import (
    ConstantArrivalRate,
    ConstantVUs,
    ExternallyControlled,
    PerVUIterations,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
)
from ghostcore.load.control import RunControl
from ghostcore.metrics import Counter, Gauge, Rate, Threshold, ThresholdResult, Trend
from ghostcore.opening.connect import connect, socketio
from ghostcore.protocol.codec import Message
from ghostcore.protocol.socketio_codec import Event
from ghostcore.results.record import WarmUp
from ghostcore.results.result import Result
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.users.feeder import Feeder, feeder
from ghostcore.users.scenario import Scenario, scenario
from ghostcore.users.vu import VU

__version__ = "0.1.0"

__all__ = [
    "VU",
    "ClosedByPeer",
    "ConnectFailed",
    "ConstantArrivalRate",
    "ConstantVUs",
    "Counter",
    "DataExhausted",
    "EngineError",
    "ErrorReply",
    "Event",
    "ExternallyControlled",
    "Feeder",
    "Gauge",
    "GhostError",
    "HandshakeRejected",
    "InvalidPlan",
    "Message",
    "PerVUIterations",
    "Progress",
    "ProtocolViolation",
    "RampingArrivalRate",
    "RampingVUs",
    "Rate",
    "Result",
    "RunControl",
    "RunListener",
    "Running",
    "Scenario",
    "ScriptAborted",
    "SharedIterations",
    "SocketIOSession",
    "TargetError",
    "Threshold",
    "ThresholdResult",
    "Timeout",
    "Trend",
    "UsageError",
    "WarmUp",
    "WebSocketSession",
    "__version__",
    "connect",
    "feeder",
    "run",
    "run_async",
    "scenario",
    "socketio",
    "start",
]
