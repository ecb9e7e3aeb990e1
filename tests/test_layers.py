"""Who may import whom: walks every import and cimport of the tree and fails on anything else.

A room is named by the first part of its modules below its package; a few rooms are single modules
of a package with rules of their own. What a room may import is listed once, here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"ghostcore": ROOT / "ghostcore", "ghost_greeter": ROOT / "python" / "ghost_greeter"}

# Leaves: no state, no I/O, free for all.
LEAVES = {
    "errors",
    "_units",
    "_clock",
    "_varint",
    "_linux",
    "_frame",
    "_frames",
    "_asyncio_private",
}

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "_units": set(),
    "_clock": set(),
    "_varint": set(),
    "_linux": set(),
    "_frame": set(),
    "_frames": set(),
    "_asyncio_private": set(),
    "clock": set(),
    "_random": set(),
    "_feeder": {"_random"},
    "_histogram": set(),
    "_timers": set(),
    "_metrics": {"_histogram"},
    "_deflate": set(),
    "_extension": set(),
    "_upgrade": {"_extension"},
    "_handshake": {"_extension", "_upgrade"},
    "_message": {"_deflate"},
    "_codec": set(),
    "_packet": {"_codec"},
    "_socketio": {"_codec", "_packet"},
    "_vitals": {"_histogram"},
    "_watch": {"_histogram", "_timers"},
    "_link": {"_timers", "_vitals"},
    "_engine": {"_link", "_timers", "_metrics", "_message", "_codec", "_deflate"},
    "_websocket": {"_engine", "_codec", "_timers"},
    "_flood": {"_engine", "_websocket", "_codec", "_message", "_metrics", "_timers"},
    "_picows_link": {"_timers", "_engine", "_handshake", "_link", "_message", "_upgrade"},
    "_epoll_link": {
        "_engine",
        "_handshake",
        "_link",
        "_message",
        "_timers",
        "_upgrade",
        "_vitals",
    },
    "_memory_link": {"_codec", "_engine", "_link", "_message"},
    "_dial": set(),
    "_proxy": {"_dial"},
    "_options": {"_extension", "_proxy", "_upgrade"},
    "_route": {"_dial", "_handshake", "_options"},
    "_opening": {
        "_dial",
        "_engine",
        "_epoll_link",
        "_handshake",
        "_link",
        "_metrics",
        "_options",
        "_picows_link",
        "_proxy",
        "_route",
    },
    "_socketio_events": {"_engine", "_link", "_opening", "_options", "_socketio"},
    "_socketio_session": {"_engine", "_flood", "_opening", "_socketio", "_socketio_events"},
    "session": {
        "_engine",
        "_link",
        "_codec",
        "_flood",
        "_opening",
        "_options",
        "_route",
        "_socketio_session",
        "_websocket",
    },
    "_pace": {"_timers"},
    "vu": {
        "_pace",
        "session",
        "_feeder",
        "_link",
        "_opening",
        "_options",
        "_engine",
        "_route",
        "_timers",
        "_metrics",
        "_random",
    },
    "_user": {"vu", "_engine", "_link", "_random", "_timers"},
    "_scenario": {"vu"},
    "load": {"vu", "_scenario", "_timers", "_random"},
    "metrics": {"_histogram", "_metrics"},
    "monitor": {"metrics", "clock", "_metrics", "_link", "_timers", "_watch"},
    "execution.timeline": {"metrics", "_metrics", "monitor"},
    "execution.result": {"metrics", "_metrics", "monitor", "execution.timeline"},
    "execution.hooks": set(),
    "execution.plan": {"load", "_feeder", "_scenario", "metrics", "execution.hooks"},
    "execution.preflight": {"execution.plan", "load", "monitor"},
    "execution.calibration": {
        "_histogram",
        "_opening",
        "_watch",
        "monitor",
        "session",
        "testing",
    },
    "execution.validity": {
        "metrics",
        "_metrics",
        "monitor",
        "execution.plan",
        "execution.result",
        "execution.timeline",
    },
    "execution.verdict": {
        "metrics",
        "monitor",
        "execution.plan",
        "execution.result",
        "execution.timeline",
        "execution.validity",
    },
    "execution.watch": {"metrics", "_metrics", "execution.plan"},
    "execution.progress": {
        "metrics",
        "execution.plan",
        "execution.result",
        "execution.timeline",
    },
    "execution.gathering": {
        "load",
        "metrics",
        "_metrics",
        "monitor",
        "execution.plan",
        "execution.progress",
        "execution.result",
        "execution.timeline",
        "execution.validity",
        "execution.watch",
        "execution.worker",  # what a worker reports, never a worker itself
    },
    "execution.collector": set(),
    "_accounts": {"_engine", "_metrics"},
    "execution.recording": {
        "_accounts",
        "_engine",
        "_link",
        "_metrics",
        "_vitals",
        "metrics",
        "execution.result",
    },
    "execution.worker": {
        "_engine",
        "_link",
        "_user",
        "_opening",
        "load",
        "vu",
        "metrics",
        "monitor",
        "execution.collector",
        "execution.plan",
        "execution.recording",
        "execution.result",
    },
    "execution.lifecycle": {
        "_opening",
        "load",
        "execution.hooks",
        "execution.plan",
        "execution.recording",  # where in the script it failed
    },
    "execution.backends": {"execution.plan", "execution.worker", "load"},
    "execution.runner": {
        "_opening",
        "_scenario",
        "load",
        "metrics",
        "monitor",
        "execution",
        "execution.backends",
        "execution.gathering",
        "execution.lifecycle",
        "execution.plan",
        "execution.calibration",
        "execution.preflight",
        "execution.progress",
        "execution.result",
        "execution.verdict",
        "execution.worker",  # what a worker reports, never a worker itself
    },
    "execution.running": {
        "_scenario",
        "load",
        "execution.plan",
        "execution.progress",
        "execution.result",
        "execution.runner",
    },
    "execution": set(),
    "report": {
        "metrics",
        "_metrics",
        "_histogram",
        "monitor",
        "execution.result",
        "execution.plan",
        "execution.timeline",
        "execution.progress",
    },
    "testing": {
        "_codec",
        "_packet",
        "_socketio",
        "_message",
        "_upgrade",
        "clock",
        "_engine",
        "_timers",
    },
}
ANYTHING = {"cli", "pytest_plugin", "__init__", "__main__"}

# Result.save() is part of the contract; what writes files loads when it is called.
EXCEPTIONS = {("execution.result", "report")}

DOOR = {"", "testing", "report", "cli"}

CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.+)|c?import\s+([\w.]+))", re.MULTILINE)


def sources() -> Iterator[tuple[str, str, Path]]:
    """(package, module without the package, path) of every source file."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".pyx", ".pxi", ".pxd", ".pyi"):
                parts = path.relative_to(folder).with_suffix("").parts
                module = ".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)
                yield package, module, path


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports; ``from a import b`` counts as ``a.b``."""
    text = path.read_text()
    found: set[str] = set()
    if path.suffix in (".py", ".pyi"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found
    for source, _, plain in CIMPORT.findall(text):
        found.add(source or plain)
    return found


# Text that belongs to a module, split off for its length.
PART_OF = {
    "_waiter": "_timers",
    "_stepper": "_timers",
    "_operations": "_engine",
    "_epoll_hub": "_epoll_link",
    "_epoll_dial": "_epoll_link",
    "_epoll_tls": "_epoll_link",
}


def room_of(module: str) -> str:
    """The room of a module of ghostcore: its first part, or two below execution/."""
    parts = module.split(".")
    if parts[0] in PART_OF:
        return PART_OF[parts[0]]
    if parts[0] == "execution" and len(parts) > 1:
        return ".".join(parts[:2])
    return parts[0]


def own_module(name: str) -> str | None:
    """The ghostcore module that an imported name belongs to, without the package; None: foreign."""
    parts = name.split(".")
    if parts[0] != "ghostcore":
        return None
    folder, kept = PACKAGES["ghostcore"], []
    for part in parts[1:]:
        kept.append(part)
        if not (folder / part).is_dir() and not any(folder.glob(f"{part}.p*")):
            kept.pop()
            break
        folder = folder / part
    return ".".join(kept)


def test_every_room_imports_only_what_it_may() -> None:
    wrong = []
    for package, module, path in sources():
        if package != "ghostcore" or room_of(module) in ANYTHING:
            continue
        room = room_of(module)
        assert room in ALLOWED, f"{path} is in a room without rules: {room}"
        for name in imports_of(path):
            target = own_module(name)
            if target is None:
                continue
            if target == "":
                wrong.append(f"{path.name} imports from the package's door: {name}")
                continue
            other = room_of(target)
            if other == room or other in LEAVES or other in ALLOWED[room]:
                continue
            if (room, other) not in EXCEPTIONS:
                wrong.append(f"{module} ({path.suffix}) imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_the_suite_uses_the_public_door_only() -> None:
    wrong = []
    for package, module, path in sources():
        if package != "ghost_greeter":
            continue
        for name in imports_of(path):
            target = own_module(name)
            if target is not None and target not in DOOR:
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_the_engine_never_names_the_product() -> None:
    words = re.compile(r"ghost[ _-]?greeter|visitor:|agent:(?:login|assigned)", re.IGNORECASE)
    named = [
        f"{path}:{number}"
        for package, _, path in sources()
        if package == "ghostcore"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not named, "\n".join(named)


def test_every_compiled_module_has_its_surfaces() -> None:
    for path in PACKAGES["ghostcore"].glob("*.pyx"):
        assert path.with_suffix(".pxd").exists(), f"{path.name} has no .pxd"
        assert path.with_suffix(".pyi").exists(), f"{path.name} has no .pyi"


@pytest.mark.parametrize(("suffix", "limit"), [(".py", 450), (".pyx", 550), (".pxi", 550)])
def test_files_stay_small(suffix: str, limit: int) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for _, _, path in sources()
        if path.suffix == suffix and (lines := len(path.read_text().splitlines())) > limit
    }
    assert not long, long


def test_the_door_is_what_all_says() -> None:
    import ghostcore

    assert len(ghostcore.__all__) == len(set(ghostcore.__all__))
    missing = [name for name in ghostcore.__all__ if not hasattr(ghostcore, name)]
    assert not missing
