"""How long the light verbs take, and how long it is from the command to the first step."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders import ROOT
from benchmarks.report import Table

BARE = """
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

class Model(BaseModel):
    size: int = 1

def main(size: int = 1):
    table = Table("size")
    table.add_row(str(Model(size=size).size))
    Console().print(table)

typer.run(main)
"""
DVAE = [sys.executable, "-m", "dvae_core"]
RECIPE = ROOT / "recipes" / "mnist_abs.toml"
PLUGIN = """
from dvae_core import Schedule, hookimpl

class Fake(Schedule):
    "Does nothing."
    name = "fake_{n}"
    start: float = 1.0
    def value(self, t):
        return self.start

@hookimpl
def register_schedules():
    return [Fake]
"""


def light_verbs(rounds: int, plugins: int = 50) -> tuple[Table, dict[str, Any]]:
    """Each verb beside a program of the same libraries that checks a number and prints it."""
    with tempfile.TemporaryDirectory() as folder:
        _install(Path(folder), plugins)
        commands: dict[str, tuple[list[str], str | None]] = {
            "a bare program": ([sys.executable, "-c", BARE], None),
            "dvae --help": ([*DVAE, "--help"], None),
            "dvae validate": ([*DVAE, "validate", str(RECIPE)], None),
            "dvae show": ([*DVAE, "show", str(RECIPE)], None),
            "dvae list-plugins": ([*DVAE, "list-plugins"], None),
            f"dvae list-plugins, {plugins} more": ([*DVAE, "list-plugins"], folder),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, (command, path) in commands.items():
                times[name].append(_seconds(command, path, folder))
        for values in times.values():
            del values[0]  # it compiled the modules, as an installation does
    table = Table("start-up", ["", "median s", "fastest s", "of bare"])
    bare, *_ = times.values()
    results = {}
    for name, values in times.items():
        of_bare = statistics.median(a / b for a, b in zip(values, bare, strict=True))
        median = statistics.median(values)
        results[name] = {"median": median, "fastest": min(values), "of_bare": of_bare}
        table.add(name, f"{median:.3f}", f"{min(values):.3f}", f"{of_bare:.2f}x")
    return table, results


def first_figures(images: int, rounds: int) -> tuple[Table, dict[str, Any]]:
    """From the command to its first checkpoint, and to the figures of an epoch of so many images.

    The first checkpoint comes after the first step, the last figure after the first evaluation.
    """
    changes = [
        f"dataset.train_limit={images}", "train.epochs=1", "callbacks=[]",
        "train.checkpoint_every=1 steps", "guidance.weight.allow_unfinished=true",
    ]  # fmt: skip
    sets = [word for change in changes for word in ("--set", change)]
    first, figures = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            process = subprocess.Popen(
                [*DVAE, "run", str(RECIPE), "--out", folder, *sets],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for pattern, times in (("*/checkpoints/*.pt", first), ("*/figures/*latent*", figures)):
                while process.poll() is None and not any(Path(folder).glob(pattern)):
                    time.sleep(0.005)
                times.append(time.perf_counter() - started)
            if process.wait():
                raise RuntimeError(f"dvae run ended with exit code {process.returncode}")
    table = Table(f"dvae run, an epoch of {images:,} images", ["", "median s", "fastest s"])
    results = {"to the first step": first, "to the first figure": figures}
    for name, times in results.items():
        table.add(name, f"{statistics.median(times):.2f}", f"{min(times):.2f}")
    return table, {name: statistics.median(times) for name, times in results.items()}


def _install(folder: Path, count: int) -> None:
    for n in range(count):
        (folder / f"fake_{n}.py").write_text(PLUGIN.format(n=n))
        info = folder / f"fake_{n}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{n}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[dvae]\nfake_{n} = fake_{n}\n")


def _seconds(command: list[str], path: str | None, cache: str) -> float:
    paths = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONPYCACHEPREFIX": f"{cache}/compiled"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started
