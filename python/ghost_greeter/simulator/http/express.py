"""What Express does around the routes: pages for errors, CORS, JSON bodies, the limit on /api."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ghost_greeter.simulator.machine.limits import Windows
from ghost_greeter.simulator.setup.clock import Clock
from ghost_greeter.simulator.setup.setup import HttpSetup
from ghostcore.testing import HttpRequest, HttpResponse, SocketIOServer

__all__ = ["Express", "json_object", "json_of", "page"]

Handler = Callable[[HttpRequest], "tuple[int, object]"]

MAX_JSON_BYTES = 100 * 1024

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Error</title>
</head>
<body>
<pre>{text}</pre>
</body>
</html>
"""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Express:
    """Routes of one replica.

    The limit of requests to unknown paths is set behind the routes, so that these are never
    limited.

    :param setup: whose pages may read answers, and how many requests an address has in a window.
    :param window_s: how long such a window is.
    """

    def __init__(
        self,
        server: SocketIOServer,
        clock: Clock,
        setup: HttpSetup,
        *,
        window_s: float,
    ) -> None:
        self._server = server
        self._clock = clock
        self._origins = None if setup.production else setup.origins
        self._max_requests = setup.limit
        self._windows = Windows(window_s)
        server.route(None, self._not_found)
        server.on_answer(self._cors)

    def started(self) -> None:
        """The replica begins anew: what addresses have used up was in its memory."""
        self._windows = Windows(self._windows.window_s)

    def get(self, path: str, handler: Handler) -> None:
        """Answer GET."""
        self._server.route(path, lambda request: self._finish(request, *handler(request)))

    def post(self, path: str, handler: Handler, *, parsed: bool = True) -> None:
        """Answer POST, with a body of JSON or none.

        :param parsed: a body that is neither gets a page with the error; else the handler gets it.
        """

        def answer(request: HttpRequest) -> HttpResponse:
            problem = _body_problem(request) if parsed else None
            return self._finish(request, *(problem or handler(request)))

        self._server.route(path, answer, method="POST")

    def _finish(
        self,
        request: HttpRequest,
        status: int,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        return HttpResponse(status, body, {**self._cors(request), **(headers or {})})

    def _cors(self, request: HttpRequest) -> dict[str, str]:
        """Who may read the answer: nobody is refused one."""
        origin = request.headers.get("origin")
        allowed = {"Access-Control-Allow-Credentials": "true"}
        if origin and (self._origins is None or origin in self._origins):
            allowed |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return allowed

    def _not_found(self, request: HttpRequest) -> HttpResponse:
        problem = _body_problem(request)
        if problem is not None:
            return self._finish(request, *problem)
        limited: dict[str, str] = {}
        below_api = request.path == "/api" or request.path.startswith("/api/")
        if below_api and self._max_requests:
            window = self._windows.use(request.peer, self._clock.now_s())
            ends_s = window.began_s + self._windows.window_s - self._clock.now_s()
            limited = {
                "RateLimit-Policy": f"{self._max_requests};w={math.ceil(self._windows.window_s)}",
                "RateLimit-Limit": str(self._max_requests),
                "RateLimit-Remaining": str(max(0, self._max_requests - window.uses)),
                "RateLimit-Reset": str(math.ceil(ends_s)),
            }
            if window.uses > self._max_requests:
                error = {"error": "Too many requests, please try again later"}
                limited["Retry-After"] = str(math.ceil(ends_s))
                return self._finish(request, 429, error, limited)
        status, body = page(404, f"Cannot {request.method} {request.path}")
        return self._finish(request, status, body, limited)


def page(status: int, text: str) -> tuple[int, str]:
    """An error as Express shows it."""
    return status, _PAGE.format(text=text.translate(_ESCAPES))


def json_object(request: HttpRequest) -> dict[str, Any]:
    """The body of a request that has passed, if it is a JSON object; otherwise an empty one."""
    if not request.body or not _is_json(request):
        return {}
    found = json_of(request)
    return found if isinstance(found, dict) else {}


def json_of(request: HttpRequest) -> object:
    """The body, whatever it calls itself.

    :raises ValueError: it is no JSON, or nested too deeply for us.
    """
    try:
        return json.loads(request.body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _is_json(request: HttpRequest) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


def _body_problem(request: HttpRequest) -> tuple[int, str] | None:
    """What Express's JSON parser, which comes before every route, finds wrong with the body."""
    if not request.body or not _is_json(request):
        return None
    if len(request.body) > MAX_JSON_BYTES:
        return page(413, "PayloadTooLargeError: request entity too large")
    try:
        found = json_of(request)
    except ValueError as error:
        return page(400, f"SyntaxError: {error}")
    if not isinstance(found, dict | list):
        return page(400, "SyntaxError: Unexpected token in JSON at position 0")
    return None
