"""How a contender talks to the bench: it is told to go, trains an epoch, and says how it went."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Turn = Callable[[], dict[str, float]]
"""Trains a fresh model for an epoch, whose making is not timed; what `Stopwatch.stop` gives."""


class Stopwatch:
    """Started with the first batch, stopped after the last."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self, images: int, loss: float) -> dict[str, float]:
        """What the epoch took: by the clock, and of the processor's time."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"seconds": wall, "cpu_seconds": cpu, "images": images, "loss": loss}


def serve(prepare: Callable[[dict[str, Any]], Turn], *packages: str) -> None:
    """Answer the bench until it closes the line.

    Args:
        prepare: gets the job, loads its data and gives the turn.
        packages: whose versions are told.
    """
    from importlib.metadata import version

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    job = json.loads(sys.argv[1])
    turn = prepare(job)
    print(json.dumps({name: version(name) for name in packages}), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn()), file=answers, flush=True)
