"""Settings: environment and flags, a flag wins, nonsense is told."""

from __future__ import annotations

import pytest

from ghost_greeter.settings import Settings, is_loopback, parse_session
from ghostcore import InvalidPlan, UsageError


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


@pytest.mark.parametrize(
    "url",
    [
        "example.test", "ftp://example.test", "ws://", "ws:///x", "http://a:0", "ws://a:65536",
        "ws://a:port", "ws://[::1", " ws://a", "ws://a b", "ws://a\n", "ws://a/chat", "ws://a#x",
        "ws://\u00e4.test", "   ",
    ],
)  # fmt: skip
def test_a_server_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError, match="SERVER_URL"):
        Settings.of({"SERVER_URL": url})


@pytest.mark.parametrize("url", ["ws://a/?key=s3cret", "https://user:s3cret@a", "ws://s3cret@a"])
def test_what_may_be_secret_in_a_url_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="SERVER_URL") as caught:
        Settings.of({"SERVER_URL": url})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ws://a", "wss://a:1", "http://a/", "https://a/socket.io/"])
def test_servers_that_can_be(url: str) -> None:
    assert Settings.of({"SERVER_URL": url}).server_url == url


@pytest.mark.parametrize("org", ["line\nbreak", "two words", " ", "x" * 201, "\u2003"])
def test_an_organisation_that_cannot_be(org: str) -> None:
    with pytest.raises(UsageError, match="ORG_ID"):
        Settings.of({"ORG_ID": org})


@pytest.mark.parametrize("flag", ["server_url", "org_id"])
def test_an_empty_flag_chooses_nothing_in_silence(flag: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        Settings.of({}, **{flag: ""})


def test_every_problem_is_told_at_once() -> None:
    environ = {"SERVER_URL": "nonsense", "ORG_ID": "a b", "METRICS_API_KEY": "s3cret\n"}
    with pytest.raises(InvalidPlan) as caught:
        Settings.of(environ, session="9-1")
    first = [problem.split(":")[0] for problem in caught.value.problems]
    assert first == ["SERVER_URL", "ORG_ID", "METRICS_API_KEY", "session"]
    assert "s3cret" not in str(caught.value)


def test_the_key_is_neither_shown_nor_handed_to_scenarios() -> None:
    settings = Settings.of({"SERVER_URL": "ws://a", "METRICS_API_KEY": "s3cret"})
    assert settings.metrics_key == "s3cret"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings.env())


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
