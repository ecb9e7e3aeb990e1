"""The simulated server under any order of events: nobody is in two places, no call is lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ghost_greeter.simulator import Database
from tests.support.stage import Stage, Told, told

VISITORS = [f"v{n}" for n in range(5)]
AGENTS = [f"a{n}" for n in range(3)]

visitor = st.sampled_from(VISITORS)
agent = st.sampled_from(AGENTS)
step = st.one_of(
    st.tuples(st.just("join"), visitor),
    st.tuples(st.just("leaves"), st.sampled_from(VISITORS + AGENTS)),
    st.tuples(st.just("comes_back"), visitor, st.booleans()),
    st.tuples(st.just("login"), agent),
    st.tuples(st.just("back"), agent),
    st.tuples(st.just("away"), agent),
    st.tuples(st.just("status"), agent, st.sampled_from(["idle", "away", "offline"])),
    st.tuples(st.just("asks"), visitor, st.sampled_from([*AGENTS, "nobody"])),
    st.tuples(st.just("asks"), visitor, agent),
    st.tuples(st.just("accepts"), agent, st.integers(0, 5)),
    st.tuples(st.just("accepts"), agent, st.integers(0, 5)),
    st.tuples(st.just("rejects"), agent, st.integers(0, 5)),
    st.tuples(st.just("cancels"), visitor, st.integers(0, 5)),
    st.tuples(st.just("ends"), st.sampled_from(VISITORS + AGENTS), st.integers(0, 3)),
    st.tuples(st.just("reconnects"), st.sampled_from(VISITORS + AGENTS), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.5, 1.0, 5.0, 10.0, 15.2, 61.0])),
)
steps = st.lists(step, min_size=25, max_size=80)


class Watched:
    """A stage, and what its clients have been told so far."""

    def __init__(self, mode: str, replicas: int, database: Database | None) -> None:
        self.stage = Stage(mode, replicas=replicas, database=database)
        self.replicas = replicas
        self.socket_of = {who: who for who in VISITORS + AGENTS}
        self.moves = 0
        for number, who in enumerate(VISITORS + AGENTS):
            self.stage.at(who, number % replicas)
        self.ends: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.tokens: list[str] = []
        self.with_nobody: set[str] = set()

    def step(self, kind: str, *rest: Any) -> None:
        stage = self.stage
        if kind == "wait":
            self.hear(stage.wait(*rest))
            return
        name, *rest = rest  # type: ignore[assignment]
        who = self.socket_of[name]
        if kind == "leaves":
            node = stage.node_of[who]
            self.hear(stage.leaves(who))
            stage.at(who, node)
        elif kind == "comes_back":
            self.comes_back(name, elsewhere=rest[0])
        elif kind == "status":
            self.hear(stage.does(who, "agent:status", {"status": rest[0]}))
        elif kind in ("accepts", "rejects", "cancels"):
            waiting = list(stage.core.requests)
            if waiting:
                event = f"call:{kind[:-1]}"
                request_id = waiting[rest[0] % len(waiting)]
                gone = stage.core.requests[request_id].visitor_id not in stage.core.visitors
                before = set(stage.core.calls)
                self.hear(stage.does(who, event, {"requestId": request_id}))
                if gone:  # who accepts after the visitor has left is in a call with nobody
                    self.with_nobody |= set(stage.core.calls) - before
        elif kind == "reconnects":
            if self.tokens:
                token = self.tokens[-1 - rest[0] % len(self.tokens)]
                role = "agent" if name in AGENTS else "visitor"
                payload = {"reconnectToken": token, "role": role}
                self.hear(stage.does(who, "call:reconnect", payload))
        elif kind == "ends":
            calls = list(stage.core.calls)
            if calls:
                self.hear(stage.does(who, "call:end", {"callId": calls[rest[0] % len(calls)]}))
        elif kind in ("join", "login"):
            self.hear(getattr(stage, kind)(name, who))
        else:
            self.hear(getattr(stage, kind)(who, *rest))

    def comes_back(self, name: str, *, elsewhere: bool) -> None:
        """A visitor's socket goes, and at the same moment it joins again on another."""
        stage, old = self.stage, self.socket_of[name]
        node = stage.node_of.pop(old)
        self.moves += 1
        new = self.socket_of[name] = f"{name}/{self.moves}"
        effects = stage.machine.left(stage.now_s, node, old)
        stage.at(new, (node + elsewhere) % self.replicas)
        self.hear([*told(effects), *stage.join(name, new)])

    def hear(self, events: list[Told]) -> None:
        for who, event, payload in events:
            if event == "call:accepted":
                self.accepted[payload["callId"]] += 1
                self.tokens.append(payload["reconnectToken"])
            elif event == "call:reconnected":
                self.tokens.append(payload["reconnectToken"])
            elif event == "call:ended" and who.startswith("v"):
                self.ends[payload["callId"]] += 1

    def crash(self, node: int) -> None:
        """A replica ends and is there again; whoever was on it connects anew."""
        stage = self.stage
        stage.ends(node)
        self.hear(stage.wait(0.5))
        self.hear(stage.restarts(node))
        for name, socket in self.socket_of.items():
            if stage.node_of[socket] == node:
                del stage.node_of[socket]
                self.moves += 1
                self.socket_of[name] = f"{name}/{self.moves}"
                stage.at(self.socket_of[name], node)

    def check(self) -> None:
        core = self.stage.core
        self.check_books()
        # Nobody is in two calls, and both sides know of the one they are in.
        in_calls = [call.agent for call in core.calls.values()]
        assert len(in_calls) == len(set(in_calls))
        callers = [
            call.visitor_id for call in core.calls.values() if call.call_id not in self.with_nobody
        ]
        assert len(callers) == len(set(callers))
        for call in core.calls.values():
            assert call.agent.call is call
            assert call.agent is not self.stage.core.queue.best()
        for each in core.agents.values():
            assert each.call is None or each.call.call_id in core.calls
            assert each.assigned == sum(one.agent is each for one in core.visitors.values())
        assert all(count == 1 for count in self.accepted.values())
        assert all(count == 1 for count in self.ends.values())
        # No visitor is lost: everyone has a call, an agent, or waits for one.
        for one in core.visitors.values():
            waits = core.waiting.get(one.visitor_id) is one
            nobodys = one.agent is None and one.call is None
            assert waits is nobodys
            assert one.call is None or one.call.call_id in core.calls
            assert core.visitor_of_socket[one.socket_id] is one
        if not self.stage.machine.setup.redis:
            for each in core.agents.values():
                for visitor_id in each.listed:
                    assert each in core.visitors[visitor_id].listed_by
                assert len(set(each.listed)) <= 25

    def check_books(self) -> None:
        """What holds also for who has crashed."""
        core = self.stage.core
        # Every request has had exactly one outcome, or is still there.
        outcomes = core.outcomes
        assert outcomes["requested"] == len(core.requests) + sum(
            outcomes[name] for name in ("accepted", "rejected", "rung_out", "cancelled", "expired")
        )
        # Every call is still there, or has ended once.
        begun = outcomes["accepted"] + outcomes["reconnected"]
        assert begun == outcomes["ended"] + len(core.calls)
        # What waits for an agent is what does not ring there.
        for each in core.agents.values():
            assert set(each.pending) <= set(core.requests)
            waits = [request for request in each.pending.values() if not request.rings]
            assert list(each.queued.values()) == waits

    def finish(self) -> None:
        """Everybody goes: nothing may be left behind."""
        for who in list(self.stage.node_of):
            self.hear(self.stage.leaves(who))
        self.hear(self.stage.wait(400))
        core = self.stage.core
        self.check()
        assert core.calls == {}
        assert core.visitors == core.visitor_of_socket == core.waiting == {}
        assert core.agent_of_socket == {}
        if not self.stage.machine.setup.redis:
            assert core.agents == {}
            assert core.simulation_count == 0
        assert core.requests == {}


@pytest.mark.parametrize(
    ("mode", "replicas", "database"),
    [
        ("memory", 1, None),
        ("redis", 1, None),
        ("redis", 2, None),
        ("memory", 1, Database(insert_s=0)),
        ("redis", 2, Database(insert_s=0)),
    ],
)
@settings(max_examples=250, deadline=None)
@given(script=steps, everybody_is_there=st.booleans())
@example(
    # A queued call that rings after another's end has no time-out, and both its sides go.
    script=[
        ("asks", "v0", "a0"),
        ("wait", 15.2),
        ("accepts", "a0", 0),
        ("asks", "v1", "a1"),
        ("leaves", "v0"),
        ("wait", 1.0),
    ],
    everybody_is_there=True,
)
def test_whatever_happens(
    mode: str,
    replicas: int,
    database: Database | None,
    script: list[tuple[Any, ...]],
    everybody_is_there: bool,
) -> None:
    watched = Watched(mode, replicas, database)
    if everybody_is_there:
        for who in AGENTS:
            watched.step("login", who)
            watched.step("back", who)
        for who in VISITORS:
            watched.step("join", who)
    for step in script:
        watched.step(*step)
        watched.check()
    watched.finish()


@pytest.mark.parametrize("replicas", [1, 2])
@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(
        st.one_of(step, step, step, step, st.tuples(st.just("crash"), st.integers(0, 1))),
        min_size=25,
        max_size=80,
    )
)
def test_whatever_crashes(replicas: int, script: list[tuple[Any, ...]]) -> None:
    """Visitors and agents of a replica that crashed stay in Redis, on sockets that are not."""
    watched = Watched("redis", replicas, Database(insert_s=0))
    for kind, *rest in [("login", "a0"), ("back", "a0"), ("join", "v0"), ("join", "v1"), *script]:
        if kind == "crash":
            watched.crash(rest[0] % replicas)
        else:
            watched.step(kind, *rest)
        watched.check_books()
    watched.hear(watched.stage.wait(400))
    watched.check_books()
    assert watched.stage.core.requests == {}


@settings(max_examples=100, deadline=None)
@given(
    queues=st.lists(st.sampled_from(["idle", "busy"]), min_size=1, max_size=6),
    loads=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    joins=st.integers(0, 60),
)
def test_the_choice_of_an_agent_is_that_of_a_search(
    queues: list[str], loads: list[int], joins: int
) -> None:
    """Against a linear search: fewest visitors, then longest without a turn, then the first."""
    stage = Stage()
    turns: dict[str, int] = {}
    for number, load in enumerate(loads):
        stage.agents(f"a{number}")
        turns[f"a{number}"] = 0
        stage.core.agents[f"a{number}"].listed = tuple(f"x{number}.{n}" for n in range(load))
        stage.core.queue.update(stage.core.agents[f"a{number}"])
        if queues[number % len(queues)] == "busy":
            stage.does(f"a{number}", "agent:status", {"status": "in_call"})
    for number in range(joins):
        free = [
            each
            for each in stage.core.agents.values()
            if each.status in ("idle", "in_simulation") and len(each.listed) < 25
        ]
        expected = min(
            free,
            key=lambda each: (len(each.listed), turns[each.agent_id], each.serial),
            default=None,
        )
        excluded = min(
            (each for each in free if each is not expected),
            key=lambda each: (len(each.listed), turns[each.agent_id], each.serial),
            default=None,
        )
        assert stage.core.queue.best(exclude=expected) is excluded or expected is None
        (first, *_) = stage.join(f"v{number}")
        if expected is None:
            assert first.event == "agent:unavailable"
        else:
            assert first.payload["agent"]["id"] == expected.agent_id
            turns[expected.agent_id] = number + 1
