"""Cost of recording one sample, against the hdrhistogram package, in one run.

    python benches/micro_histogram.py [--samples N]

Values are log-normal latencies around 20 ms in us, the same for every row. "C loop" is the cost
that the engine pays, with warm caches (each value 1,000 times in a row); "Python call" adds the
interpreter's call and loop, which the engine does not pay.
Compare rows of one run only: absolute times are those of the machine and the moment.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable

from hdrh.histogram import HdrHistogram

from ghostcore.metrics.histogram import HIGHEST, Histogram
from ghostcore.metrics.recorders import TrendRecorder

REPEATS = 5


def latencies_us(count: int) -> list[int]:
    """Log-normal around 20 ms, sigma 0.8: the shape of answers of a busy server."""
    source = random.Random(7)
    return [int(source.lognormvariate(math.log(20_000), 0.8)) for _ in range(count)]


def per_sample_ns(action: Callable[[], object], samples: int) -> float:
    """The best of several repeats: what remains when nothing else disturbs."""
    best = math.inf
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        action()
        best = min(best, time.perf_counter_ns() - start)
    return best / samples


def call_each(record: Callable[[int], object], values: list[int]) -> Callable[[], object]:
    def action() -> None:
        for value in values:
            record(value)

    return action


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=100_000)
    count = max(parser.parse_args().samples, 1000)
    values = latencies_us(count)
    nanoseconds = [value * 1000 for value in values]
    some, times = values[:1000], 1000

    ours, package = Histogram(), HdrHistogram(1, HIGHEST, 3)
    trend = TrendRecorder(0.001, 1e6)

    def c_loop() -> None:
        for value in some:
            ours.record_many(value, times)

    runs: list[tuple[str, Callable[[], object], int]] = [
        ("hdrhistogram record_value", call_each(package.record_value, values), count),
        ("Histogram.record, C loop", c_loop, len(some) * times),
        ("Histogram.record, Python call", call_each(ours.record, values), count),
        ("Trend.record_ns, Python call", call_each(trend.record_ns, nanoseconds), count),
        ("an empty Python call", call_each(lambda value: None, values), count),
    ]
    rows = [(name, per_sample_ns(action, samples)) for name, action, samples in runs]
    base = rows[0][1]
    print(f"{'':32}{'ns a sample':>12}{'ratio':>10}")
    for name, cost in rows:
        print(f"{name:32}{cost:12.1f}{base / cost:9.1f}x")
    one = Histogram()
    for value in values:
        one.record(value)
    print(
        f"memory: empty {sys.getsizeof(Histogram())} B, {count} latencies "
        f"{sys.getsizeof(one) / 1024:.1f} KiB, wire form {len(one.to_bytes()) / 1024:.1f} KiB"
    )


if __name__ == "__main__":
    main()
