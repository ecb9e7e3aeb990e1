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
        "AGENT_ID": "test-agent-load-test",
        "CALL_DEADLINE": "35",
        "SESSION": "5-10",
    }


def test_settings_of_calls() -> None:
    environ = {"AGENT_ID": "ada", "CALL_RATE": "2.5", "TEST_DURATION": "30s"}
    settings = Settings.of(environ)
    assert (settings.agent_id, settings.call_rate, settings.test_duration) == ("ada", 2.5, "30s")
    settings = Settings.of(
        environ, agent_id="bob", call_rate="20", test_duration="1m", call_deadline="5"
    )
    assert (settings.agent_id, settings.call_rate, settings.test_duration) == ("bob", 20, "1m")
    assert settings.call_deadline_s == 5
    defaults = Settings.of({})
    assert (defaults.call_rate, defaults.test_duration) == (10, "2m")
    assert (defaults.agent_id, defaults.call_deadline_s) == ("test-agent-load-test", 35)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CALL_RATE", "0"),
        ("CALL_RATE", "-1"),
        ("CALL_RATE", "nan"),
        ("CALL_RATE", "inf"),
        ("CALL_RATE", "many"),
        ("TEST_DURATION", "soon"),
        ("TEST_DURATION", "0"),
        ("AGENT_ID", "a\tb"),
    ],
)
def test_settings_of_calls_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        Settings.of({name: value})


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
