"""What a machine can give, from systems that are made up, and what follows from it."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ghostcore.monitor.limits import (
    SPARE_DESCRIPTORS,
    USER_BYTES,
    USUAL_USERS,
    Finding,
    Limits,
    describe,
    read_limits,
    refusals,
)

MACHINE = Limits(
    descriptors_soft=1024,
    descriptors_hard=20_000,
    descriptors_max=1_048_576,
    ports=28_232,
    port_range=(32768, 60999),
    memory_bytes=64 * 2**30,
    cores=2.0,
    backlog=4096,
)


class System:
    """A made-up /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"

    def write(self, **files: str) -> None:
        for name, text in files.items():
            where = self.proc if name.startswith(("sys_", "self_")) else self.cgroups
            path = where / PATHS[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    def read(self) -> Limits:
        return read_limits(self.proc, self.cgroups)


PATHS = {
    "sys_range": "sys/net/ipv4/ip_local_port_range",
    "sys_reserved": "sys/net/ipv4/ip_local_reserved_ports",
    "sys_somaxconn": "sys/net/core/somaxconn",
    "sys_nr_open": "sys/fs/nr_open",
    "sys_tracked": "sys/net/netfilter/nf_conntrack_max",
    "sys_tracked_now": "sys/net/netfilter/nf_conntrack_count",
    "self_groups": "self/cgroup",
    "memory_max": "app/memory.max",
    "memory_now": "app/memory.current",
    "memory_stat": "app/memory.stat",
    "outer_max": "memory.max",
    "outer_now": "memory.current",
    "cpu_max": "app/cpu.max",
    "old_limit": "memory/app/memory.limit_in_bytes",
    "old_usage": "memory/app/memory.usage_in_bytes",
    "old_quota": "cpu/cpu.cfs_quota_us",
    "old_period": "cpu/cpu.cfs_period_us",
}


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_nothing_that_is_not_there_is_made_up(system: System) -> None:
    found = system.read()
    assert (found.ports, found.backlog, found.tracked, found.descriptors_max) == (None,) * 4
    assert found.memory_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert found.cores >= 1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found.descriptors_soft == (None if soft == resource.RLIM_INFINITY else soft)
    assert found.descriptors_hard == (None if hard == resource.RLIM_INFINITY else hard)


def test_the_system_is_read(system: System) -> None:
    system.write(
        sys_range="32768\t60999",
        sys_somaxconn="128",
        sys_nr_open="1048576",
        sys_tracked="262144",
        sys_tracked_now="17",
    )
    found = system.read()
    assert (found.ports, found.port_range) == (28_232, (32768, 60999))
    assert (found.backlog, found.descriptors_max) == (128, 1_048_576)
    assert (found.tracked, found.tracked_now) == (262_144, 17)
    assert found.users_by_tracking == 262_127


@pytest.mark.parametrize(
    ("reserved", "ports"),
    [("", 101), ("100", 100), ("150-159,200", 90), ("1-99,201-300", 101), ("90-109", 91)],
)
def test_reserved_ports_cannot_be_taken(system: System, reserved: str, ports: int) -> None:
    system.write(sys_range="100 200", sys_reserved=reserved)
    assert system.read().ports == ports


def test_the_tightest_group_of_this_process_counts(system: System) -> None:
    system.write(
        self_groups="0::/app",
        memory_max="3000000",
        memory_now="1000000",
        memory_stat="anon 400000\ninactive_file 500000\nactive_file 9",
        outer_max="max",
        outer_now="5",
        cpu_max="50000 100000",
    )
    found = system.read()
    assert found.memory_bytes == 2_500_000, "pages of files are given back"
    assert found.users_by_memory == 2_500_000 // USER_BYTES
    assert found.cores == 0.5
    system.write(outer_max="1500000", outer_now="1400000")
    assert system.read().memory_bytes == 100_000


def test_groups_without_limits_are_none(system: System) -> None:
    system.write(self_groups="0::/app", memory_max="max", memory_now="1", cpu_max="max 100000")
    found = system.read()
    assert found.cores >= 1
    assert found.memory_bytes is not None
    assert found.memory_bytes > 10_000_000


def test_the_old_layout_of_groups(system: System) -> None:
    system.write(
        self_groups="4:memory:/app\n1:cpu,cpuacct:/\n0::/",
        old_limit="4000000",
        old_usage="1000000",
        old_quota="150000",
        old_period="100000",
    )
    found = system.read()
    assert found.memory_bytes == 3_000_000
    assert found.cores == 1.5


def test_a_plan_that_fits_is_not_refused() -> None:
    assert refusals(MACHINE, 20_000 - SPARE_DESCRIPTORS) == []
    assert refusals(Limits(), 10**6, ["example.test:80"]) == [], "nothing is known"


def test_files_that_do_not_suffice() -> None:
    (found,) = refusals(MACHINE, 30_000)
    assert "at most 19872 users fit" in found
    assert "'ulimit -Hn 30128' as root" in found
    (found,) = refusals(replace(MACHINE, memory_bytes=None), 2_000_000)
    assert "'sysctl -w fs.nr_open=2000128', then 'ulimit -Hn 2000128'" in found


def test_memory_that_does_not_suffice() -> None:
    (found,) = refusals(replace(MACHINE, memory_bytes=1000 * USER_BYTES + 5), 1001)
    assert "1001 users need about 16.4 MB of memory, but 16.4 MB are free" in found
    assert "at most 1000 users fit" in found


def test_ports_that_do_not_suffice_for_a_known_server() -> None:
    machine = replace(MACHINE, descriptors_hard=100_000)
    (found,) = refusals(machine, 28_233, ["example.test:80"])
    assert "at most 28232 users fit" in found
    assert "ip_local_port_range" in found
    assert refusals(machine, 28_233) == [], "where the users go is not known"
    assert refusals(machine, 28_233, ["a.test:80", "b.test:80"]) == [], "each has its ports"
    assert len(refusals(machine, 60_000, ["a.test:80", "b.test:80"])) == 1


def test_every_problem_is_told_at_once() -> None:
    machine = replace(MACHINE, memory_bytes=1_000_000)
    assert len(refusals(machine, 30_000, ["example.test:80"])) == 3


def test_each_limit_is_described_with_what_it_lets_through() -> None:
    found = {one.name: one for one in describe(MACHINE)}
    assert list(found) == ["files", "ports", "churn", "memory", "cores", "backlog"]
    assert found["files"].users == 19_872
    assert "(now 1,024; a run raises that itself)" in found["files"].text
    assert found["ports"].users == 28_232
    assert "470 connections a second" in found["churn"].text
    assert all(one.fix == "" for one in found.values()), f"{USUAL_USERS} users fit"


def test_a_plan_gets_the_commands_that_it_needs() -> None:
    def fixes(limits: Limits, users: int | None = None) -> dict[str, Finding]:
        return {one.name: one for one in describe(limits, users) if one.fix}

    assert set(fixes(MACHINE, 25_000)) == {"files"}
    assert set(fixes(MACHINE, 30_000)) == {"files", "ports"}
    tight = replace(
        MACHINE, cores=1.0, backlog=128, tracked=5000, tracked_now=1000, memory_bytes=10**6
    )
    found = fixes(tight)
    assert set(found) == {"memory", "cores", "backlog", "conntrack"}
    assert found["backlog"].fix == "sysctl -w net.core.somaxconn=4096"
    assert found["conntrack"].fix == "sysctl -w net.netfilter.nf_conntrack_max=22000"
    assert found["conntrack"].users == 4000


def test_no_limit_of_files_is_told_as_such() -> None:
    found = next(iter(describe(Limits())))
    assert (found.text, found.users) == ("no limit of open files", None)
