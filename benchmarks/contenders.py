"""Contenders who take turns, A B C A B C, each turn in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import python_of

ROOT = Path(__file__).parent.parent

Turn = dict[str, Any]
"""What `protocol.Stopwatch.stop` gives, and the `versions` of the contender's libraries."""


def in_turn(names: Sequence[str], job: dict[str, Any], rounds: int) -> dict[str, list[Turn]]:
    """The turns of each contender that gets through all of them.

    A process keeps its pace, and the next one may have another: chance evens out over processes,
    not within one. A contender that fails is named on stderr and left out.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in list(turns):
            try:
                turns[name].append(take_turn(name, job))
            except (RuntimeError, subprocess.CalledProcessError) as error:
                print(f"left out: {error}", file=sys.stderr)
                del turns[name]
    return turns


def take_turn(name: str, job: dict[str, Any]) -> Turn:
    """Let a script of `benchmarks.peers` train for an epoch.

    Raises:
        RuntimeError: the script failed, with the last that it said on stderr.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found = subprocess.run(
        [python_of(name), "-m", f"benchmarks.peers.{name}", json.dumps(job)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(job["threads"])},
    )
    if found.returncode:
        *_, last = ["nothing", *filter(None, map(str.strip, found.stderr.splitlines()))]
        raise RuntimeError(f"{name} ended with exit code {found.returncode}, and said last: {last}")
    turn: Turn = json.loads(found.stdout)
    return turn


def paces(turns: list[Turn], clock: str) -> list[float]:
    """Images in each turn, for a second of the clock ("seconds") or of the processor's time."""
    return [turn["images"] / turn[clock] for turn in turns]


def ratio(one: list[Turn], other: list[Turn], clock: str) -> float:
    """How many times as fast one is as the other: the median over rounds."""
    pairs = zip(paces(one, clock), paces(other, clock), strict=True)
    return statistics.median(a / b for a, b in pairs)
