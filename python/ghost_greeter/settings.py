"""What a run of the suite is set to: environment variables, and flags of the same meaning."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ghostcore import UsageError

__all__ = ["Settings", "is_loopback", "parse_session"]

DEFAULT_ORG_ID = "test-org-load-test"

_SCHEMES = ("ws", "wss", "http", "https")
_SESSION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    :ivar server_url: the server's base URL; None: the embedded simulator.
    :ivar org_id: organisation that visitors join.
    :ivar session_s: shortest and longest visit in seconds, where it replaces the scenario's own.
    """

    server_url: str | None = None
    org_id: str = DEFAULT_ORG_ID
    session_s: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        server_url: str | None = None,
        org_id: str | None = None,
        session: str | None = None,
    ) -> Settings:
        """From the environment (SERVER_URL, ORG_ID) and flags; a flag wins.

        :raises UsageError: a URL or a range that cannot be.
        """
        url = server_url or environ.get("SERVER_URL") or None
        if url is not None:
            _check_url(url)
        org = org_id or environ.get("ORG_ID") or DEFAULT_ORG_ID
        if not org.isprintable() or len(org) > 200:
            raise UsageError(f"ORG_ID: expected up to 200 printable characters, got {org!r}")
        return cls(url, org, parse_session(session) if session else None)

    def at(self, url: str) -> Settings:
        """The same settings against that server."""
        return replace(self, server_url=url)

    def env(self) -> dict[str, str]:
        """The settings as scenarios read them."""
        assert self.server_url is not None
        env = {"SERVER_URL": self.server_url, "ORG_ID": self.org_id}
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
