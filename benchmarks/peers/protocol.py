"""How a contender answers the bench: as a line of JSON, after an epoch of training."""

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
    """Train for an epoch that warms up, then for one that counts, and say how that went.

    Args:
        prepare: gets the job, loads its data and gives the turn.
        packages: whose versions are told.
    """
    from importlib.metadata import version

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    turn = prepare(json.loads(sys.argv[1]))
    turn()
    answer = turn() | {"versions": {name: version(name) for name in packages}}
    print(json.dumps(answer), file=answers, flush=True)
