from __future__ import annotations

from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.protocol.deflate_offer import Deflate, DeflateOffer


def offer(**parameters: Any) -> DeflateOffer:
    made = DeflateOffer.build(parameters or True)
    assert made is not None
    return made


@pytest.mark.parametrize("off", [None, False])
def test_compression_is_off_unless_asked_for(off: object) -> None:
    assert DeflateOffer.build(off) is None


@pytest.mark.parametrize(
    ("compression", "header"),
    [
        (True, "permessage-deflate; client_max_window_bits"),
        ("deflate", "permessage-deflate; client_max_window_bits"),
        ({}, "permessage-deflate; client_max_window_bits"),
        ({"client_max_window_bits": None}, "permessage-deflate"),
        ({"client_max_window_bits": 10}, "permessage-deflate; client_max_window_bits=10"),
        (
            {
                "client_no_context_takeover": True,
                "server_no_context_takeover": True,
                "client_max_window_bits": True,
                "server_max_window_bits": 8,
            },
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=8; client_max_window_bits",
        ),
    ],
)
def test_offers(compression: object, header: str) -> None:
    made = DeflateOffer.build(compression)
    assert made is not None
    assert made.header() == header


@pytest.mark.parametrize(
    ("compression", "match"),
    [
        ("gzip", "compression must be"),
        (1, "compression must be"),
        ({"level": 9}, "'level' is no parameter"),
        ({"client_no_context_takeover": 1}, "True or False"),
        ({"server_max_window_bits": True}, "8 to 15"),
        ({"server_max_window_bits": 7}, "8 to 15"),
        ({"client_max_window_bits": 16}, "8 to 15"),
        ({"client_max_window_bits": False}, "8 to 15"),
        ({"client_max_window_bits": "10"}, "8 to 15"),
    ],
)
def test_offers_that_cannot_be(compression: object, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        DeflateOffer.build(compression)


@pytest.mark.parametrize(
    ("made", "answer", "agreed"),
    [
        (offer(), ["permessage-deflate"], Deflate()),
        (
            offer(),
            ["permessage-deflate;server_no_context_takeover ;\tclient_no_context_takeover"],
            Deflate(True, True),
        ),
        (
            offer(),
            ['permessage-deflate; server_max_window_bits=8; client_max_window_bits="9"'],
            Deflate(False, False, 9, 8),
        ),
        (
            offer(client_no_context_takeover=True),
            ["permessage-deflate"],
            Deflate(client_no_context_takeover=True),
        ),
        (
            offer(client_max_window_bits=10),
            ["permessage-deflate"],
            Deflate(client_max_window_bits=10),
        ),
        (
            offer(client_max_window_bits=10),
            ["permessage-deflate; client_max_window_bits=11"],
            Deflate(client_max_window_bits=10),
        ),
        (
            offer(server_max_window_bits=12),
            ["permessage-deflate; server_max_window_bits=11"],
            Deflate(server_max_window_bits=11),
        ),
    ],
)
def test_answers_that_will_do(made: DeflateOffer, answer: list[str], agreed: Deflate) -> None:
    assert made.accept(answer) == agreed


@pytest.mark.parametrize(
    ("made", "answer", "why"),
    [
        (offer(), "permessage-bzip2", "not offered"),
        (offer(), "", "not offered"),
        (offer(), "permessage-deflate, permessage-deflate", "more than one"),
        (offer(), "permessage-deflate; level=9", "unknown parameter"),
        (offer(), "permessage-deflate; Server_No_Context_Takeover", "unknown parameter"),
        (
            offer(),
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "twice",
        ),
        (offer(), "permessage-deflate; server_no_context_takeover=1", "takes no value"),
        (offer(), "permessage-deflate; client_no_context_takeover=true", "takes no value"),
        (offer(), "permessage-deflate; server_max_window_bits", "8 to 15"),
        (offer(), "permessage-deflate; server_max_window_bits=7", "8 to 15"),
        (offer(), "permessage-deflate; server_max_window_bits=16", "8 to 15"),
        (offer(), "permessage-deflate; server_max_window_bits=08", "8 to 15"),
        (offer(), "permessage-deflate; client_max_window_bits", "8 to 15"),
        (offer(), "permessage-deflate; client_max_window_bits=x", "8 to 15"),
        (offer(), "permessage-deflate; =8", "malformed"),
        (offer(), "permessage-deflate; ", "malformed"),
        (offer(), 'permessage-deflate; server_max_window_bits="8', "malformed"),
        (
            offer(client_max_window_bits=None),
            "permessage-deflate; client_max_window_bits=10",
            "not offered",
        ),
        (
            offer(server_max_window_bits=10),
            "permessage-deflate; server_max_window_bits=11",
            "more than the 10",
        ),
        (offer(server_max_window_bits=10), "permessage-deflate", "not granted"),
        (offer(server_no_context_takeover=True), "permessage-deflate", "not granted"),
    ],
)
def test_answers_that_break_the_rules(made: DeflateOffer, answer: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        made.accept([answer])


def test_two_headers_are_one_list() -> None:
    with pytest.raises(ValueError, match="more than one"):
        offer().accept(["permessage-deflate", "permessage-deflate"])
