"""The state machine bound to Socket.IO servers: sockets in, sockets out, one timer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from ghost_greeter.simulator.http.control import Control
from ghost_greeter.simulator.http.endpoints import Endpoints
from ghost_greeter.simulator.http.express import Express
from ghost_greeter.simulator.http.process import Process
from ghost_greeter.simulator.machine.core import Core, Effect, Send
from ghost_greeter.simulator.machine.machine import Machine
from ghost_greeter.simulator.setup.clock import Clock
from ghost_greeter.simulator.setup.faults import Faults
from ghost_greeter.simulator.setup.setup import Setup
from ghostcore import UsageError
from ghostcore.testing import HttpRequest, HttpResponse, Refusal, SocketIOClient, SocketIOServer

__all__ = ["Simulator"]

LOG = logging.getLogger("ghost_greeter.simulator")

KICK_CLOSE_S = 0.003  # from the disconnect packet to the end of the connection
_NEVER = float("inf")


class Simulator:
    """The signaling server on the running event loop, with all its replicas.

    ::

        async with Simulator(Setup(agents=4)) as simulator:
            ...  # simulator.url

    :param setup: what kind of server it is; in-memory mode without agents unless given.
    :param port: of the first replica; the others take those that follow, or free ones if it is 0.
    :param faults: what goes wrong; can be changed at any time.
    :param clock: what all times are read from. One that does not run by itself needs
        :meth:`advance`.
    :param seed: what makes ids and chances the same every time.
    :ivar servers: the Socket.IO servers, one for each replica.
    :ivar machine: the state machine.
    :ivar random: where its chances come from.
    :ivar on_crash: what ``POST /_simulator/crash`` does; crash() at first.
    """

    def __init__(
        self,
        setup: Setup | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self._setup = setup = setup or Setup()
        self.clock = clock or Clock()
        self.faults = faults or Faults()
        self.random = random.Random(seed)
        self.machine = self._new_machine()
        self.on_crash: Callable[[], object] = self.crash_soon
        if port and port + setup.replicas > 65536:
            raise UsageError(
                f"{setup.replicas} replicas from port {port} would need ports over 65535"
            )
        timings = setup.timings
        self.servers = [
            SocketIOServer(
                host,
                port + number if port else 0,
                ping_interval=timings.ping_interval_s,
                ping_timeout=timings.ping_timeout_s,
                max_payload=setup.max_payload,
                connect_timeout=timings.connect_timeout_s,
                polling=True,
                clock=self.clock.now_s,
            )
            for number in range(setup.replicas)
        ]
        self._clients: dict[str, SocketIOClient] = {}
        self._breaks: dict[str, asyncio.TimerHandle] = {}  # of connections with a lifetime
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = _NEVER
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: set[int] = set()  # replicas
        self._ended: set[int] = set()  # those that have run and do no more
        self._parts: list[tuple[Express, Process]] = []  # of each replica
        for node, server in enumerate(self.servers):
            for event in self.machine.events:
                server.on(event, partial(self._on_event, node, event))
            server.on_connect(partial(self._on_connect, node))
            server.on_disconnect(partial(self._on_disconnect, node))
            server.on_opening(partial(self._judge, server))
            express = Express(server, self.clock, setup.http, window_s=timings.rate_window_s)
            process = Process(self.faults, server, self.clock)
            Endpoints(self, server, process, setup.http).register(express)
            self._parts.append((express, process))
            if setup.http.control:
                Control(self).register(express)

    @property
    def state(self) -> Core:
        """The records of agents, visitors and calls."""
        return self.machine.core

    @property
    def sockets(self) -> SocketIOServer:
        """The Socket.IO server of the first replica."""
        return self.servers[0]

    @property
    def port(self) -> int:
        """The port that the first replica listens on."""
        return self.sockets.port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT`` of the first replica."""
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """The URLs of all replicas."""
        return [server.url.replace("ws://", "http://", 1) for server in self.servers]

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, with all replicas that do not; after a crash on the same ports. Raises OSError
        where one cannot be had.

        What was in the memory of a replica that has ended is lost; what was in Redis is all still
        there.
        """
        if len(self._running) == len(self.servers):
            raise UsageError("the simulator is running already: stop() it first")
        if self._ended and not self._setup.redis:
            self.machine = self._new_machine()
        started: set[int] = set()
        try:
            for node, server in enumerate(self.servers):
                if node not in self._running:
                    await server.start()
                    self._started(node)
                    started.add(node)
        except OSError:
            await self._close(started)
            raise
        self._arm()

    def _started(self, node: int) -> None:
        self._running.add(node)
        for part in self._parts[node]:
            part.started()
        if node in self._ended:
            self._ended.discard(node)
            if self._setup.redis:
                self._deliver(self.machine.restarted(self.clock.now_s(), node))

    async def stop(self) -> None:
        """Close every connection (clients see 1005) and stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close(set(range(len(self.servers))))

    async def _close(self, nodes: set[int]) -> None:
        await asyncio.gather(*(self.servers[node].stop() for node in nodes))
        self._end(nodes & self._running)

    async def crash(self, node: int | None = None) -> None:
        """End as if killed: clients see no close frame (1006), the port refuses.

        :param node: the replica that crashes; None: all of them.
        """
        crashing = self._running & (set(range(len(self.servers))) if node is None else {node})
        self._end(crashing)
        await asyncio.gather(*(self.servers[each].crash() for each in crashing))

    def _end(self, nodes: set[int]) -> None:
        """The processes of these replicas are no more."""
        now_s = self.clock.now_s()
        self._running -= nodes
        self._ended |= nodes
        for node in nodes:
            self.machine.ended(now_s, node)
        if not self._running:
            self._disarm()

    async def outage(self, seconds: float, node: int | None = None) -> None:
        """Crash, and be there again after so many seconds, as when a platform restarts it.

        :param node: the replica that crashes; None: all of them.
        """
        await self.crash(node)
        await asyncio.sleep(seconds)
        await self.start()

    def crash_soon(self, back_after_s: float | None = None, node: int | None = None) -> None:
        """crash(), or outage() where it is to come back, without waiting for it."""
        doing = self.crash(node) if back_after_s is None else self.outage(back_after_s, node)
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._crash_done)

    def _crash_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("the simulator is not back after its crash: %s", error)

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

    def advance(self) -> None:
        """Do what is due by the clock. A running simulator does it by itself, if its clock runs."""
        for server in self.servers:
            server.advance()
        self._deliver(self.machine.advance(self.clock.now_s()))

    def _new_machine(self) -> Machine:
        machine = Machine(
            self._setup,
            now_s=self.clock.now_s(),
            epoch_offset_s=self.clock.epoch_offset_s,
            faults=self.faults,
            source=self.random,
        )
        machine.add_agents(self._setup.agents, self._setup.behaviour)
        return machine

    # -- in --------------------------------------------------------------------------------------

    def _judge(
        self, server: SocketIOServer, request: HttpRequest
    ) -> HttpResponse | Refusal | float | None:
        """Faults of connecting. A session that goes from polling to a WebSocket is in already."""
        faults = self.faults
        limit = faults.connection_limit
        there = len(server.connections) + server.opening
        if limit is not None and there >= limit and "sid" not in request.query:
            if faults.over_limit == "503":
                return HttpResponse(503, "Service Unavailable", {"Content-Type": "text/plain"})
            return Refusal(faults.over_limit)
        return faults.connect_s(there, self.random) or None

    def _on_connect(self, node: int, client: SocketIOClient) -> None:
        if node not in self._running:
            return
        self._clients[client.sid] = client
        self.machine.connected(self.clock.now_s(), node, client.sid)
        if self.faults.lifetime is not None:
            seconds = self.faults.lifetime.draw(self.random)
            loop = asyncio.get_running_loop()
            self._breaks[client.sid] = loop.call_later(seconds, client.abort)

    def _on_event(self, node: int, event: str, client: SocketIOClient, *args: object) -> None:
        if node not in self._running:
            return  # the last words to one that is crashing
        now_s, ack_id = self.clock.now_s(), client.ack_id
        effects = self.machine.handle(now_s, node, client.sid, event, list(args), ack_id)
        self._deliver(effects)

    def _on_disconnect(self, node: int, client: SocketIOClient, _reason: str) -> None:
        self._clients.pop(client.sid, None)
        breaks = self._breaks.pop(client.sid, None)
        if breaks is not None:
            breaks.cancel()
        if node in self._running:
            self._deliver(self.machine.left(self.clock.now_s(), node, client.sid))

    # -- out -------------------------------------------------------------------------------------

    def _deliver(self, effects: list[Effect]) -> None:
        for effect in effects:
            client = self._clients.get(effect.socket_id)
            if client is None:
                continue
            if isinstance(effect, Send):
                client.send_encoded(effect.packet)
            else:
                client.disconnect()
                close = partial(client.disconnect, close=True)
                asyncio.get_running_loop().call_later(KICK_CLOSE_S, close)
        due_s = self.machine.next_due_s
        if due_s is not None and due_s < self._timer_due_s:
            self._arm()

    def _arm(self) -> None:
        """Wake up when the next thing is due. A timer that is set for something sooner stays."""
        self._disarm()
        due_s = self.machine.next_due_s
        if due_s is None:
            return
        self._timer_due_s = due_s
        # uvloop's timers may fire 1.4 ms early.
        delay_s = max(0.0, due_s - self.clock.now_s()) + 0.002
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due_s = None, _NEVER

    def _on_timer(self) -> None:
        self._timer, self._timer_due_s = None, _NEVER
        self._deliver(self.machine.advance(self.clock.now_s()))
        if self._timer is None:
            self._arm()
