"""What this machine can give: files, ports, memory, cores. Read from the system, judged purely."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = [
    "SPARE_DESCRIPTORS",
    "USER_BYTES",
    "Finding",
    "Limits",
    "describe",
    "read_limits",
    "refusals",
]

SPARE_DESCRIPTORS = 128
"""Files that the interpreter, the loop, reports and look-ups need beside one socket a user."""

USER_BYTES = 16 * 1024
"""Memory that a user is reckoned with, the kernel's share included: an idle one with a plain
WebSocket takes less, one with TLS or compression more."""

USUAL_USERS = 10_000
"""What a load generator is expected to hold where no plan says more."""

TIME_WAIT_S = 60
"""How long Linux keeps the port of a connection that this side closed first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of this process and this machine; None: there is none, or it is not known.

    :ivar descriptors_soft: files that this process may open; it can raise that to ``_hard``.
    :ivar descriptors_max: how far an administrator can raise ``_hard`` (fs.nr_open).
    :ivar ports: source ports that connections from one address to one server can take.
    :ivar port_range: the lowest and the highest of these ports.
    :ivar memory_bytes: memory that is still free for this process.
    :ivar cores: cores that this process may use.
    :ivar backlog: connections that may wait for a server on this machine to accept them.
    :ivar tracked: connections that the firewall can track.
    :ivar tracked_now: connections that the firewall tracks now.
    """

    descriptors_soft: int | None = None
    descriptors_hard: int | None = None
    descriptors_max: int | None = None
    ports: int | None = None
    port_range: tuple[int, int] | None = None
    memory_bytes: int | None = None
    cores: float = 1.0
    backlog: int | None = None
    tracked: int | None = None
    tracked_now: int = 0

    @property
    def users_by_descriptors(self) -> int | None:
        """Users with one connection each whose files fit into this process."""
        hard = self.descriptors_hard
        return None if hard is None else max(0, hard - SPARE_DESCRIPTORS)

    @property
    def users_by_memory(self) -> int | None:
        """Users that fit into memory."""
        return None if self.memory_bytes is None else self.memory_bytes // USER_BYTES

    @property
    def users_by_tracking(self) -> int | None:
        """Connections that the firewall can still track."""
        return None if self.tracked is None else max(0, self.tracked - self.tracked_now)


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit, for people.

    :ivar users: how many users it lets through; None: it does not limit them.
    :ivar fix: the command that raises it, where that may be wanted; "" where nothing is to be done.
    """

    name: str
    text: str
    users: int | None = None
    fix: str = ""


def read_limits(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Limits:
    """The limits that hold for this process now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    system = proc / "sys"
    ports, port_range = _ports(system / "net/ipv4")
    return Limits(
        None if soft == resource.RLIM_INFINITY else soft,
        None if hard == resource.RLIM_INFINITY else hard,
        _number(system / "fs/nr_open"),
        ports,
        port_range,
        _memory(proc, cgroups),
        _cores(proc, cgroups),
        _number(system / "net/core/somaxconn"),
        _number(system / "net/netfilter/nf_conntrack_max"),
        _number(system / "net/netfilter/nf_conntrack_count") or 0,
    )


def refusals(limits: Limits, users: int, targets: Sequence[str] = ()) -> list[str]:
    """Why so many users cannot be: one sentence for each limit, with the number that would fit.

    :param targets: the servers that the users will connect to, if they are known and not on this
        machine (which has many addresses to connect from).
    """
    found = []
    fit = limits.users_by_descriptors
    if fit is not None and users > fit:
        found.append(
            f"{users} users need about {users + SPARE_DESCRIPTORS} open files, but this process "
            f"may open {limits.descriptors_hard}: at most {fit} users fit "
            f"({_raise_files(limits, users)})"
        )
    fit = limits.users_by_memory
    if fit is not None and users > fit:
        found.append(
            f"{users} users need about {_size(users * USER_BYTES)} of memory, but "
            f"{_size(limits.memory_bytes or 0)} are free: at most {fit} users fit"
        )
    if targets and limits.ports is not None and users > limits.ports * len(targets):
        fit = limits.ports * len(targets)
        found.append(
            f"{users} users to {' and '.join(targets)} need as many source ports, but one address "
            f"has {limits.ports} for each server: at most {fit} users fit (connect from more "
            "addresses with local_address=[...], then allow_oversized; or "
            f"{_raise_ports()})"
        )
    return found


def describe(limits: Limits, users: int | None = None) -> Iterator[Finding]:
    """Each limit, what it lets through, and how to raise it where it is low.

    :param users: a plan's; a limit that lets fewer through gets its fix. Without a plan, limits
        that are below what is usual on a load generator get theirs.
    """
    wanted = USUAL_USERS if users is None else users
    fit = limits.users_by_descriptors
    if fit is None:
        yield Finding("files", "no limit of open files")
    else:
        text = f"this process may open {limits.descriptors_hard:,} files"
        if limits.descriptors_soft != limits.descriptors_hard:
            text += f" (now {limits.descriptors_soft or 0:,}; a run raises that itself)"
        yield Finding("files", text, fit, _raise_files(limits, wanted) if fit < wanted else "")
    if limits.ports is not None and limits.port_range is not None:
        low, high = limits.port_range
        text = f"{limits.ports:,} source ports ({low}-{high}) from one address to one server"
        fix = f"{_raise_ports()}, or local_address=[...]" if limits.ports < wanted else ""
        yield Finding("ports", text, limits.ports, fix)
        yield Finding(
            "churn",
            f"{limits.ports // TIME_WAIT_S:,} connections a second for ever, if this side closes "
            f"them: each keeps its port for {TIME_WAIT_S} s",
        )
    if limits.memory_bytes is not None:
        text = f"{_size(limits.memory_bytes)} free, {USER_BYTES // 1024} KiB reckoned a user"
        fit = limits.users_by_memory or 0
        yield Finding("memory", text, fit, "a machine with more memory" if fit < wanted else "")
    yield Finding(
        "cores",
        f"{limits.cores:g} for this process; one event loop uses one",
        fix="a second core, for the server or whatever else runs here" if limits.cores < 2 else "",
    )
    if limits.backlog is not None:
        yield Finding(
            "backlog",
            f"a server on this machine may keep {limits.backlog:,} connections waiting for it",
            fix="sysctl -w net.core.somaxconn=4096" if limits.backlog < 1024 else "",
        )
    fit = limits.users_by_tracking
    if fit is not None:
        text = f"the firewall may track {limits.tracked:,} connections, {limits.tracked_now:,} now"
        more = 2 * (wanted + limits.tracked_now)
        fix = f"sysctl -w net.netfilter.nf_conntrack_max={more}" if fit < wanted else ""
        yield Finding("conntrack", text, fit, fix)


def _raise_files(limits: Limits, users: int) -> str:
    needed = users + SPARE_DESCRIPTORS
    first = ""
    if limits.descriptors_max is not None and needed > limits.descriptors_max:
        first = f"'sysctl -w fs.nr_open={needed}', then "
    return f"{first}'ulimit -Hn {needed}' as root, before the run"


def _raise_ports() -> str:
    return "'sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"'"


def _size(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


# ---- reading ------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _ports(net: Path) -> tuple[int | None, tuple[int, int] | None]:
    """(ports that are free to take, their range): reserved ones are left out."""
    words = _text(net / "ip_local_port_range").split()
    if len(words) != 2:
        return None, None
    low, high = map(int, words)
    reserved = 0
    for part in filter(None, _text(net / "ip_local_reserved_ports").split(",")):
        first, _, last = part.partition("-")
        reserved += max(0, min(int(last or first), high) - max(int(first), low) + 1)
    return high - low + 1 - reserved, (low, high)


def _groups(proc: Path, cgroups: Path, controller: str) -> list[Path]:
    """The directories of this process's groups, innermost first, in either layout of cgroups."""
    for line in _text(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = cgroups
        elif controller in controllers.split(","):
            root = cgroups / controller
        else:
            continue
        inner = root / path.lstrip("/")
        chain = [inner, *inner.parents]
        chain = chain[: chain.index(root) + 1]
        if any((one / name).exists() for one in chain for name in _FILES[controller]):
            return chain
    return []


_FILES = {
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "cpu": ("cpu.max", "cpu.cfs_quota_us"),
}


def _memory(proc: Path, cgroups: Path) -> int:
    """Free memory: of the machine, or of the tightest group of this process."""
    free: int = psutil.virtual_memory().available
    for group in _groups(proc, cgroups, "memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most, now = _number(group / limit), _number(group / used)
            if most is not None and now is not None:
                free = min(free, most - now + _cached(group))
    return max(0, free)


def _cached(group: Path) -> int:
    """File pages that the group would give back at once."""
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return int(value)
    return 0


def _cores(proc: Path, cgroups: Path) -> float:
    """Cores that this process may run on, or the share of them that its groups grant."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    for group in _groups(proc, cgroups, "cpu"):
        words = _text(group / "cpu.max").split()
        if not words:
            words = [_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            cores = min(cores, int(words[0]) / int(words[1]))
    return cores
