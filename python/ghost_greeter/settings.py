"""What a run of the suite is set to: environment variables, and flags of the same meaning."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ghostcore import ConstantArrivalRate, InvalidPlan, UsageError

__all__ = ["Settings", "is_loopback", "parse_session", "place_of"]

DEFAULT_ORG_ID = "test-org-load-test"
DEFAULT_AGENT_ID = "test-agent-load-test"
DEFAULT_CALL_RATE = 10.0
DEFAULT_TEST_DURATION = "2m"
DEFAULT_DEADLINE_S = 35.0

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
    """

    server_url: str | None = None
    org_id: str = DEFAULT_ORG_ID
    session_s: tuple[float, float] | None = None
    agent_id: str = DEFAULT_AGENT_ID
    call_rate: float = DEFAULT_CALL_RATE
    test_duration: str = DEFAULT_TEST_DURATION
    call_deadline_s: float = DEFAULT_DEADLINE_S

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
        """From the environment (SERVER_URL, ORG_ID, AGENT_ID, CALL_RATE, TEST_DURATION) and flags;
        a flag wins.

        :raises UsageError: what cannot be: a URL, a range, a rate, a duration.
        """
        url = server_url or environ.get("SERVER_URL") or None
        if url is not None:
            _check_url(url)
        org = org_id or environ.get("ORG_ID") or DEFAULT_ORG_ID
        agent = agent_id or environ.get("AGENT_ID") or DEFAULT_AGENT_ID
        for name, value in (("ORG_ID", org), ("AGENT_ID", agent)):
            if not value.isprintable() or len(value) > 200:
                raise UsageError(f"{name}: expected up to 200 printable characters, got {value!r}")
        rate = call_rate or environ.get("CALL_RATE")
        duration = test_duration or environ.get("TEST_DURATION") or DEFAULT_TEST_DURATION
        problems = ConstantArrivalRate(1, duration).validate()
        if problems:
            raise InvalidPlan([f"TEST_DURATION: {text}" for text in problems])
        return cls(
            url,
            org,
            parse_session(session) if session else None,
            agent,
            _positive("CALL_RATE", rate, "calls per second") if rate else DEFAULT_CALL_RATE,
            duration,
            _positive("call deadline", call_deadline, "seconds")
            if call_deadline
            else DEFAULT_DEADLINE_S,
        )

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


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(
            f"SERVER_URL: {url!r} is no server: expected ws://, wss://, http:// or https:// and a "
            "host, e.g. ws://127.0.0.1:3001"
        )


def _positive(name: str, text: str, unit: str) -> float:
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
