from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from ghostcore.errors import UsageError
from ghostcore.opening.options import DEFAULT_OPTIONS, Options
from ghostcore.opening.route import Routes

URL = "ws://127.0.0.1:5000/x"

route_of = Routes().route


def test_options_are_made_once_for_different_urls() -> None:
    given = {"timeout": "5s", "subprotocols": ("a",), "link": "epoll"}
    one = route_of(URL + "?token=1", None, given).options
    assert one is route_of(URL + "?token=2", None, dict(given)).options
    assert one == Options.build(timeout=5, subprotocols=["a"], link="epoll")
    assert route_of(URL, None, {}).options is DEFAULT_OPTIONS
    assert Routes().route(URL, None, given).options is not one


def test_a_renewed_file_of_certificates_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    given = {"ssl": str(file)}
    routes = Routes()
    first = routes.route("wss://h/a", None, given).tls_context()
    # Another URL of the same choice shares it.
    assert first is routes.route("wss://h/b", None, given).tls_context()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(file))
    renewed = routes.route("wss://h/a", None, given).tls_context()
    assert renewed is not first and renewed is not None
    (known,) = renewed.get_ca_certs(binary_form=True)
    assert ssl.DER_cert_to_PEM_cert(known).encode() == authority.cert_pem.bytes()
    file.unlink()
    with pytest.raises(UsageError, match="no such file"):
        routes.route("wss://h/a", None, given).tls_context()


def test_there_is_no_tls_context_without_tls() -> None:
    assert route_of("ws://h", None, {"insecure": True}).tls_context() is None
    with pytest.raises(UsageError, match="contradicts"):
        given = {"insecure": True, "ssl": ssl.create_default_context()}
        route_of("wss://h", None, given).tls_context()


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
