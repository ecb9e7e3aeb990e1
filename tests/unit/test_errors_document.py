"""docs/errors.md tells of every kind and every bad server, in the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

import ghostcore.errors
from ghostcore.errors import KINDS, OWN_KINDS, TargetError
from ghostcore.testing import BAD_SERVERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
PHASES = ("dns", "tcp", "tls", "upgrade", "engineio_open", "socketio_connect", "session")
# What no server can be made to do: these come of this machine's limits, of a proxy, or of other
# causes.
OURS = {"no_source_port", "no_descriptors", "connect_failed", "not_connected", "proxy_failed"}


def rows(heading: str) -> list[list[str]]:
    section = DOCUMENT.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_kinds_are_documented_as_they_are() -> None:
    table = rows("Kinds")
    assert {row[0].strip("`"): row[1] for row in table} == KINDS
    for _, _, raised_as, phases, advice in table:
        for name in re.findall(r"`(\w+)`", raised_as):
            assert issubclass(getattr(ghostcore.errors, name), TargetError)
        assert set(phases.split(", ")) <= set(PHASES)
        assert advice[-1] in ".?"


def test_our_own_kinds_are_documented_beside_them() -> None:
    section = DOCUMENT.read_text().split("## Kinds\n")[1].split("\n## ")[0]
    below = section.rpartition("|\n")[2]
    assert all(f"`{kind}`" in below for kind in OWN_KINDS)


def test_bad_servers_are_documented_as_they_are() -> None:
    expected = [
        [f"`{bad.name}`", bad.does, f"`{bad.kind}`" if bad.kind else "none", bad.phase]
        for bad in BAD_SERVERS.values()
    ]
    assert rows("Bad servers") == expected


def test_there_is_a_bad_server_for_every_kind_of_a_server() -> None:
    shown = {bad.kind for bad in BAD_SERVERS.values() if bad.kind is not None}
    assert shown == set(KINDS) - OURS


def test_a_bad_server_fails_in_a_phase_that_its_kind_has() -> None:
    phases = {row[0].strip("`"): row[3].split(", ") for row in rows("Kinds")}
    for bad in BAD_SERVERS.values():
        if bad.kind is not None:
            assert bad.phase in phases[bad.kind], bad.name
