from __future__ import annotations

import copy
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from ghostcore._random import Random
from ghostcore.errors import UsageError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "random.json").read_text())
MASK = 2**64 - 1


def make(index: int = 0) -> Random:
    return Random.keyed(7, "widget", index)


@pytest.mark.parametrize("known", VECTORS["philox2x64_10"])
def test_known_answers_of_the_cipher(known: dict[str, Any]) -> None:
    """From the file kat_vectors of Random123, the library of the authors of Philox."""
    restore: Any = make().__reduce__()[0]
    stream = restore(int(known["key"], 16), int(known["index"], 16), 2 * int(known["block"], 16))
    assert [f"{stream.getrandbits(64):016x}" for _ in range(2)] == known["words"]


@pytest.mark.parametrize("stream", VECTORS["streams"])
def test_a_stream_never_changes_between_versions(stream: dict[str, Any]) -> None:
    random = Random.keyed(int(stream["seed"]), stream["scenario"], int(stream["index"]))
    words = [f"{random.getrandbits(64):016x}" for _ in range(6)]
    assert words == stream["words"]


@pytest.mark.parametrize("call", VECTORS["methods"])
def test_a_method_draws_the_same_from_the_same_stream(call: dict[str, Any]) -> None:
    random = make()
    method = getattr(random, call["method"])
    results = [method(*call["args"], **call["kwargs"]) for _ in range(3)]
    results = [list(value) if isinstance(value, bytes) else value for value in results]
    if isinstance(results[0], float):
        assert results == pytest.approx(call["results"], rel=1e-14)
    else:
        assert results == call["results"]


def test_shuffle_draws_the_same_from_the_same_stream() -> None:
    cards = list(range(10))
    make().shuffle(cards)
    assert cards == VECTORS["shuffle_10"]


def test_a_start_of_the_same_scenario_needs_no_new_key() -> None:
    one = make(3)
    one.random()
    for index in (0, 5, MASK):
        other = one.of_start(index)
        assert (other.index, other.random()) == (index, make(index).random())
    assert one.index == 3
    with pytest.raises(UsageError, match="index must be"):
        one.of_start(-1)


def test_rekey_goes_to_the_beginning_of_another_stream() -> None:
    fresh = [make(5).random(), make(6).random()]
    random = make(0)
    random.random()
    random.rekey(5)
    assert random.index == 5
    assert random.random() == fresh[0]
    random.gauss()
    random.rekey(6)
    assert random.random() == fresh[1]
    random.rekey(MASK)
    assert random.index == MASK


def test_every_part_of_the_key_counts() -> None:
    firsts = {
        Random.keyed(seed, scenario, index).getrandbits(64)
        for seed in (0, 1, -1, 10**30)
        for scenario in ("", "a", "b", "1")
        for index in (0, 1, 2**63)
    }
    assert len(firsts) == 4 * 4 * 3


def test_state_is_small_and_travels() -> None:
    assert sys.getsizeof(make()) <= 48
    random = make(3)
    random.random()
    twins = [copy.copy(random), pickle.loads(pickle.dumps(random))]
    expected = random.getrandbits(128)
    assert [twin.getrandbits(128) for twin in twins] == [expected, expected]
    assert repr(random) == "<Random index=3 drawn=3>"


def test_it_is_made_by_its_key_only() -> None:
    with pytest.raises(TypeError, match=r"made by Random\.keyed\("):
        Random()
    with pytest.raises(TypeError, match="scenario must be a str, not bytes"):
        Random.keyed(1, b"a", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Random.keyed(1.5, "a", 0)  # type: ignore[arg-type]
    for wrong in (-1, 2**64):
        with pytest.raises(UsageError, match="index must be from 0"):
            Random.keyed(1, "a", wrong)
        with pytest.raises(UsageError, match="index must be from 0"):
            make().rekey(wrong)


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "error", "text"),
    [
        ("getrandbits", (-1,), {}, UsageError, "bits must not be negative"),
        ("randbytes", (-1,), {}, UsageError, "bytes must not be negative"),
        ("randrange", (0,), {}, UsageError, r"range\(0, 0, 1\) is empty"),
        ("randrange", (5, 5), {}, UsageError, "is empty"),
        ("randrange", (0, 5, -1), {}, UsageError, "is empty"),
        ("randrange", (0, 5, 0), {}, UsageError, "step must not be 0"),
        ("randrange", (5,), {"step": 2}, TypeError, "needs a stop"),
        ("randrange", (1.5,), {}, TypeError, "integer"),
        ("randint", (2, 1), {}, UsageError, "nothing lies between 2 and 1"),
        ("choice", ([],), {}, IndexError, "empty"),
        ("choices", ([],), {}, IndexError, "empty"),
        ("choices", ("ab",), {"k": -1}, UsageError, "k must not be negative"),
        ("choices", ("ab", [1]), {}, UsageError, "2 elements need 2 weights, not 1"),
        ("choices", ("ab", [1, -1]), {}, UsageError, "at least 0"),
        ("choices", ("ab", [1, math.nan]), {}, UsageError, "at least 0"),
        ("choices", ("ab", [0, 0]), {}, UsageError, "must be positive and finite, not 0"),
        ("choices", ("ab", [1, math.inf]), {}, UsageError, "must be positive and finite, not inf"),
        ("choices", ("", []), {}, UsageError, "must be positive"),
        ("choices", ("ab",), {"cum_weights": [2, 1]}, UsageError, "must not decrease"),
        ("choices", ("ab", [1, 1]), {"cum_weights": [1, 2]}, TypeError, "not both"),
        ("sample", ("ab", 3), {}, UsageError, "cannot take 3 different elements out of 2"),
        ("sample", ("ab", -1), {}, UsageError, "cannot take -1"),
        ("sample", ({1, 2}, 1), {}, TypeError, "must be a sequence"),
        ("sample", ("ab", 1), {"counts": [1]}, UsageError, "as many counts, not 1"),
        ("sample", ("ab", 1), {"counts": [2, -1]}, UsageError, "must not be negative"),
        ("triangular", (0, 1, 2), {}, UsageError, "the mode 2 is not between 0"),
        ("expovariate", (0,), {}, UsageError, "lambd must not be 0"),
        ("paretovariate", (0,), {}, UsageError, "alpha must be positive"),
        ("weibullvariate", (1, -1), {}, UsageError, "beta must be positive"),
        ("gammavariate", (math.nan, 1), {}, UsageError, "alpha must be positive"),
        ("gammavariate", (1, math.inf), {}, UsageError, "beta must be positive"),
        ("betavariate", (0, 1), {}, UsageError, "alpha must be positive"),
        ("betavariate", (1, 0), {}, UsageError, "beta must be positive"),
    ],
)
def test_wrong_arguments(
    method: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        getattr(make(), method)(*args, **kwargs)


def test_the_edges_of_each_method() -> None:
    random = make()
    assert random.getrandbits(0) == 0
    assert random.randbytes(0) == b""
    assert random.randint(5, 5) == 5
    assert random.randrange(1) == 0
    assert random.choices([], k=0) == []
    assert random.sample([], 0) == []
    assert random.triangular(2, 2) == 2
    assert sorted(random.sample(range(5), 5)) == [0, 1, 2, 3, 4]
    assert random.choices("abc", weights=[0, 1, 0], k=50) == ["b"] * 50
    assert random.choices("abc", cum_weights=[0, 0, 2], k=50) == ["c"] * 50
    assert sorted(random.sample("ab", 3, counts=[2, 1])) == ["a", "a", "b"]
    assert {random.randrange(10, 0, -3) for _ in range(200)} == {10, 7, 4, 1}
    assert {random.randrange(1, 8, 3) for _ in range(200)} == {1, 4, 7}
    assert all(0.0 <= random.betavariate(1e-3, 1e-3) <= 1.0 for _ in range(200))


def test_bytes_and_bits_are_the_same_words() -> None:
    stream = make()
    words = [stream.getrandbits(64) for _ in range(3)]
    joined = b"".join(word.to_bytes(8, "little") for word in words)
    assert make().randbytes(24) == joined
    assert make().randbytes(17) == joined[:17]
    assert make().getrandbits(192) == int.from_bytes(joined, "little")
    assert make().getrandbits(10) == words[0] >> 54
