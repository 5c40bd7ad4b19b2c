"""How a contender talks to the bench: it is told to go, trains an epoch, and says how it went."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Turn = Callable[[], dict[str, float]]
"""Trains a fresh model for an epoch: {"seconds", "images", "loss"}; making it is not timed."""


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
