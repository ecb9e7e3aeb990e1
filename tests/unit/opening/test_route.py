from __future__ import annotations

from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.opening.route import route_of

URL = "ws://127.0.0.1:5000/x"


def test_the_same_arguments_share_a_route() -> None:
    given = {"link": "epoll", "subprotocols": ("a",)}
    assert route_of(URL, None, given) is route_of(URL, None, dict(given))
    assert route_of(URL, None, given) is not route_of(URL + "y", None, given)
    assert route_of(URL, None, given) is not route_of(URL, None, {})


def test_a_route_has_what_its_arguments_say() -> None:
    route = route_of("wss://h/", "/socket.io/", {"timeout": "3s", "headers": [("A", "b")]})
    assert (route.target.host, route.target.port, route.target.secure) == ("h", 443, True)
    assert route.options.timeout_ns == 3 * 10**9
    request = route.request.upgrade().request
    assert request.startswith(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\n")
    assert b"\r\nA: b\r\n" in request


def test_what_cannot_be_looked_up_is_made_each_time() -> None:
    given = {"headers": {"A": "1"}}
    one, two = route_of(URL, None, given), route_of(URL, None, given)
    assert one is not two
    assert one.options == two.options
    given["headers"]["A"] = "2"
    assert route_of(URL, None, given).options.headers == (("A", "2"),)


def test_what_differs_in_its_type_only_is_not_the_same() -> None:
    assert route_of(URL, None, {"timeout": 1}).options.timeout_ns == 10**9
    with pytest.raises(UsageError):
        route_of(URL, None, {"timeout": True})


@pytest.mark.parametrize("url", ["h:1", "ftp://h", 5, ["ws://h"]])
def test_a_bad_url_is_told_each_time(url: Any) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match=r"URL|scheme"):
            route_of(url, None, {})


@pytest.mark.parametrize("name", ["nonsense", "socketio_path", "url", "path"])
def test_an_argument_that_does_not_exist_is_told(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        route_of(URL, None, {name: 1})
