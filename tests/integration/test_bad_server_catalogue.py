"""Every bad server of the catalogue, on each link: one counted error, in time, and nothing left."""

from __future__ import annotations

import datetime
import ssl
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

import ghostcore
from ghostcore import PerVUIterations, Result, scenario
from ghostcore.testing.bad_servers import BAD_SERVERS, MisbehavingServer
from ghostcore.testing.threads import ServerThread

USERS = 3
BOUND_S = 20.0
"""Far beyond every deadline of these tests (0.6 s, and 5 s for a closing handshake)."""

CASES = [
    pytest.param(name, link, id=f"{name}-{link}")
    for name, bad in BAD_SERVERS.items()
    for link in ("epoll", "picows")
]


@pytest.fixture(scope="session")
def contexts(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    """TLS contexts of servers by what their certificate is like."""
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificates = {
        "good": authority.issue_cert("localhost"),
        "wrong name": authority.issue_cert("elsewhere.test"),
        "expired": authority.issue_cert("localhost", not_before=long_ago, not_after=long_ago),
        "unknown authority": trustme.CA().issue_cert("localhost"),
        "old protocol": authority.issue_cert("localhost"),
    }
    made = {}
    for name, certificate in certificates.items():
        made[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(made[name])
    made["old protocol"].maximum_version = ssl.TLSVersion.TLSv1_2
    return made


@pytest.fixture(scope="session")
def client_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def exercise(session: Any, how: str) -> None:
    """The operation that brings out what a server does wrong."""
    if how == "receive":
        await session.send("hello")
        await session.recv(timeout=0.6)
    elif how == "ping":
        await session.ping(timeout=0.3)
    elif how == "send":
        for _ in range(1000):
            await session.send(b"x" * 262144)
    elif how == "call":
        await session.call("ask", timeout=0.4)
    elif how == "request":
        await session.request("ask", reply="answer", error="failure", timeout=0.4)
    elif how == "wait":
        await session.emit("hello")
        await session.wait_for("news", timeout=10)


def run_against(
    name: str, url: str, link: str, context: ssl.SSLContext | None, seen: list[Exception]
) -> Result:
    bad = BAD_SERVERS[name]
    options: dict[str, Any] = {"link": link, **bad.options}
    if context is not None:
        options["ssl"] = context

    @scenario(load=PerVUIterations(vus=USERS, iterations=1, max_duration="60s"))
    async def meet(vu: ghostcore.VU) -> None:
        opening: Any = (vu.socketio if bad.socketio else vu.connect)(url, **options)
        try:
            async with opening as session:
                try:
                    await exercise(session, bad.exercise)
                except ghostcore.TargetError:
                    if bad.deaf:
                        session.abort()
                    raise
        except Exception as error:
            seen.append(error)
            raise

    return ghostcore.run(meet, seed=1)


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(one.message) for one in caught] == []


@pytest.mark.parametrize(("name", "link"), CASES)
def test_each_bad_server_is_one_kind_of_error_counted_once(
    name: str, link: str, contexts: dict[str, ssl.SSLContext], client_context: ssl.SSLContext
) -> None:
    bad = BAD_SERVERS[name]
    server = MisbehavingServer(bad, ssl=contexts[bad.certificate] if bad.certificate else None)
    seen: list[Any] = []
    started_s = time.monotonic()
    with no_warnings(), ServerThread(server):
        context = client_context if bad.secure else None
        result = run_against(name, server.url, link, context, seen)
    elapsed_s = time.monotonic() - started_s

    assert elapsed_s < BOUND_S
    if bad.kind is None:
        assert result.errors == []
        assert result.outcome.answered == USERS
        return
    assert {error.kind: error.count for error in result.errors} == {bad.kind: USERS}
    assert result.metrics.count_of("ws_errors") == USERS
    assert result.metrics.count_of("iterations_failed") == USERS
    assert (result.verdict, result.exit_code) == ("fail", 99)
    samples = result.errors[0].samples
    assert len(samples) == USERS
    for sample in samples:
        assert sample.phase == bad.phase
        assert sample.text
        assert sample.at_s >= 0
    assert [error.kind for error in seen] == [bad.kind] * USERS
    upgraded = bad.phase in ("engineio_open", "socketio_connect", "session")
    for one in (*samples, *seen):
        # Of what was never upgraded, the age is NaN.
        assert 0 <= one.age_s < elapsed_s if upgraded else one.age_s != one.age_s
    codes = [
        getattr(error, "code", None) or getattr(error, "status", None) or None for error in seen
    ]
    assert sorted(map(repr, codes)) == sorted(repr(sample.code) for sample in samples)
    for error in seen:
        if bad.close_code is not None:
            assert error.code == bad.close_code
