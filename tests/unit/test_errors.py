"""The kinds under which errors are counted, and what each means."""

from __future__ import annotations

from typing import Any

from ghostcore.errors import KINDS, OWN_KINDS, Phase, TargetError, meaning_of
from ghostcore.metrics import BUILTINS, Counter


def test_every_kind_has_a_meaning() -> None:
    assert meaning_of("connection_refused") == "nothing listens at that address and port"
    assert meaning_of("script_error") == "an error of the script's own, not of the server's"
    assert all(meaning_of(kind) for kind in (*KINDS, *OWN_KINDS))


def test_kinds_that_are_not_ours_have_no_meaning() -> None:
    assert meaning_of("something") == ""


def test_our_own_kinds_are_not_kinds_of_the_server() -> None:
    assert not OWN_KINDS.keys() & KINDS.keys()


def test_each_of_our_own_kinds_has_a_counter() -> None:
    for own in OWN_KINDS.values():
        assert isinstance(BUILTINS[own.counter], Counter)


def test_a_phase_is_a_text_of_its_own_kind() -> None:
    """Whoever raises an error of their own may name the phase by its word."""
    assert TargetError("no", phase=Phase.TLS).phase == "tls"
    assert TargetError("no").phase is Phase.SESSION
    word: Any = "socketio_connect"
    assert TargetError("no", phase=word).phase is Phase.SOCKETIO_CONNECT
    assert [phase.value for phase in Phase] == [
        "dns",
        "tcp",
        "tls",
        "upgrade",
        "engineio_open",
        "socketio_connect",
        "session",
    ]
    assert all(phase.unfinished for phase in Phase)
