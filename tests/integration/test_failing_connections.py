"""Ten thousand connections that fail: each is counted, and nothing of them stays."""

from __future__ import annotations

import gc
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
import trustme

import ghostcore
from ghostcore import PerVUIterations, scenario
from ghostcore.errors import TargetError
from ghostcore.testing import BAD_SERVERS, MisbehavingServer, ServerProcess
from ghostcore.testing.threads import ServerThread

USERS = 500
ATTEMPTS = 20
WARM_UP = 20  # as many: the allocators are at their level
TIMEOUT_S = 30.0
SERVERS = ("http_503", "wrong_accept", "reset_after_accept", "closed_after_request")
TLS_SERVERS = ("certificate_unknown", "tls_plaintext", "tls_reset", "tls_closed")
TLS_USERS = 100
GROWTH_OBJECTS = 2_000  # a fifth of an object for each connection
GROWTH_BYTES = 6 * 1024 * 1024  # 600 bytes for each


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """URL -> the kind of error that it must come to."""
    with ExitStack() as stack:
        found = {}
        for name in SERVERS:
            server = stack.enter_context(ServerProcess(MisbehavingServer, name))
            found[server.url] = str(BAD_SERVERS[name].kind)
        refusing = stack.enter_context(ServerThread(MisbehavingServer("refused")))
        found[refusing.url] = "connection_refused"
        yield found


@pytest.fixture(scope="module")
def tls_urls(authority: trustme.CA) -> Iterator[dict[str, str]]:
    """The same of servers with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ExitStack() as stack:
        found = {}
        for name in TLS_SERVERS:
            bad = BAD_SERVERS[name]
            server = MisbehavingServer(bad, ssl=context if bad.certificate else None)
            found[stack.enter_context(ServerThread(server)).url] = str(bad.kind)
        yield found


def storm(
    urls: dict[str, str], link: str | None, attempts: int, users: int = USERS
) -> tuple[ghostcore.Result, Counter[str]]:
    kinds: Counter[str] = Counter()
    targets = list(urls)

    @scenario(load=PerVUIterations(vus=users, iterations=1, max_duration="60s"))
    async def fail(vu: ghostcore.VU) -> None:
        for attempt in range(attempts):
            url = targets[(vu.id + attempt) % len(targets)]
            try:
                await vu.connect(url, timeout=TIMEOUT_S, link=link)  # type: ignore[arg-type]
            except TargetError as error:
                kinds[error.kind if error.kind == urls[url] else f"{url}: {error}"] += 1

    return ghostcore.run(fail, seed=1), kinds


def level() -> tuple[int, int]:
    gc.collect()
    return len(gc.get_objects()), psutil.Process(os.getpid()).memory_info().rss


@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_ten_thousand_failing_connections(urls: dict[str, str], link: str) -> None:
    storm(urls, link, WARM_UP)
    objects, rss_bytes = level()
    result, kinds = storm(urls, link, ATTEMPTS)
    total = USERS * ATTEMPTS
    assert kinds == Counter({kind: total // 5 * n for kind, n in Counter(urls.values()).items()})
    assert result.metrics.count_of("ws_sessions") == total
    assert result.metrics.count_of("ws_sessions_opened") == 0
    assert result.metrics["ws_connecting"].failed == total
    assert (result.verdict, result.exit_code) == ("fail", 99)
    del result
    objects_now, rss_bytes_now = level()
    assert objects_now - objects < GROWTH_OBJECTS
    assert rss_bytes_now - rss_bytes < GROWTH_BYTES


@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_two_thousand_failing_tls_connections(tls_urls: dict[str, str], link: str) -> None:
    storm(tls_urls, link, WARM_UP, TLS_USERS)
    objects, rss_bytes = level()
    result, kinds = storm(tls_urls, link, ATTEMPTS, TLS_USERS)
    total = TLS_USERS * ATTEMPTS
    expected: Counter[str] = Counter()
    for kind in tls_urls.values():
        expected[kind] += total // len(tls_urls)
    assert kinds == expected
    assert result.metrics["ws_connecting"].failed == total
    del result
    objects_now, rss_bytes_now = level()
    assert objects_now - objects < GROWTH_OBJECTS
    assert rss_bytes_now - rss_bytes < GROWTH_BYTES
