"""How much faster a sweep is than the same runs one after the other.

    python benchmarks/sweep_throughput.py SWEEP.toml [--commands]

Trains the runs of the sweep file three times: as a sweep; one after the other in one process that
has torch imported and all cores; and, with --commands, as one `dvae run` after the other. Prints
seconds, the ratio, and what the sweep costs a run beyond training it and importing torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IN_TURN = """
import sys, time
from dvae_core.training.run import run_recipe
from dvae_core.runs.watch import Watch
import torch
import dvae_core.training.state
class Quiet(Watch):
    def warn(self, text): pass
started = time.perf_counter()
for recipe in sys.argv[2:]:
    run_recipe(recipe, sys.argv[1], watch=Quiet())
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--commands", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep, _ = timed(lambda: command("sweep", str(options.sweep), "--out", f"{folder}/a"))
        recipes = sorted(folder.glob("a/*/*-seed-*/recipe.toml"))
        print(f"{len(recipes)} runs as a sweep: {sweep:.1f} s", flush=True)
        _, found = timed(lambda: python("-c", IN_TURN, f"{folder}/b", *map(str, recipes)))
        in_turn = float(found)
        print(f"one after the other in one process, torch imported: {in_turn:.1f} s", flush=True)
        print(f"  ratio {in_turn / sweep:.2f}")
        if options.commands:
            total = 0.0
            for recipe in recipes:
                total += timed(lambda r=recipe: command("run", str(r), "--out", f"{folder}/c"))[0]
            print(f"one `dvae run` after the other: {total:.1f} s, ratio {total / sweep:.2f}")


def timed(function: Callable[[], str]) -> tuple[float, str]:
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


def command(*arguments: str) -> str:
    return python("-m", "dvae_core", *arguments)


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return done.stdout.decode()


if __name__ == "__main__":
    main()
