"""The words of the signaling protocol: names of events, keys of what they carry, reasons and error
codes.

Scenarios, agents and simulator name an event or a key by a constant from here, so that whoever
looks for an event finds everything that sends or takes it. An arrow says which way an event goes:
``->`` to the server, ``<-`` from it.
"""

from __future__ import annotations

__all__ = [
    "AGENT_ASSIGNED",
    "AGENT_AWAY",
    "AGENT_BACK",
    "AGENT_LOGIN",
    "AGENT_MARKED_AWAY",
    "AGENT_REASSIGNED",
    "AGENT_STATUS",
    "AGENT_UNAVAILABLE",
    "CALL_ACCEPT",
    "CALL_ACCEPTED",
    "CALL_CANCEL",
    "CALL_CANCELLED",
    "CALL_END",
    "CALL_ENDED",
    "CALL_INCOMING",
    "CALL_RECONNECT",
    "CALL_RECONNECTED",
    "CALL_RECONNECTING",
    "CALL_RECONNECT_FAILED",
    "CALL_REJECT",
    "CALL_REQUEST",
    "CALL_STARTED",
    "COBROWSE_MOUSE",
    "COBROWSE_SCROLL",
    "COBROWSE_SELECTION",
    "COBROWSE_SNAPSHOT",
    "DISCONNECT",
    "ERROR",
    "HEARTBEAT",
    "LOGIN_SUCCESS",
    "ORG_PAUSED",
    "STATS_UPDATE",
    "VISITOR_INTERACTION",
    "VISITOR_JOIN",
    "WEBRTC_SIGNAL",
    "Code",
    "Key",
    "Reason",
]

# -- visitors ------------------------------------------------------------------------------------

VISITOR_JOIN = "visitor:join"
"""-> A visitor is on a page. One of the next three events is the answer."""

AGENT_ASSIGNED = "agent:assigned"
"""<- The visitor has an agent: the answer to its join, or later when one comes."""

AGENT_UNAVAILABLE = "agent:unavailable"
"""<- The visitor has no agent: the answer to its join, or later, with a reason, the end of a call
that nobody took."""

ORG_PAUSED = "org:paused"
"""<- The organisation takes no visitors at the moment."""

AGENT_REASSIGNED = "agent:reassigned"
"""<- The visitor has another agent than before."""

VISITOR_INTERACTION = "visitor:interaction"
"""-> The visitor has done something on the page; it is not answered."""

# -- agents --------------------------------------------------------------------------------------

AGENT_LOGIN = "agent:login"
"""-> An agent comes; it is away until it says that it is back."""

LOGIN_SUCCESS = "login:success"
"""<- The answer to a login."""

AGENT_BACK = "agent:back"
"""-> The agent takes visitors and calls from now; acknowledged."""

AGENT_AWAY = "agent:away"
"""-> The agent takes none any more; acknowledged."""

AGENT_STATUS = "agent:status"
"""-> The agent sets its status, and nothing else comes of it."""

AGENT_MARKED_AWAY = "agent:marked_away"
"""<- The server has marked the agent away, with a reason."""

STATS_UPDATE = "stats:update"
"""<- How many visitors are assigned to the agent."""

HEARTBEAT = "heartbeat"
"""-> The agent is alive."""

# -- calls ---------------------------------------------------------------------------------------

CALL_REQUEST = "call:request"
"""-> A visitor asks for a call with an agent."""

CALL_INCOMING = "call:incoming"
"""<- A call rings at an agent."""

CALL_ACCEPT = "call:accept"
"""-> The agent takes the call that rings."""

CALL_REJECT = "call:reject"
"""-> The agent does not take the call that rings."""

CALL_CANCEL = "call:cancel"
"""-> The request is withdrawn, by its id."""

CALL_CANCELLED = "call:cancelled"
"""<- The call rings no more at this agent."""

CALL_ACCEPTED = "call:accepted"
"""<- The visitor's call has begun."""

CALL_STARTED = "call:started"
"""<- The agent's call has begun: the answer to its acceptance."""

CALL_END = "call:end"
"""-> Either side hangs up."""

CALL_ENDED = "call:ended"
"""<- The call is over, to both sides."""

CALL_RECONNECT = "call:reconnect"
"""-> Either side is back on a new connection, with the token of its call."""

CALL_RECONNECTING = "call:reconnecting"
"""<- The other side is still to come back."""

CALL_RECONNECTED = "call:reconnected"
"""<- Both sides are back, in a call with a new id."""

CALL_RECONNECT_FAILED = "call:reconnect_failed"
"""<- The call cannot be taken up again."""

# -- from one side of a call to the other --------------------------------------------------------

WEBRTC_SIGNAL = "webrtc:signal"
"""-> and <- An offer, an answer or a candidate for the other side."""

COBROWSE_SNAPSHOT = "cobrowse:snapshot"
"""-> and <- What a visitor in a call sees, for its agent; so the next three."""

COBROWSE_MOUSE = "cobrowse:mouse"
COBROWSE_SCROLL = "cobrowse:scroll"
COBROWSE_SELECTION = "cobrowse:selection"

# -- of every connection -------------------------------------------------------------------------

ERROR = "error"
"""<- What was sent cannot be served: a code and a message."""

DISCONNECT = "disconnect"
"""Socket.IO's own, on either side: the connection has ended."""


class Key:
    """Keys of the objects that events carry."""

    # Ids.
    VISITOR_ID = "visitorId"
    AGENT_ID = "agentId"
    ORG_ID = "orgId"
    CALL_ID = "callId"
    CALL_LOG_ID = "callLogId"
    REQUEST_ID = "requestId"
    SOCKET_ID = "socketId"
    POOL_ID = "poolId"
    USER_ID = "userId"
    PEER_ID = "peerId"
    TARGET_ID = "targetId"
    PREVIOUS_AGENT_ID = "previousAgentId"
    ID = "id"

    # A join and its answers, and reassignments.
    PAGE_URL = "pageUrl"
    AGENT = "agent"
    NEW_AGENT = "newAgent"
    PREVIOUS_AGENT_NAME = "previousAgentName"
    WIDGET_SETTINGS = "widgetSettings"
    VISITOR_CONNECTED_AT = "visitorConnectedAt"
    INTERACTION_TYPE = "interactionType"

    # A login and its answer, and what an agent is shown.
    TOKEN = "token"
    PROFILE = "profile"
    AGENT_STATE = "agentState"
    CURRENT_SIMULATIONS = "currentSimulations"
    CURRENT_CALL_VISITOR_ID = "currentCallVisitorId"
    MAX_SIMULTANEOUS_SIMULATIONS = "maxSimultaneousSimulations"
    POOL_VISITORS = "poolVisitors"

    # The profile of an agent.
    DISPLAY_NAME = "displayName"
    AVATAR_URL = "avatarUrl"
    WAVE_VIDEO_URL = "waveVideoUrl"
    INTRO_VIDEO_URL = "introVideoUrl"
    CONNECT_VIDEO_URL = "connectVideoUrl"
    LOOP_VIDEO_URL = "loopVideoUrl"

    # Calls, and the way back into one.
    REQUEST = "request"
    VISITOR = "visitor"
    CALL = "call"
    LOCATION = "location"
    RECONNECT_TOKEN = "reconnectToken"
    ROLE = "role"
    TIMEOUT_SECONDS = "timeoutSeconds"

    # Signals. What is in one is the clients' own: the agents of a pool number theirs, and say whom
    # they are from and to.
    SIGNAL = "signal"
    SIGNAL_TYPE = "type"
    SIGNAL_NUMBER = "n"
    SIGNAL_FROM = "from"
    SIGNAL_TO = "to"

    # Times, in ms since 1970 or as ISO 8601.
    TIMESTAMP = "timestamp"
    CONNECTED_AT = "connectedAt"
    LAST_ACTIVITY_AT = "lastActivityAt"
    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    REQUESTED_AT = "requestedAt"
    STARTED_AT = "startedAt"
    ENDED_AT = "endedAt"

    # Acknowledgements, errors and reasons.
    SUCCESS = "success"
    STATUS = "status"
    ERROR = "error"
    CODE = "code"
    MESSAGE = "message"
    REASON = "reason"


class Reason:
    """Values of :attr:`Key.REASON`."""

    # Of agent:unavailable and agent:reassigned.
    AGENT_AWAY = "agent_away"
    AGENT_BUSY = "agent_busy"
    AGENT_OFFLINE = "agent_offline"
    RING_TIMEOUT = "rna_timeout"

    # Of call:ended.
    VISITOR_ENDED = "visitor_ended"
    AGENT_ENDED = "agent_ended"
    MAX_DURATION = "max_duration"

    # Of agent:marked_away.
    RING_NO_ANSWER = "ring_no_answer"
    IDLE = "idle"

    # Of call:reconnect_failed.
    NO_CALL = "error"
    TIMEOUT = "timeout"
    OTHER_PARTY_DISCONNECTED = "other_party_disconnected"


class Code:
    """Values of :attr:`Key.CODE`, of the event ``error``."""

    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    AUTH_INVALID_TOKEN = "AUTH_INVALID_TOKEN"
    CALL_NOT_FOUND = "CALL_NOT_FOUND"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    RATE_LIMITED = "RATE_LIMITED"
    VISITOR_NOT_FOUND = "VISITOR_NOT_FOUND"
