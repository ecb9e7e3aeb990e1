"""The state machine bound to a Socket.IO server: sockets in, sockets out, one timer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ghost_greeter.simulator.clock import Clock
from ghost_greeter.simulator.endpoints import Endpoints
from ghost_greeter.simulator.model import Emit
from ghost_greeter.simulator.state import AGENT_GRACE_S, GreeterState
from ghostcore.testing import SocketIOClient, SocketIOServer

__all__ = ["Simulator"]


class Simulator:
    """The signaling server on the running event loop.

    ::

        async with Simulator(agents=4) as simulator:
            ...  # simulator.url

    :param agents: built-in agents, idle, taking up to 25 visitors each.
    :param metrics_key: key that GET /metrics asks for (METRICS_API_KEY of the real server).
    :param production: behave as with NODE_ENV=production: /metrics is closed without a key.
    :param grace_s: seconds that a disconnected agent has to come back.
    :param clock: the state's clock. Delays run on the event loop whatever it says.
    :param ping_interval: see :class:`ghostcore.testing.SocketIOServer`, as the others.
    :ivar sockets: the Socket.IO server.
    :ivar state: agents and visitors.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        agents: int = 0,
        metrics_key: str | None = None,
        production: bool = False,
        grace_s: float = AGENT_GRACE_S,
        clock: Clock | None = None,
        ping_interval: float = 25.0,
        ping_timeout: float = 20.0,
        max_payload: int = 1_000_000,
        connect_timeout: float = 45.0,
    ) -> None:
        self._clock = clock or Clock()
        self.state = GreeterState(self._clock, agents=agents, grace_s=grace_s)
        self.sockets = SocketIOServer(
            host,
            port,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_payload=max_payload,
            connect_timeout=connect_timeout,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = float("inf")
        sockets = self.sockets
        sockets.on("visitor:join", self._on_visitor_join)
        sockets.on("agent:login", self._on_agent_login)
        sockets.on("agent:back", self._on_agent_back)
        sockets.on("agent:away", self._on_agent_away)
        sockets.on("agent:status", self._on_agent_status)
        sockets.on("heartbeat", self._on_heartbeat)
        sockets.on_disconnect(self._on_disconnect)
        Endpoints(self.state, sockets, self._clock, metrics_key, production).register()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.sockets.port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return self.sockets.url.replace("ws://", "http://", 1)

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        await self.sockets.start()

    async def stop(self) -> None:
        """Close every connection (clients see 1005) and stop listening."""
        await self.sockets.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # -- events: a missing payload is JavaScript's undefined, further arguments are ignored -------

    def _on_visitor_join(
        self, client: SocketIOClient, payload: object = None, *_rest: object
    ) -> None:
        self._send(self.state.visitor_join(client.sid, payload))

    def _on_agent_login(
        self, client: SocketIOClient, payload: object = None, *_rest: object
    ) -> None:
        self._send(self.state.agent_login(client.sid, payload))

    def _on_agent_back(self, client: SocketIOClient, *args: object) -> None:
        # The real handler takes its first argument for the acknowledgement: called with a payload
        # it sets the status, then fails before it answers or serves anybody.
        if args and args[0]:
            self.state.agent_status(client.sid, {"status": "idle"})
            return
        ack, emits = self.state.agent_back(client.sid)
        if not args:
            client.ack(ack)
        self._send(emits)

    def _on_agent_away(self, client: SocketIOClient, *args: object) -> None:
        ack, emits = self.state.agent_away(client.sid)
        if args:  # without a payload the real handler takes the acknowledgement for one
            client.ack(ack)
        self._send(emits)

    def _on_agent_status(
        self, client: SocketIOClient, payload: object = None, *_rest: object
    ) -> None:
        self.state.agent_status(client.sid, payload)

    def _on_heartbeat(self, client: SocketIOClient, *_rest: object) -> None:
        self.state.heartbeat(client.sid)

    def _on_disconnect(self, client: SocketIOClient, _reason: str) -> None:
        self._send(self.state.left(client.sid))

    # -- out -------------------------------------------------------------------------------------

    def _send(self, emits: list[Emit]) -> None:
        for socket_id, event, payload in emits:
            client = self.sockets.client(socket_id)
            if client is not None:
                client.emit(event, payload)
        due_s = self.state.next_due_s
        if due_s is not None and due_s != self._timer_due_s:
            self._arm(due_s)

    def _arm(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_s = due_s
        # uvloop's timers may fire 1.4 ms early.
        delay_s = max(0.0, due_s - self._clock.now_s()) + 0.002
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_due_s = None, float("inf")
        self._send(self.state.advance())
