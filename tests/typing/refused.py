"""Mistakes that type checkers must find, one on each line that ends with ``wrong``."""

from __future__ import annotations

from ghostcore import VU, ConstantVUs, Counter, Result, Trend, connect, scenario

ECHO = Trend("echo_time")
ITEMS = Counter("items")


def of_metrics(result: Result) -> None:
    print(result.metrics[ECHO].value)  # wrong
    print(result.metrics[ITEMS].p(95))  # wrong
    print(result.metrics["echo_time"].percentile(95))  # wrong
    print(result.metrics[95])  # wrong
    result.metrics["echo_time"] = 1  # wrong


@scenario(load=ConstantVUs(1, "1s"))  # wrong
def not_async(vu: VU) -> None:
    print(vu.id)


async def of_sessions() -> None:
    async with connect("ws://127.0.0.1:9001") as ws:
        await ws.send(5)  # wrong
        await ws.recieve()  # wrong
    connect("ws://127.0.0.1:9001", nonsense=True)  # wrong
