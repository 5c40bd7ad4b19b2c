"""Kills a sweep's driver, its workers or Ray's nodes at random moments, and compares what is left.

    python benchmarks/sweep_kills.py SWEEP.toml [--kills 10] [--seed 0] [--launcher NAME]
    python benchmarks/sweep_kills.py SWEEP.toml --victims node --nodes 2
    benchmarks/slurm_one_node.sh python benchmarks/sweep_kills.py SWEEP.toml --launcher slurm

Prints each kill, and whether the table of the disturbed sweep is that of an undisturbed one. With
`--nodes` the disturbed sweep runs on a Ray cluster of so many nodes on this machine, of one
processor each; a killed one is replaced.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MOST_DEATHS = 2
"""Kills while one driver lives: a run whose process dies three times has failed, and rightly."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--launcher", help="of the disturbed sweep, whatever the file says")
    parser.add_argument("--nodes", type=int, help="of a Ray cluster for the disturbed sweep")
    parser.add_argument(
        "--victims", nargs="+", choices=["driver", "worker", "node"], default=["driver", "worker"]
    )
    options = parser.parse_args()
    if "node" in options.victims and not options.nodes:
        parser.error("--victims node needs --nodes")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        started = time.monotonic()
        undisturbed = whole(options.sweep, Path(folder) / "whole")
        usual = time.monotonic() - started
        print(f"undisturbed: {usual:.1f} s", flush=True)
        victims: dict[str, Kill] = {"driver": kill_driver, "worker": kill_worker}
        where = {"launcher": options.launcher} if options.launcher else {}
        environment: dict[str, str] = {}
        if options.nodes:
            nodes = stack.enter_context(contextlib.closing(RayNodes(options.nodes)))
            victims["node"] = nodes.kill_one
            where, environment = {"launcher": "ray"}, {"RAY_ADDRESS": nodes.address}
        started = time.monotonic()
        disturbed, kills = cut(
            options.sweep,
            Path(folder) / "cut",
            options.kills,
            random.Random(options.seed),
            usual,
            {name: victims[name] for name in options.victims},
            [f"--{key}={value}" for key, value in where.items()],
            environment,
        )
        same = disturbed == undisturbed
        print(
            f"{kills} kills in {time.monotonic() - started:.1f} s; "
            f"the tables are {'the same' if same else 'different'}"
        )
        sys.exit(0 if same else 1)


def whole(sweep: Path, out: Path) -> str:
    """The table of a sweep that nobody disturbs."""
    process = start(sweep, ["--out", str(out)])
    assert process.wait() == 0
    return table(out)


Kill = Callable[["subprocess.Popen[bytes]", Path, random.Random], bool]
"""Kills something of a sweep, given its driver and where its folder is; whether it could."""


def cut(
    sweep: Path,
    out: Path,
    kills: int,
    dice: random.Random,
    usual: float,
    victims: Mapping[str, Kill] | None = None,
    flags: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, int]:
    """The table of a sweep that is killed so often, and how often it was.

    Args:
        usual: how long an undisturbed one takes, in seconds.
        victims: what is killed; the driver and its workers if left out.
        flags: of each command.
        environment: of each command, beside this process's.
    """
    victims = victims or {"driver": kill_driver, "worker": kill_worker}
    killed, arguments = 0, ["--out", str(out)]
    while True:
        process = start(sweep, [*arguments, *(flags or [])], environment)
        deaths = 0
        while process.poll() is None and killed < kills and deaths < MOST_DEATHS:
            time.sleep(dice.uniform(0.1, 0.9) * usual)
            victim = dice.choice(sorted(victims))
            if process.poll() is None and victims[victim](process, out, dice):
                killed, deaths = killed + 1, deaths + 1
                print(f"killed a {victim} ({killed})", flush=True)
        if process.wait() not in (0, -signal.SIGKILL):
            raise SystemExit(f"the sweep ended with {process.returncode}: {out}")
        if process.returncode == 0 and killed >= kills:
            return table(out), killed
        made = [folder.parent for folder in out.glob("*/journal.jsonl")]
        arguments = ["--resume", str(made[0])] if made else ["--out", str(out)]
        if process.returncode == 0:
            # Too quick to be killed so often: start anew.
            out = out.with_name(out.name + "-")
            arguments = ["--out", str(out)]


def start(
    sweep: Path, arguments: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvae_core", "sweep", str(sweep), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


def kill_driver(driver: subprocess.Popen[bytes], out: Path, dice: random.Random) -> bool:
    driver.kill()
    driver.wait()
    return True


def kill_worker(driver: subprocess.Popen[bytes], out: Path, dice: random.Random) -> bool:
    """Kill a process that trains, whichever launcher has started it, if it is on this machine."""
    found = []
    for file in sorted(out.glob("*/jobs/*.json")):
        with contextlib.suppress(OSError, ValueError):
            record, written = json.loads(file.read_text()), file.stat().st_mtime
            # A process that is younger than the record is another's, which has the number now.
            began = Path(f"/proc/{record['pid']}").stat().st_ctime
            here = record["host"] == platform.node()
            if record["status"] == "running" and here and began <= written:
                found.append(record["pid"])
    if not found:
        return False
    try:
        os.kill(dice.choice(found), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class RayNodes:
    """A Ray cluster on this machine: a head that runs nothing, and nodes of one processor."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes: list[Any] = [self.cluster.add_node(num_cpus=1) for _ in range(count)]
        self.address: str = self.cluster.address

    def kill_one(self, driver: subprocess.Popen[bytes], out: Path, dice: random.Random) -> bool:
        """Kill a node's processes (SIGKILL), and add another node in its place."""
        node = self.nodes.pop(dice.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=1))
        return True

    def close(self) -> None:
        self.cluster.shutdown()


def table(out: Path) -> str:
    (file,) = out.glob("*/comparison.csv")
    return file.read_text()


if __name__ == "__main__":
    main()
