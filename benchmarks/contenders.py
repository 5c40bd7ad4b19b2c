"""Contenders in processes of their own, who take turns: A B C A B C."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import python_of

ROOT = Path(__file__).parent.parent


class Contender:
    """A script of `benchmarks.peers`, waiting for its turn.

    Raises:
        RuntimeError: the script ended, with the last that it said on stderr.
    """

    def __init__(self, name: str, job: dict[str, Any]) -> None:
        self.name = name
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        threads = str(job["threads"])
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python_of(name), "-m", f"benchmarks.peers.{name}", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": threads},
        )
        self.versions: dict[str, str] = self._answer()

    def turn(self) -> dict[str, float]:
        """Let it train for an epoch; the others wait."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._answer()

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            *_, last = ["nothing", *filter(None, map(str.strip, self._said))]
            self.close()
            raise RuntimeError(f"{self.name} ended with exit code {code}, and said last: {last}")
        return json.loads(line)


@contextlib.contextmanager
def contenders(names: Sequence[str], job: dict[str, Any]) -> Iterator[list[Contender]]:
    """Those that start and get through a first turn, which warms up and does not count.

    One that does not is named on stderr and left out.
    """
    ready: list[Contender] = []
    try:
        for name in names:
            try:
                ready.append(Contender(name, job))
                ready[-1].turn()
            except (RuntimeError, subprocess.CalledProcessError) as error:
                print(f"left out: {error}", file=sys.stderr)
                ready = [contender for contender in ready if contender.alive()]
        yield ready
    finally:
        for contender in ready:
            contender.close()


def in_turn(ready: Sequence[Contender], rounds: int) -> dict[str, list[dict[str, float]]]:
    """The turns of each, by name."""
    turns: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in ready}
    for _ in range(rounds):
        for contender in ready:
            turns[contender.name].append(contender.turn())
    return turns


def paces(turns: list[dict[str, float]], clock: str) -> list[float]:
    """Images in each turn, for a second of the clock ("seconds") or of the processor's time."""
    return [turn["images"] / turn[clock] for turn in turns]


def ratio(one: list[dict[str, float]], other: list[dict[str, float]], clock: str) -> float:
    """How many times as fast one is as the other: the median over rounds."""
    pairs = zip(paces(one, clock), paces(other, clock), strict=True)
    return statistics.median(a / b for a, b in pairs)
