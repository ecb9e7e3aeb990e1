"""Before the first connection: can this machine carry the plan?"""

from __future__ import annotations

import ipaddress
import os
import platform
import resource
from importlib import metadata
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import psutil

from ghostcore.errors import InvalidPlan
from ghostcore.execution.plan import Plan
from ghostcore.load import OpenModel
from ghostcore.monitor.limits import SPARE_DESCRIPTORS, Limits, read_limits, refusals

__all__ = ["asked_users", "describe_machine", "prepare", "targets_of"]


def prepare(plan: Plan, limits: Limits | None = None) -> list[str]:
    """Raise what can be raised, refuse what cannot be.

    The soft limit of open files is raised as far as the plan needs.

    :param limits: those of this machine unless given.
    :returns: warnings for the user.
    :raises InvalidPlan: more users than the files, memory or source ports of this machine allow,
        unless the plan says ``allow_oversized``.
    """
    limits = limits or read_limits()
    problems = refusals(limits, asked_users(plan), targets_of(plan))
    if problems and not plan.allow_oversized:
        raise InvalidPlan(problems)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = plan.max_vus + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return problems


def asked_users(plan: Plan) -> int:
    """The most users that the plan asks for at one time, graceful stops included.

    Where a load model may make up to so many users as it goes along, and nobody said how many that
    are, none was asked for.
    """
    changes: list[tuple[int, int]] = []
    for one in plan.scenarios:
        load = one.load
        if isinstance(load, OpenModel) and load.is_sized and load.max_vus is None:
            continue
        end_ns = load.start_time_ns + load.duration_ns + load.graceful_stop_ns
        changes += [(load.start_time_ns, load.peak_vus), (end_ns, -load.peak_vus)]
    # At equal moments, users that leave are counted before users that come.
    return max(accumulate(change for _, change in sorted(changes)), default=0)


def targets_of(plan: Plan) -> list[str]:
    """``host:port`` of the servers that settings of the plan name; none if one of them is on this
    machine, which has many addresses to connect from.

    A script may connect to where no setting points, and a setting may never be used: this is what
    can be known before the start.
    """
    found: dict[str, None] = {}
    for one in plan.scenarios:
        for value in one.env.values():
            try:
                parts = urlsplit(value)
                port = parts.port
            except ValueError:
                continue
            if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
                continue
            if _is_loopback(parts.hostname):
                return []
            port = port or (443 if parts.scheme in ("wss", "https") else 80)
            found[f"{parts.hostname}:{port}"] = None
    return list(found)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def describe_machine() -> dict[str, Any]:
    """What the run was made on, for the result."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    versions = {
        name: metadata.version(name)
        for name in ("ghostcore", "picows", "uvloop", "msgpack", "hdrhistogram")
        if _installed(name)
    }
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "descriptors_soft": soft,
        "descriptors_hard": hard,
        "versions": versions,
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
