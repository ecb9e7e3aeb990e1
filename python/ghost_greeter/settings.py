"""What a run of the suite is set to: environment variables, and flags of the same meaning."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from ghostcore import ConstantArrivalRate, InvalidPlan, UsageError

__all__ = ["Settings", "is_loopback", "parse_session", "place_of"]

DEFAULT_ORG_ID = "test-org-load-test"
DEFAULT_AGENT_ID = "test-agent-load-test"
DEFAULT_CALL_RATE = 10.0
DEFAULT_TEST_DURATION = "2m"
DEFAULT_DEADLINE_S = 35.0

T = TypeVar("T")

_SCHEMES = ("ws", "wss", "http", "https")
_SESSION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    :ivar server_url: the server's base URL; None: the embedded simulator.
    :ivar org_id: organisation that visitors join.
    :ivar session_s: shortest and longest visit in seconds, where it replaces the scenario's own.
    :ivar agent_id: the agent that a visitor asks for if its join named none.
    :ivar call_rate: call requests per second. :ivar test_duration: length of the calls scenario.
    :ivar call_deadline_s: how long a visitor waits for the outcome of its call.
    :ivar metrics_key: key of the server's /metrics; never shown.
    """

    server_url: str | None = None
    org_id: str = DEFAULT_ORG_ID
    session_s: tuple[float, float] | None = None
    agent_id: str = DEFAULT_AGENT_ID
    call_rate: float = DEFAULT_CALL_RATE
    test_duration: str = DEFAULT_TEST_DURATION
    call_deadline_s: float = DEFAULT_DEADLINE_S
    metrics_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        server_url: str | None = None,
        org_id: str | None = None,
        session: str | None = None,
        agent_id: str | None = None,
        call_rate: str | None = None,
        test_duration: str | None = None,
        call_deadline: str | None = None,
    ) -> Settings:
        """From the environment (SERVER_URL, ORG_ID, AGENT_ID, CALL_RATE, TEST_DURATION,
        METRICS_API_KEY) and flags; a flag wins.

        :raises InvalidPlan: with everything that cannot be: a URL, a range, a rate, a duration.
        """
        problems: list[str] = []
        url = _given("--server-url", server_url, problems) or environ.get("SERVER_URL") or None
        if url is not None:
            problems += _url_problems(url)
        org = _given("--org-id", org_id, problems) or environ.get("ORG_ID") or DEFAULT_ORG_ID
        agent = _given("--agent-id", agent_id, problems) or environ.get("AGENT_ID")
        agent = agent or DEFAULT_AGENT_ID
        for name, value in (("ORG_ID", org), ("AGENT_ID", agent)):
            if not value.isprintable() or len(value) > 200 or any(one.isspace() for one in value):
                problems.append(
                    f"{name}: expected up to 200 printable characters without spaces, got "
                    f"{value!r:.250}"
                )
        key = environ.get("METRICS_API_KEY") or None
        if key is not None and not all("!" <= char <= "~" for char in key):
            # The key itself is not told: messages end up in logs.
            problems.append("METRICS_API_KEY: expected printable ASCII characters without spaces")
        rate = call_rate or environ.get("CALL_RATE")
        duration = test_duration or environ.get("TEST_DURATION") or DEFAULT_TEST_DURATION
        problems += [
            f"TEST_DURATION: {text}" for text in ConstantArrivalRate(1, duration).validate()
        ]

        def read(text: str | None, default: T, parse: Callable[[str], T]) -> T:
            if not text:
                return default
            try:
                return parse(text)
            except UsageError as error:
                problems.append(str(error))
                return default

        settings = cls(
            url,
            org,
            read(session, None, parse_session),
            agent,
            read(
                rate,
                DEFAULT_CALL_RATE,
                partial(_positive, name="CALL_RATE", unit="calls per second"),
            ),
            duration,
            read(
                call_deadline,
                DEFAULT_DEADLINE_S,
                partial(_positive, name="call deadline", unit="seconds"),
            ),
            key,
        )
        if problems:
            raise InvalidPlan(problems)
        return settings

    def at(self, url: str) -> Settings:
        """The same settings against that server."""
        return replace(self, server_url=url)

    def env(self) -> dict[str, str]:
        """The settings as scenarios read them."""
        assert self.server_url is not None
        env = {
            "SERVER_URL": self.server_url,
            "ORG_ID": self.org_id,
            "AGENT_ID": self.agent_id,
            "CALL_DEADLINE": f"{self.call_deadline_s:g}",
        }
        if self.session_s is not None:
            env["SESSION"] = f"{self.session_s[0]:g}-{self.session_s[1]:g}"
        return env


def _given(flag: str, value: str | None, problems: list[str]) -> str | None:
    """The value of a flag. An empty one is most often a variable that was forgotten: that must not
    choose another server in silence."""
    if value == "":
        problems.append(f"{flag} is empty: give a value, or leave it out")
    return value


def _url_problems(url: str) -> list[str]:
    """What keeps a URL from being that of a server. What may be secret in it is not repeated."""
    expected = "expected ws://, wss://, http:// or https:// and a host, e.g. ws://127.0.0.1:3001"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return [f"SERVER_URL is no URL ({error}): {expected}"]
    base = f"{parts.scheme}://{parts.netloc}"  # a query may hold a key: it is not repeated
    beyond = parts.path.rstrip("/") not in ("", "/socket.io") or "?" in url or "#" in url
    found = (
        (
            parts.username is not None or parts.password is not None,
            "SERVER_URL has credentials in it, which would end up in logs: leave them out",
        ),
        (
            any(char.isspace() or not char.isprintable() for char in url),
            f"SERVER_URL: {url!r} has white space or control characters in it: {expected}",
        ),
        (
            parts.scheme not in _SCHEMES or not parts.hostname,
            f"SERVER_URL: {url!r} is no server: {expected}",
        ),
        (port == 0, f"SERVER_URL: {url!r}: no server listens on port 0"),
        (not url.isascii(), f"SERVER_URL: {url!r} is not ASCII: give the host in its xn-- form"),
        (
            beyond,
            f"SERVER_URL: {base} has a path or a query behind it: expected the base URL alone; "
            "/socket.io/?EIO=4&transport=websocket is added",
        ),
    )
    return [problem for holds, problem in found if holds][:1]


def _positive(text: str, name: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise UsageError(f"{name}: expected {unit}, a number above 0, got {text!r}")
    return value


def parse_session(text: str) -> tuple[float, float]:
    """``5-10`` or ``5`` as (shortest, longest) in seconds.

    :raises UsageError: not such a range.
    """
    match = _SESSION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"session: expected seconds such as 5-10, got {text!r}")
    low = float(match[1])
    high = float(match[2]) if match[2] else low
    if not low <= high:
        raise UsageError(f"session: {text!r} ends before it begins")
    return low, high


def is_loopback(url: str) -> bool:
    """Whether a URL points to this machine by its address or as localhost."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def place_of(url: str) -> str:
    """A URL, and whether it is this machine's: what a load begins by telling."""
    return f"{url}, {'on' if is_loopback(url) else 'NOT'} this machine"
