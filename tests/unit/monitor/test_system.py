"""What the system tells of itself, from texts that are known."""

from __future__ import annotations

import gc
import math
import os
import socket

import pytest

from ghostcore.monitor import system
from ghostcore.monitor.system import CpuTimes, SystemWatch, parse_sockstat, parse_stat
from ghostcore.testing.leaks import open_descriptors

STAT = """\
cpu  100 10 50 800 20 0 5 15 7 0
cpu0 60 0 20 400 10 0 5 5 0 0
cpu1 40 10 30 400 10 0 0 10 7 0
intr 12345 0 0
ctxt 99
"""


def test_times_of_all_cores_and_of_each() -> None:
    times = parse_stat(STAT)
    assert list(times) == ["cpu", "cpu0", "cpu1"]
    assert times["cpu"] == CpuTimes(165, 15, 1000), "the guests' time is part of user and nice"
    assert times["cpu1"] == CpuTimes(80, 10, 500)
    assert parse_stat("") == {}
    assert parse_stat("cpu 1 2 3 4\n")["cpu"] == CpuTimes(6, 0, 10), "an old kernel"


def test_shares_of_the_time_between() -> None:
    before, now = CpuTimes(100, 0, 1000), CpuTimes(150, 20, 1100)
    assert now.share_since(before) == (0.5, 0.2)
    assert all(map(math.isnan, now.share_since(now)))


def test_sockets_of_the_network_namespace() -> None:
    text = "sockets: used 58\nTCP: inuse 42 orphan 0 tw 1774 alloc 42 mem 242\nUDP: inuse 3 mem 0\n"
    assert parse_sockstat(text) == (42, 1774)
    assert parse_sockstat("") == (0, 0)


def test_a_sample_of_this_machine() -> None:
    watch = SystemWatch()
    opened = [os.dup(0) for _ in range(5)]
    listener = socket.create_server(("127.0.0.1", 0))
    first = watch.sample(0)
    for descriptor in opened:
        os.close(descriptor)
    listener.close()
    assert first.rss_bytes > 1_000_000
    assert first.sockets >= 1
    assert 0 <= first.clock_jump_ms < 1000
    assert math.isnan(first.core_share) or 0 <= first.core_share <= 1
    assert first.descriptors == len(open_descriptors()) + 5 + 1


def test_open_files_are_listed_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_DESCRIPTORS", "/no/such/directory")  # Linux before 6.2
    gc.collect()
    watch = SystemWatch()
    first = watch.sample(0).descriptors
    opened = [os.dup(0) for _ in range(5)]
    rest = [watch.sample(0).descriptors for _ in range(system.DESCRIPTORS_EVERY)]
    for descriptor in opened:
        os.close(descriptor)
    assert rest[:-1] == [first] * (system.DESCRIPTORS_EVERY - 1)
    assert rest[-1] == first + 5


def test_a_clock_that_was_set_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = SystemWatch()
    offsets = system._clock_offsets()
    monkeypatch.setattr(
        system, "_clock_offsets", lambda: tuple(one + 3_000_000_000 for one in offsets)
    )
    assert watch.sample(0).clock_jump_ms == pytest.approx(3000, abs=50)
    assert watch.sample(0).clock_jump_ms == 0


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_STAT", "/no/such/file")
    monkeypatch.setattr(system, "_SOCKSTAT", "/no/such/file")
    found = SystemWatch().sample(-1)
    assert math.isnan(found.core_share)
    assert math.isnan(found.steal_share)
    assert (found.sockets, found.time_wait) == (0, 0)
