"""How the load generator itself is doing: a late loop or a full core shows in every latency."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ghostcore._engine import Engine
from ghostcore.loop.watch import LoopWatch, running_core
from ghostcore.metrics import Snapshot
from ghostcore.metrics.recorders import CounterState
from ghostcore.monitor.lines import Locator
from ghostcore.monitor.rules import LOCAL_KINDS, doubts_of
from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall
from ghostcore.monitor.system import SystemState, SystemWatch

__all__ = ["GeneratorMonitor", "local_failures_of_window"]


def local_failures_of_window(window: Snapshot) -> int:
    """Connections of a window that failed for want of a source port or a descriptor."""
    return sum(
        int(state.total)
        for key, state in window.series.items()
        if key.name == "ws_errors"
        and isinstance(state, CounterState)
        and any(tag == "kind" and value in LOCAL_KINDS for tag, value in key.tags)
    )


class GeneratorMonitor:
    """Watches the loop of an engine, and what the system gives it. To be made in a task of it.

    On a loop that has a clock of its own (tests) the lag is told on that clock, and nothing that
    is measured in real time: there is nothing to compare it with.

    :param start_ns: the start of the run, on the engine's clock.
    :param scripts: files of the scenarios, to name their lines.
    """

    def __init__(self, engine: Engine, start_ns: int, scripts: Iterable[str] = ()) -> None:
        self._engine = engine
        self._start_ns = start_ns
        self._sampled_ns = time.monotonic_ns()
        self._real = getattr(engine.loop, "clock", None) is None
        self._locator = Locator(scripts) if self._real else None
        self._watch = LoopWatch(engine.timers, self._locator)
        self._system = SystemWatch()
        engine.vitals.take_stamps()  # throw away the figures of an earlier run on the same loop
        self._doubts: tuple[Doubt, ...] = ()
        self._gc_began_ns = 0
        self._gc_pause_ns = 0
        self._cpu_ns = time.process_time_ns()
        self._thread_cpu_ns = time.thread_time_ns()
        self._waited_ns = self._watch.waited_ns()
        if self._real:
            gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, _: Mapping[str, Any]) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        elif self._gc_began_ns:
            pause_ns = time.monotonic_ns() - self._gc_began_ns
            self._gc_pause_ns = max(self._gc_pause_ns, pause_ns)

    def sample(self, window: Snapshot) -> GeneratorSample:
        """What was seen since the last call; to be called in the loop's thread.

        :param window: the window of the run that ends now.
        """
        lag_p99_ns, lag_ns = self._watch.take_lag()
        frames, stamp_p99_ns, stamp_ns = self._engine.vitals.take_stamps()
        system = self._system.sample(running_core())
        found = GeneratorSample(
            at_s=window.end_ns / 1e9,
            window_s=(window.end_ns - window.start_ns) / 1e9,
            loop_lag_ms=lag_ns / 1e6,
            loop_lag_p99_ms=lag_p99_ns / 1e6,
            stamp_error_ms=stamp_ns / 1e6 if frames else math.nan,
            stamp_error_p99_ms=stamp_p99_ns / 1e6 if frames else math.nan,
            backlog_bytes=self._engine.vitals.backlog_bytes,
            cpu_share=math.nan,
            rss_bytes=system.rss_bytes,
            descriptors=system.descriptors,
            sockets=system.sockets,
            time_wait=system.time_wait,
            local_failures=local_failures_of_window(window),
        )
        if self._real:
            found = self._in_real_time(found, system)
        self._doubts = doubts_of(found, self._doubts)
        return replace(found, doubts=self._doubts)

    def _in_real_time(self, found: GeneratorSample, system: SystemState) -> GeneratorSample:
        """With what is measured by the clocks of the system."""
        now_ns = time.monotonic_ns()
        window_ns, self._sampled_ns = max(1, now_ns - self._sampled_ns), now_ns
        cpu_ns, self._cpu_ns = self._cpu_ns, time.process_time_ns()
        thread_ns, self._thread_cpu_ns = self._thread_cpu_ns, time.thread_time_ns()
        waited_ns, self._waited_ns = self._waited_ns, self._watch.waited_ns()
        pause_ns, self._gc_pause_ns = self._gc_pause_ns, 0
        known = self._waited_ns >= 0 and waited_ns >= 0
        return replace(
            found,
            cpu_share=(self._cpu_ns - cpu_ns) / window_ns,
            loop_cpu_share=(self._thread_cpu_ns - thread_ns) / window_ns,
            waiting_share=(self._waited_ns - waited_ns) / window_ns if known else math.nan,
            core_share=system.core_share,
            machine_cpu_share=system.machine_cpu_share,
            steal_share=system.steal_share,
            gc_pause_ms=pause_ns / 1e6,
            clock_jump_ms=system.clock_jump_ms,
            stalls=self._stalls(),
        )

    def _stalls(self) -> tuple[Stall, ...]:
        return tuple(
            Stall(
                (start_ns - self._start_ns) / 1e9,
                (end_ns - start_ns) / 1e6,
                machine_ns / 1e6,
                where,
                inside,
            )
            for start_ns, end_ns, machine_ns, where, inside in self._watch.take_stalls()
        )

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._watch.close()
        if self._locator is not None:
            self._locator.close()
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)
