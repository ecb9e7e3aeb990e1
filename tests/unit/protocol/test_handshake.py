"""What is made in C, or known again, against the rules that it stands for."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcore.errors import HandshakeRejected
from ghostcore.protocol import upgrade as _upgrade
from ghostcore.protocol.deflate_offer import DeflateOffer
from ghostcore.protocol.handshake import Judge, Request, accept_of
from ghostcore.protocol.upgrade import Answer, read_answer

KEYS = [base64.b64encode(bytes([number]) * 16) for number in range(3)]


def head(key: bytes, *lines: bytes) -> bytes:
    first = (
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_of(key),
    )
    return b"\r\n".join((*first, *lines, b"", b""))


@given(st.binary(max_size=83))
def test_the_accept_value_is_that_of_hashlib(key: bytes) -> None:
    assert accept_of(key) == _upgrade.accept_of(key)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="84 bytes"):
        accept_of(bytes(84))


def test_keys_are_sixteen_bytes_in_base64_and_all_different() -> None:
    common = Request("h", "/")
    keys = [common.upgrade().key for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}
    assert all(base64.b64encode(base64.b64decode(key)) == key for key in keys)


def test_a_forked_process_makes_other_keys() -> None:
    common = Request("h", "/")
    common.upgrade()  # what is fetched for several keys is there
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, common.upgrade().key)
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100)
    os.close(reader)
    assert len(theirs) == 24
    assert theirs != common.upgrade().key


def test_attempts_of_a_request_differ_in_their_key_alone() -> None:
    arguments: Any = ("h:1", "/x", (("Cookie", "a=b"),), ("one",), DeflateOffer())
    common = Request(*arguments)
    first, second = common.upgrade(), common.upgrade()
    assert first.request.replace(first.key, b"*") == second.request.replace(second.key, b"*")
    assert first.request.count(first.key) == 1


def test_an_answer_is_known_again_whatever_its_key() -> None:
    judge = Judge()
    answers = [judge.read(key, head(key, b"Server: x") + b"\x81\x00") for key in KEYS]
    assert judge.known == 1
    assert isinstance(answers[0], Answer)
    assert all(answer is answers[0] for answer in answers)
    assert answers[0].size == len(head(KEYS[0], b"Server: x"))


def test_other_answers_are_judged_and_the_newest_kept() -> None:
    judge = Judge()
    for second in range(20):
        answer = judge.read(KEYS[0], head(KEYS[0], b"Date: %d" % second))
        assert isinstance(answer, Answer)
        assert answer.headers["date"] == [str(second)]
    assert judge.known == 8


def test_an_answer_with_the_value_twice_is_judged_each_time() -> None:
    judge = Judge()
    for key in KEYS:
        answer = judge.read(key, head(key, b"X-Accept: " + accept_of(key)))
        assert isinstance(answer, Answer)
        assert answer.headers["x-accept"] == [accept_of(key).decode()]
    assert judge.known == 0
    with pytest.raises(HandshakeRejected, match="does not fit the key"):
        judge.read(KEYS[0], head(KEYS[1], b"X-Accept: " + accept_of(KEYS[0])))


def outcome(read: Any, *arguments: Any) -> tuple[Any, ...]:
    """What it returned or raised, to compare."""
    try:
        answer = read(*arguments)
    except HandshakeRejected as error:
        return error.kind, error.status, str(error), error.data
    if answer is None:
        return (None,)
    return answer.size, answer.subprotocol, answer.deflate, sorted(answer.headers)


VALID = head(KEYS[0], b"Sec-WebSocket-Protocol: one")


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 3),
    st.sampled_from((b"", b"\r\n", b"\r\n\r\n", b"x", b" ", b"\0", b"HTTP/1.1 200 OK\r\n")),
    st.integers(0, len(VALID) + 20),
)
def test_what_differs_anywhere_is_judged_by_the_rules(
    at: int, without: int, put: bytes, size: int
) -> None:
    judge = Judge(("one", "two"))
    assert judge.read(KEYS[0], VALID) is not None
    data = (VALID[:at] + put + VALID[at + without :] + b"\x81\x02ab")[:size]
    for key in KEYS[:2]:
        expected = outcome(read_answer, data, accept_of(key), ("one", "two"), None)
        assert outcome(judge.read, key, data) == expected


def test_what_was_offered_is_part_of_what_is_known() -> None:
    compressed = head(KEYS[0], b"Sec-WebSocket-Extensions: permessage-deflate")
    for deflate, refused in ((DeflateOffer(), False), (None, True)):
        upgrade = Request("h", "/", deflate=deflate).upgrade()
        data = compressed.replace(accept_of(KEYS[0]), accept_of(upgrade.key))
        if refused:
            with pytest.raises(HandshakeRejected, match="not offered"):
                upgrade.read(data)
        else:
            answer = upgrade.read(data)
            assert answer is not None
            assert answer.deflate is not None
