"""What a simulated server is: its mode, its replicas, the database behind it, its HTTP side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.timings import Timings
from ghostcore import UsageError

__all__ = [
    "DEFAULT_ORIGINS",
    "MAX_PAYLOAD_BYTES",
    "MAX_REQUESTS",
    "Database",
    "HttpSetup",
    "Mode",
    "Setup",
]

Mode = Literal["memory", "redis"]

DEFAULT_ORIGINS = ("http://localhost:3000", "http://localhost:5173")
MAX_REQUESTS = 100
MAX_PAYLOAD_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Database:
    """The database that a server may have behind it; without one there are no reconnect tokens.

    :ivar paused_orgs: organisations whose visitors are told that it is paused.
    :ivar blocked_orgs: organisations that block the country of every visitor: these are kicked.
    :ivar agent_tokens: who may log in: token to agent id, "*" for any agent. None: everybody may.
    :ivar ring_s: ring-no-answer time, in-memory mode only. None: the server's own.
    :ivar max_call_s: longest call, in-memory mode only. None: the server's own.
    :ivar insert_s: how long it takes to write a call down: accepted before that it has no token.
    """

    paused_orgs: frozenset[str] = frozenset()
    blocked_orgs: frozenset[str] = frozenset()
    agent_tokens: Mapping[str, str] | None = None
    ring_s: float | None = None
    max_call_s: float | None = None
    insert_s: float = 0.003

    def __post_init__(self) -> None:
        for name, value in (("ring_s", self.ring_s), ("max_call_s", self.max_call_s)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{name} is {value}: expected more than 0 seconds")


@dataclass(frozen=True, slots=True)
class HttpSetup:
    """What a server answers over HTTP, and to whom.

    :ivar metrics_key: key that GET /metrics asks for (METRICS_API_KEY of the real server).
    :ivar production: behave as with NODE_ENV=production: /metrics is closed without a key, every
        origin may read answers.
    :ivar origins: whose pages may read answers (ALLOWED_ORIGINS); None: everybody's.
    :ivar limit: requests to unknown paths below /api that an address has a minute; 0: any number.
    :ivar control: answer ``/_simulator``, see :mod:`~ghost_greeter.simulator.http.control`.
    """

    metrics_key: str | None = field(default=None, repr=False)
    production: bool = False
    origins: tuple[str, ...] | None = DEFAULT_ORIGINS
    limit: int = MAX_REQUESTS
    control: bool = False

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UsageError(f"http_limit is {self.limit}: expected 0 (no limit) or more")


@dataclass(frozen=True, slots=True)
class Setup:
    """A simulated server.

    :ivar mode: where the state lives: "memory", or "redis" with all that this changes.
    :ivar replicas: processes over one state; more than one needs "redis".
    :ivar timings: every time of the protocol.
    :ivar database: None: none, as on a developer's machine.
    :ivar agents: built-in agents, taking up to 25 visitors each.
    :ivar behaviour: how built-in agents answer calls.
    :ivar http: what it answers over HTTP.
    :ivar max_payload: the longest message that it takes, in bytes.
    """

    mode: Mode = "memory"
    replicas: int = 1
    timings: Timings = field(default_factory=Timings)
    database: Database | None = None
    agents: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    http: HttpSetup = field(default_factory=HttpSetup)
    max_payload: int = MAX_PAYLOAD_BYTES

    def __post_init__(self) -> None:
        if self.agents < 0:
            raise UsageError(f"agents is {self.agents}: expected 0 or more")
        if self.mode not in ("memory", "redis"):
            raise UsageError(f"mode is {self.mode!r}: expected 'memory' or 'redis'")
        if not 1 <= self.replicas <= 64:
            raise UsageError(f"replicas is {self.replicas}: expected 1 to 64")
        if self.replicas > 1 and self.mode == "memory":
            raise UsageError(
                f"{self.replicas} replicas in memory mode would be as many separate servers: "
                "replicas share their state in mode 'redis'"
            )

    @property
    def redis(self) -> bool:
        """Is the state in Redis?"""
        return self.mode == "redis"
