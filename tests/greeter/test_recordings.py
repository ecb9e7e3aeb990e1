"""The simulator held to recordings of the real server, frame by frame."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from raw_client import serving
from replay import HandClock, Replay

from ghost_greeter.simulator import Simulator

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.mark.parametrize(
    ("name", "mode", "frames"),
    [
        ("memory-flows", "memory", 54),
        ("memory-rna-and-queue", "memory", 31),
        ("redis-flows", "redis", 52),
    ],
)
def test_answers_as_the_real_server_did(name: str, mode: str, frames: int) -> None:
    async def main() -> int:
        clock = HandClock()
        async with serving(Simulator(clock=clock, mode=mode, seed=1)) as simulator:  # type: ignore[arg-type]
            replay = Replay(VECTORS / "transcripts" / f"{name}.txt", simulator, clock)
            await replay.run()
            assert simulator.sockets.errors_total == 0
            return replay.compared

    assert asyncio.run(main()) == frames
