"""Before the first connection: can this machine carry the plan?"""

from __future__ import annotations

import os
import platform
import resource
from importlib import metadata
from typing import Any

import psutil

from ghostcore.errors import InvalidPlan
from ghostcore.execution.plan import Plan

__all__ = ["describe_machine", "prepare"]

SPARE_DESCRIPTORS = 128
"""Files that the interpreter, the loop, reports and look-ups need beside one socket a user."""


def prepare(plan: Plan) -> list[str]:
    """Raise what can be raised, refuse what cannot be.

    The soft limit of open files is raised as far as the plan needs.

    :returns: warnings for the user.
    :raises InvalidPlan: more users than this process may open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = plan.max_vus + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise InvalidPlan(
            [
                f"{plan.max_vus} users need about {needed} open files, but this process may open "
                f"{hard}: at most {hard - SPARE_DESCRIPTORS} users fit (raise 'ulimit -Hn')"
            ]
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return []


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
