"""Settings: environment and flags, a flag wins, nonsense is told."""

from __future__ import annotations

import pytest

from ghost_greeter.settings import Settings, is_loopback, parse_session
from ghostcore import UsageError


def test_defaults_name_no_server() -> None:
    settings = Settings.of({})
    assert settings.server_url is None
    assert settings.org_id == "test-org-load-test"
    assert settings.session_s is None


def test_the_environment_and_a_flag_that_wins() -> None:
    environ = {"SERVER_URL": "ws://127.0.0.1:1", "ORG_ID": "from-env"}
    settings = Settings.of(environ)
    assert (settings.server_url, settings.org_id) == ("ws://127.0.0.1:1", "from-env")
    settings = Settings.of(
        environ, server_url="https://example.test", org_id="flag", session="5-10"
    )
    assert (settings.server_url, settings.org_id) == ("https://example.test", "flag")
    assert settings.env() == {
        "SERVER_URL": "https://example.test",
        "ORG_ID": "flag",
        "SESSION": "5-10",
    }


def test_an_empty_variable_names_no_server() -> None:
    assert Settings.of({"SERVER_URL": ""}).server_url is None


@pytest.mark.parametrize("url", ["example.test", "ftp://example.test", "ws://", "http://a:0"])
def test_a_server_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError, match="SERVER_URL"):
        Settings.of({"SERVER_URL": url})


def test_an_organisation_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="ORG_ID"):
        Settings.of({"ORG_ID": "line\nbreak"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5-10", (5, 10)), ("5", (5, 5)), ("0.5-1.5", (0.5, 1.5)), (" 1-2 ", (1, 2))],
)
def test_sessions(text: str, expected: tuple[float, float]) -> None:
    assert parse_session(text) == expected


@pytest.mark.parametrize("text", ["10-5", "a-b", "-5", "1-2-3", ""])
def test_sessions_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="session"):
        parse_session(text)


def test_what_is_this_machine() -> None:
    assert is_loopback("ws://127.0.0.1:3001")
    assert is_loopback("http://localhost")
    assert is_loopback("ws://[::1]:3001")
    assert not is_loopback("wss://example.test")
    assert not is_loopback("ws://127.0.0.1.example.test")
