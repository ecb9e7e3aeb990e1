"""Options of connect() and socketio(), checked."""

from __future__ import annotations

from ghostcore.opening.options import Options


def test_options_become_values() -> None:
    built = Options.build(headers={"A": "1"}, subprotocols=["x"], timeout="250ms")
    assert built.headers == (("A", "1"),)
    assert (built.subprotocols, built.timeout_ns) == (("x",), 250_000_000)
