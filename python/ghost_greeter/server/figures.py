"""What the server tells over HTTP: /metrics, with its key as a header, and /health."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Figures", "FiguresError"]

TIMEOUT_S = 3.0
MOST_BYTES = 1_000_000


class FiguresError(Exception):
    """No answer, or none that is HTTP."""


class Figures:
    """Asks a server. Redirects are not followed: the key is for the server that was named.

    :param url: its base URL, as for connections.
    :param key: of /metrics; sent to nobody else, and not shown.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        secure = parts.scheme in ("wss", "https")
        self._connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._port = parts.hostname or "", parts.port
        self._key = key

    @property
    def has_key(self) -> bool:
        """Was a key given?"""
        return self._key is not None

    def metrics(self) -> tuple[int, dict[str, Any]]:
        """Status and body of ``GET /metrics``. Blocks.

        :raises FiguresError: no answer within 3 s.
        """
        return self._get("/metrics", {} if self._key is None else {"x-metrics-api-key": self._key})

    def health(self) -> tuple[int, dict[str, Any]]:
        """Likewise of ``GET /health``."""
        return self._get("/health", {})

    def _get(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        connection = self._connection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={**headers, "Connection": "close"})
            answer = connection.getresponse()
            raw = answer.read(MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise FiguresError(type(error).__name__) from None
        finally:
            connection.close()
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        return answer.status, body if isinstance(body, dict) else {}

    def __repr__(self) -> str:
        return f"<Figures of {self._host}:{self._port}>"
