"""Kills a sweep's driver and its workers at random moments, and compares what is left at the end.

    python benchmarks/sweep_kills.py SWEEP.toml [--kills 10] [--seed 0]

Prints each kill, and whether the table of the disturbed sweep is that of an undisturbed one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        undisturbed = whole(options.sweep, Path(folder) / "whole")
        usual = time.monotonic() - started
        print(f"undisturbed: {usual:.1f} s", flush=True)
        dice = random.Random(options.seed)
        disturbed, kills = cut(options.sweep, Path(folder) / "cut", options.kills, dice, usual)
        same = disturbed == undisturbed
        print(f"{kills} kills; the tables are {'the same' if same else 'different'}")
        sys.exit(0 if same else 1)


def whole(sweep: Path, out: Path) -> str:
    """The table of a sweep that nobody disturbs."""
    process = start(sweep, ["--out", str(out)])
    assert process.wait() == 0
    return table(out)


def cut(sweep: Path, out: Path, kills: int, dice: random.Random, usual: float) -> tuple[str, int]:
    """The table of a sweep that is killed so often, and how often it was.

    Args:
        usual: how long an undisturbed one takes, in seconds.
    """
    killed, arguments = 0, ["--out", str(out)]
    while True:
        process = start(sweep, arguments)
        if killed < kills:
            victim = dice.choice(["driver", "worker"])
            time.sleep(dice.uniform(0.1, 0.9) * usual)
            if victim == "worker":
                found = children(process.pid)
                if found and process.poll() is None:
                    os.kill(dice.choice(found), signal.SIGKILL)
                    killed += 1
                    print(f"killed a worker ({killed})", flush=True)
                time.sleep(dice.uniform(0.0, 0.5) * usual)
            if process.poll() is None:
                process.kill()
                killed += 1
                print(f"killed the driver ({killed})", flush=True)
        if process.wait() == 0 and killed >= kills:
            return table(out), killed
        made = [folder.parent for folder in out.glob("*/journal.jsonl")]
        arguments = ["--resume", str(made[0])] if made else ["--out", str(out)]
        if process.returncode == 0:
            # Too quick to be killed so often: start anew.
            out = out.with_name(out.name + "-")
            arguments = ["--out", str(out)]


def start(sweep: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvae_core", "sweep", str(sweep), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def children(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(number) for number in file.read_text().split()]
    return found


def table(out: Path) -> str:
    (file,) = out.glob("*/comparison.csv")
    return file.read_text()


if __name__ == "__main__":
    main()
